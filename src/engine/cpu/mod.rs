//! The CPU device: plans run by a few threads on vector units.

mod aligned;
mod cam;
mod compiler;
mod conv;
mod elementwise;
mod gemm;
mod gemv;
mod linear;
mod memory;
mod pool;
mod program;
mod session;
mod simd;
mod softmax;
mod step;
mod threads;

use std::sync::Arc;

pub use simd::Isa;

use super::plan::Plan;
use crate::engine::session::Session;
use crate::{Error, Result};

/// The CPU as a device.
#[derive(Debug, Clone)]
pub struct Cpu {
    threads: usize,
    isa: Isa,
}

impl Cpu {
    /// The CPU with `threads` threads; 0 means one for each core. `MSDCAM_CPU` set to `avx512`,
    /// `avx2` or `portable` forces a kind of kernel.
    ///
    /// # Errors
    /// When `MSDCAM_CPU` names a kind that this machine lacks.
    pub fn new(threads: usize) -> Result<Cpu> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if threads == 0 { cores } else { threads };
        Ok(Cpu { threads, isa: chosen_isa()? })
    }

    /// The same, with a kind of kernel given.
    ///
    /// # Errors
    /// When this machine lacks it.
    pub fn with_isa(threads: usize, isa: Isa) -> Result<Cpu> {
        if !Isa::available().contains(&isa) {
            return Err(Error::device(format!("cpu: this machine has no {}", isa.name())));
        }
        Ok(Cpu { isa, ..Cpu::new(threads)? })
    }

    /// In words: `cpu (2 threads, avx512)`.
    pub fn description(&self) -> String {
        let plural = if self.threads == 1 { "" } else { "s" };
        format!("cpu ({} thread{plural}, {})", self.threads, self.isa.name())
    }

    /// Which kind of kernel it runs.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Threads.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Prepares `plan` for batches of up to `batch` images.
    ///
    /// # Errors
    /// When there is too little memory, or the system refuses a thread.
    pub fn session(&self, plan: Arc<Plan>, batch: usize) -> Result<Box<dyn Session>> {
        Ok(Box::new(session::CpuSession::new(plan, batch, self.threads, self.isa)?))
    }
}

fn chosen_isa() -> Result<Isa> {
    let Some(wanted) = std::env::var_os("MSDCAM_CPU") else { return Ok(Isa::detect()) };
    let available = Isa::available();
    available.iter().copied().find(|isa| wanted == isa.name()).ok_or_else(|| {
        let names: Vec<&str> = available.iter().map(|isa| isa.name()).collect();
        let wanted = wanted.to_string_lossy();
        Error::device(format!("MSDCAM_CPU is '{wanted}': this machine has {}", names.join(", ")))
    })
}
