//! Device: where plans run, the CPU or a GPU. It owns what outlives a plan: threads, packed weights,
//! compiled kernels.

use std::sync::Arc;

use super::cpu::{Cpu, Isa};
use super::cuda::{Cuda, Variant};
use super::plan::Plan;
use super::session::Session;
use crate::{Error, Result};

/// Which device to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// The first GPU if there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The GPU with this index.
    Cuda(usize),
}

impl DeviceChoice {
    /// Reads `auto`, `cpu`, `cuda`, the first GPU, or `cuda:N`; `None` for another text.
    pub fn parse(text: &str) -> Option<DeviceChoice> {
        match text {
            "auto" => Some(DeviceChoice::Auto),
            "cpu" => Some(DeviceChoice::Cpu),
            "cuda" => Some(DeviceChoice::Cuda(0)),
            _ => text.strip_prefix("cuda:")?.parse().ok().map(DeviceChoice::Cuda),
        }
    }
}

/// Settings of a device; [`Device::open`] takes the first two.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeviceOptions {
    /// Which device.
    pub choice: DeviceChoice,
    /// Threads of the CPU; 0 for one a core.
    pub threads: usize,
    /// Instruction set of the CPU's kernels; the best that the machine has where it is not given.
    pub isa: Option<Isa>,
    /// How a GPU computes.
    pub variant: Variant,
}

/// A device that is ready to prepare plans.
pub enum Device {
    /// The CPU.
    Cpu(Cpu),
    /// A GPU.
    Cuda(Cuda),
}

impl Device {
    /// Opens a device; `threads` is for the CPU only, 0 for one a core.
    ///
    /// # Errors
    /// As [`Device::with_options`].
    pub fn open(choice: DeviceChoice, threads: usize) -> Result<Device> {
        let options = DeviceOptions { choice, threads, ..DeviceOptions::default() };
        Ok(Device::with_options(&options)?.0)
    }

    /// The first GPU if there is one, else the CPU with a thread for each core.
    ///
    /// # Errors
    /// As [`Device::with_options`].
    pub fn auto() -> Result<Device> {
        Device::open(DeviceChoice::Auto, 0)
    }

    /// Opens a device. Where [`DeviceChoice::Auto`] opens the CPU although there is an NVIDIA driver, also
    /// says why not the GPU.
    ///
    /// # Errors
    /// [`crate::Error::Device`] when the device is not available. [`DeviceChoice::Auto`] opens the CPU where
    /// no GPU is usable, whatever the reason.
    pub fn with_options(options: &DeviceOptions) -> Result<(Device, Option<Error>)> {
        let cpu = || -> Result<Device> {
            let isa = options.isa.unwrap_or_else(Isa::detect);
            Ok(Device::Cpu(Cpu::with_isa(options.threads, isa)?))
        };
        let gpu = |ordinal: usize| Cuda::with_variant(ordinal, options.variant.clone());
        match options.choice {
            DeviceChoice::Cpu => Ok((cpu()?, None)),
            DeviceChoice::Cuda(ordinal) => Ok((Device::Cuda(gpu(ordinal)?), None)),
            DeviceChoice::Auto => match gpu(0) {
                Ok(gpu) => Ok((Device::Cuda(gpu), None)),
                Err(reason) => Ok((cpu()?, Cuda::has_driver().then_some(reason))),
            },
        }
    }

    /// The device and its size: `cpu (2 threads, avx512)`, `cuda:0 (NVIDIA H200, 132 multiprocessors)`.
    pub fn description(&self) -> String {
        match self {
            Device::Cpu(cpu) => cpu.description(),
            Device::Cuda(cuda) => cuda.description(),
        }
    }

    /// What determines the bits of its results: `cpu (avx512)`, `cuda (NVIDIA H200)`.
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
