//! The CUDA device: a plan's levels as launches of one kernel, replayed as a graph.
//!
//! Nothing of CUDA is needed to build it. libcuda comes with the driver and NVRTC with a toolkit
//! or a Python package; both are found at run time.

mod abi;
mod built_in;
mod cache;
mod compile;
mod error;
mod kernels;
mod library;
mod lower;
mod memory;
pub mod nvrtc;
mod program;
mod session;
mod source;
mod variant;
mod weights;

use std::sync::Arc;

use cudarc::driver::sys::CUdevice_attribute;
use cudarc::driver::{CudaContext, CudaFunction};

pub use compile::options;
pub use source::source;
pub use variant::Tiling;

// For those who develop the kernels.
#[doc(hidden)]
pub use built_in::built_in_source;
#[doc(hidden)]
pub use variant::{Kernels, Launches, Variant};

use super::plan::Plan;
use crate::engine::session::Session;
use crate::{Error, Result};
use error::driver;

/// A GPU as a device.
#[derive(Clone)]
pub struct Cuda {
    context: Arc<CudaContext>,
    level: CudaFunction,
    name: String,
    multiprocessors: usize,
    variant: Variant,
    kernels: String,
}

impl std::fmt::Debug for Cuda {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.description())
    }
}

impl Cuda {
    /// The GPU with number `ordinal`, its kernels loaded: built-in machine code, NVRTC's, or what
    /// NVRTC made before (from the cache on disk).
    ///
    /// # Errors
    /// [`Error::Device`] in one line: no driver, no such GPU, no NVRTC, a kernel that does not
    /// compile.
    pub fn new(ordinal: usize) -> Result<Cuda> {
        Cuda::with_variant(ordinal, Variant::default())
    }

    /// As [`Cuda::new`], in the way that a developer wants to measure.
    ///
    /// # Errors
    /// As [`Cuda::new`], and when a file of machine code cannot be read or is not for this chip.
    #[doc(hidden)]
    pub fn with_variant(ordinal: usize, variant: Variant) -> Result<Cuda> {
        library::check()?;
        library::without_panic(|| Cuda::open(ordinal, variant))
    }

    fn open(ordinal: usize, variant: Variant) -> Result<Cuda> {
        let count = CudaContext::device_count().map_err(driver("cannot start"))?;
        if usize::try_from(count).unwrap_or(0) <= ordinal {
            let have = match count {
                0 => "the driver sees none (CUDA_VISIBLE_DEVICES may hide them)".to_string(),
                1 => "there is only GPU 0".to_string(),
                n => format!("there are GPUs 0 to {}", n - 1),
            };
            return Err(Error::device(format!("cuda: no GPU {ordinal}: {have}")));
        }
        let context = CudaContext::new(ordinal).map_err(driver("cannot open the GPU"))?;
        // SAFETY: a session has a stream of its own, on which everything that touches its memory runs.
        unsafe { context.disable_event_tracking() };
        let name = context.name().map_err(driver("name"))?;
        let attribute = CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
        let multiprocessors = context.attribute(attribute).map_err(driver("multiprocessors"))?;
        let (level, kernels) = kernels::load(&context, &variant.kernels)?;
        let multiprocessors = usize::try_from(multiprocessors).unwrap_or(1);
        Ok(Cuda { context, level, name, multiprocessors, variant, kernels })
    }

    /// Whether this machine has an NVIDIA driver, usable or not: without one, that there is no GPU
    /// is nothing to wonder about.
    pub fn has_driver() -> bool {
        library::is_there()
    }

    /// The same GPU with convolutions cut in one way only.
    pub fn with_tiling(self, tiling: Tiling) -> Cuda {
        Cuda { variant: Variant { tiling, ..self.variant }, ..self }
    }

    /// Where its machine code came from, in words: `built in`, `NVRTC`, `NVRTC, from the cache`, a file.
    pub fn kernels(&self) -> &str {
        &self.kernels
    }

    /// In words: `cuda:0 (NVIDIA H200, 132 multiprocessors)`.
    pub fn description(&self) -> String {
        let ordinal = self.context.ordinal();
        format!("cuda:{ordinal} ({}, {} multiprocessors)", self.name, self.multiprocessors)
    }

    /// The GPU's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Prepares `plan` for batches of up to `batch` images, on a stream of its own; of fewer, where
    /// memory does not suffice: [`Session::capacity`] and [`Session::notes`] tell.
    ///
    /// # Errors
    /// [`Error::Device`] when memory does not suffice even for one image.
    pub fn session(&self, plan: Arc<Plan>, batch: usize) -> Result<Box<dyn Session>> {
        Ok(Box::new(session::CudaSession::new(self, plan, batch)?))
    }
}
