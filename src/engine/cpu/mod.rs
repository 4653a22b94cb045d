//! The CPU device: plans run by a pool of threads with vector instructions.

mod activation;
mod aligned;
mod assign;
mod cam;
mod channel_windows;
mod classifier;
mod compile;
mod compiled_plan;
mod conv;
mod cost;
mod elementwise;
mod gemm;
mod gemv;
mod heatmap;
mod kernel;
mod linear;
mod lrn;
mod memory;
mod packed_weight;
mod pool;
mod pooled_grad;
mod resize;
mod session;
mod simd;
mod softmax;
mod thread_pool;
mod weight_cache;

use std::sync::Arc;

pub use simd::Isa;

use super::plan::Plan;
use crate::Result;
use crate::engine::session::Session;
use crate::error::{DeviceError, ErrorSource};
use thread_pool::ThreadPool;
use weight_cache::WeightCache;

/// Most threads: beyond any machine's, where a system would give them one after another for minutes.
const MAX_THREADS: usize = 4096;

/// The CPU as a device. Its sessions share its threads and their packed weights, and so do its clones.
#[derive(Debug, Clone)]
pub struct Cpu {
    isa: Isa,
    pool: Arc<ThreadPool>,
    weights: Arc<WeightCache>,
}

impl Cpu {
    /// The CPU with `threads` threads, 0 for one a core, and the best instruction set that it has.
    ///
    /// # Errors
    /// As [`Cpu::with_isa`].
    pub fn new(threads: usize) -> Result<Cpu> {
        Cpu::with_isa(threads, Isa::detect())
    }

    /// The same with kernels for the instruction set `isa`.
    ///
    /// # Errors
    /// When this machine lacks it, there are more than 4,096 threads, or the system refuses one.
    pub fn with_isa(threads: usize, isa: Isa) -> Result<Cpu> {
        if !Isa::available().contains(&isa) {
            let reason = format!("this machine has no {}", isa.name());
            return Err(DeviceError::Unavailable { what: "cpu".into(), reason }.into());
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if threads == 0 { cores } else { threads };
        if threads > MAX_THREADS {
            let reason = format!("{threads} threads, at most {MAX_THREADS}");
            return Err(DeviceError::Unavailable { what: "cpu".into(), reason }.into());
        }
        let pool = ThreadPool::new(threads)
            .map_err(|e| DeviceError::Threads { threads, source: ErrorSource::new(e) })?;
        Ok(Cpu { isa, pool: Arc::new(pool), weights: Arc::default() })
    }

    /// Threads and instruction set: `cpu (2 threads, avx512)`.
    pub fn description(&self) -> String {
        let threads = self.threads();
        let plural = if threads == 1 { "" } else { "s" };
        format!("cpu ({threads} thread{plural}, {})", self.isa.name())
    }

    /// The instruction set of its kernels.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// How many threads a run uses.
    pub fn threads(&self) -> usize {
        self.pool.count()
    }

    /// Clock cycles that the cost model estimates for `images` images of `plan` on `threads` threads: for fitting the model,
    /// and for what a machine with more cores would gain.
    ///
    /// # Errors
    /// As [`Cpu::session`].
    #[doc(hidden)]
    pub fn estimated_cycles(&self, plan: &Plan, threads: usize, images: usize) -> Result<f64> {
        let compiled =
            compiled_plan::CompiledPlan::new(plan, threads, self.isa, (&self.weights, &self.pool))?;
        Ok(compiled.batch_cost(images) as f64 / 4.0)
    }

    /// Prepares `plan` for batches of up to `batch` images.
    ///
    /// Sessions may run on several threads at a time: their runs take turns on the device's threads, except
    /// on a device of one thread, where each runs on its caller's.
    ///
    /// # Errors
    /// When the system has too little memory, or the plan exceeds a limit of the kernels.
    pub fn session(&self, plan: Arc<Plan>, batch: usize) -> Result<Box<dyn Session>> {
        Ok(Box::new(session::CpuSession::new(self, plan, batch)?))
    }
}
