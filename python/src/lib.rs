//! The native part of the Python package `msdcam`: models, explanations and pictures of the library `msdcam`, as
//! plain arrays.
//!
//! The package's Python files check and convert arguments, and wrap results in data classes; what is here takes
//! contiguous arrays and gives dictionaries of arrays. Every computation runs without the GIL (`call`), and panics
//! become exceptions.

mod arrays;
mod call;
mod classify;
mod draw;
mod errors;
mod evaluate;
mod explain;
mod faithfulness;
mod images;
mod network;
mod request;
mod runtime;

use pyo3::prelude::*;

/// The native part of msdcam.
#[pymodule(gil_used = true)]
mod _native {
    use std::ffi::OsString;
    use std::time::Instant;

    use super::*;

    #[pymodule_export]
    use super::draw::encode;
    #[pymodule_export]
    use super::network::Network;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        call::keep_panic_messages();
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }

    /// Runs the command line `arguments`, the program's name first, and returns the exit code for the process,
    /// which is to end afterwards.
    #[pyfunction]
    fn main(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
        py.detach(|| msdcam::cli::main(arguments, Instant::now()))
    }

    /// The names of all methods, CAM methods first.
    #[pyfunction]
    fn methods() -> (Vec<&'static str>, Vec<&'static str>) {
        let maps = msdcam::MapMethod::ALL.iter().map(|method| method.name());
        let pixels = msdcam::PixelMethod::ALL.iter().map(|method| method.name());
        (maps.collect(), pixels.collect())
    }
}
