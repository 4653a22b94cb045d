//! The seam between what is computed and where: a device loads a plan and runs it on batches.

use std::sync::Arc;

use super::plan::Plan;
use super::session::Session;
use super::{cpu, cuda};
use crate::{Error, Result};

/// Which device to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// The first GPU if there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The GPU with this number.
    Cuda(usize),
}

/// A device that is ready to load plans.
pub enum Device {
    /// The CPU, with this many threads.
    Cpu(cpu::Cpu),
    /// A GPU.
    Cuda(cuda::Cuda),
}

impl Device {
    /// Opens a device; `threads` counts for the CPU only, 0 means one for each core.
    ///
    /// # Errors
    /// [`crate::Error::Device`] when the device asked for is not there. [`DeviceChoice::Auto`]
    /// takes the CPU where no GPU can be used, whatever the reason.
    pub fn open(choice: DeviceChoice, threads: usize) -> Result<Device> {
        let cpu = || Ok(Device::Cpu(cpu::Cpu::new(threads)?));
        match choice {
            DeviceChoice::Cpu => cpu(),
            DeviceChoice::Cuda(ordinal) => {
                Ok(Device::Cuda(cuda::Cuda::with_variant(ordinal, cuda::Variant::from_env())?))
            }
            DeviceChoice::Auto => Ok(Device::auto(threads)?.0),
        }
    }

    /// What [`DeviceChoice::Auto`] opens, and, where it is the CPU although there is an NVIDIA
    /// driver, why not the GPU.
    ///
    /// # Errors
    /// As [`Device::open`] of the CPU.
    pub fn auto(threads: usize) -> Result<(Device, Option<Error>)> {
        match cuda::Cuda::with_variant(0, cuda::Variant::from_env()) {
            Ok(gpu) => Ok((Device::Cuda(gpu), None)),
            Err(reason) => {
                let cpu = Device::Cpu(cpu::Cpu::new(threads)?);
                Ok((cpu, cuda::Cuda::has_driver().then_some(reason)))
            }
        }
    }

    /// What it is, in words: `cpu (2 threads, AVX-512)`, `cuda:0 (NVIDIA H200, 132 multiprocessors)`.
    pub fn description(&self) -> String {
        match self {
            Device::Cpu(cpu) => cpu.description(),
            Device::Cuda(cuda) => cuda.description(),
        }
    }

    /// What determines the bits of its answers, in words: `cpu (AVX-512)`, `cuda (NVIDIA H200)`.
    pub fn kind(&self) -> String {
        match self {
            Device::Cpu(cpu) => format!("cpu ({})", cpu.isa().name()),
            Device::Cuda(cuda) => format!("cuda ({})", cuda.name()),
        }
    }

    /// Prepares `plan` for batches of up to `batch` images.
    ///
    /// # Errors
    /// [`crate::Error::Device`] when there is too little memory, or a kernel cannot be made.
    pub fn session(&self, plan: Arc<Plan>, batch: usize) -> Result<Box<dyn Session>> {
        match self {
            Device::Cpu(cpu) => cpu.session(plan, batch),
            Device::Cuda(cuda) => cuda.session(plan, batch),
        }
    }
}
