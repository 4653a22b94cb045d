//! The CUDA device: a plan's levels as launches of one kernel, replayed as a CUDA graph.
//!
//! The build does not need CUDA. libcuda comes with the driver, NVRTC with a toolkit or a Python package;
//! both are loaded at run time.

mod abi;
mod built_in;
mod cache;
mod compile;
mod conv2d;
mod cut;
mod error;
mod kernels;
mod launch;
mod library;
mod lower;
mod memory;
pub mod nvrtc;
mod order;
mod program;
mod session;
mod source;
#[doc(hidden)]
pub mod survey;
mod tiles;
mod variant;
mod weights;

use std::sync::Arc;

use cudarc::driver::CudaContext;

pub use compile::options;
pub use source::source;
pub use variant::Tiling;

// For the development of the kernels.
#[doc(hidden)]
pub use built_in::built_in_source;
#[doc(hidden)]
pub use variant::{Copies, Edges, Kernels, Launches, Variant};

use super::plan::Plan;
use crate::Result;
use crate::engine::session::Session;
use cut::Limits;
use error::driver;
use kernels::Functions;

/// A GPU with the kernels loaded.
#[derive(Clone)]
pub struct Cuda {
    context: Arc<CudaContext>,
    functions: Functions,
    name: String,
    limits: Limits,
    variant: Variant,
    kernels: String,
}

impl std::fmt::Debug for Cuda {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.description())
    }
}

impl Cuda {
    /// Opens the GPU with index `ordinal` and loads the kernels: built-in machine code, or machine code
    /// that NVRTC compiles now or compiled earlier (from the cache on disk). No environment variable
    /// changes this; see [`Variant::from_env`].
    ///
    /// # Errors
    /// [`crate::Error::Device`] in one line: no driver, no such GPU, no NVRTC, or a kernel does not compile.
    pub fn new(ordinal: usize) -> Result<Cuda> {
        Cuda::with_variant(ordinal, Variant::default())
    }

    /// As [`Cuda::new`], with other machine code, launches or tiles than by default.
    ///
    /// # Errors
    /// As [`Cuda::new`], and when a file of machine code cannot be read or is not for this GPU.
    #[doc(hidden)]
    pub fn with_variant(ordinal: usize, variant: Variant) -> Result<Cuda> {
        library::check()?;
        let count = CudaContext::device_count().map_err(driver("cannot start"))?;
        if usize::try_from(count).unwrap_or(0) <= ordinal {
            let have = match count {
                0 => "the driver sees none (CUDA_VISIBLE_DEVICES may hide them)".to_string(),
                1 => "there is only GPU 0".to_string(),
                n => format!("there are GPUs 0 to {}", n - 1),
            };
            return Err(error::unavailable(format!("no GPU {ordinal}: {have}")));
        }
        let context = CudaContext::new(ordinal).map_err(driver("cannot open the GPU"))?;
        // SAFETY: each session has its own stream, on which all accesses to its memory run.
        unsafe { context.disable_event_tracking() };
        let name = context.name().map_err(driver("name"))?;
        let (functions, kernels) = kernels::load(&context, &variant)?;
        let limits = kernels::limits(&context, &functions.level)?;
        Ok(Cuda { context, functions, name, limits, variant, kernels })
    }

    /// Whether this machine has an NVIDIA driver, usable or not. Without one, a missing GPU needs no
    /// explanation.
    pub fn has_driver() -> bool {
        library::is_there()
    }

    /// The same GPU with one kind of tiles for all convolutions.
    pub fn with_tiling(self, tiling: Tiling) -> Cuda {
        Cuda { variant: Variant { tiling, ..self.variant }, ..self }
    }

    /// Origin of its machine code: `built in`, `NVRTC`, `NVRTC, from the cache`, `NVRTC, not cached` with the
    /// reason, or a file.
    pub fn kernels(&self) -> &str {
        &self.kernels
    }

    /// What a user should know about the kernels: that they are compiled at every start, and why.
    fn note(&self) -> Option<String> {
        let problem = self.kernels.strip_prefix(compile::NOT_CACHED)?;
        Some(format!("cuda: the kernels are compiled at every start: {problem}"))
    }

    /// Description, as `cuda:0 (NVIDIA H200, 132 multiprocessors)`.
    pub fn description(&self) -> String {
        let ordinal = self.context.ordinal();
        format!("cuda:{ordinal} ({}, {} multiprocessors)", self.name, self.limits.multiprocessors)
    }

    /// The GPU's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Loads `plan` for batches of up to `batch` images, on its own stream; for fewer where memory does not
    /// suffice, which [`Session::capacity`] and [`Session::notes`] report.
    ///
    /// # Errors
    /// [`crate::Error::Device`] when memory does not suffice even for one image.
    pub fn session(&self, plan: Arc<Plan>, batch: usize) -> Result<Box<dyn Session>> {
        Ok(Box::new(session::CudaSession::new(self, plan, batch)?))
    }
}
