//! The seam between what is computed and where: a device loads a plan and runs it on batches.

use std::sync::Arc;

use super::plan::Plan;
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
            DeviceChoice::Cuda(ordinal) => Ok(Device::Cuda(cuda::Cuda::new(ordinal)?)),
            DeviceChoice::Auto => Ok(Device::auto(threads)?.0),
        }
    }

    /// What [`DeviceChoice::Auto`] opens, and, where it is the CPU although there is an NVIDIA
    /// driver, why not the GPU.
    ///
    /// # Errors
    /// As [`Device::open`] of the CPU.
    pub fn auto(threads: usize) -> Result<(Device, Option<Error>)> {
        match cuda::Cuda::new(0) {
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
    pub fn load(&self, plan: Arc<Plan>, batch: usize) -> Result<Box<dyn Runner>> {
        match self {
            Device::Cpu(cpu) => cpu.load(plan, batch),
            Device::Cuda(cuda) => cuda.load(plan, batch),
        }
    }
}

/// Asked after each exit: (exit from 1, image of the batch, that image's output space); true
/// where the image needs later exits too.
pub type Continues<'a> = dyn FnMut(usize, usize, &[f32]) -> bool + 'a;

/// A plan on a device.
///
/// Inputs and outputs are whole input and output spaces, one image after another:
/// `plan.input_len` and `plan.output_len` numbers each.
pub trait Runner: Send {
    /// What it runs.
    fn plan(&self) -> &Plan;

    /// The most images of one run.
    fn capacity(&self) -> usize;

    /// Runs every level on all images in `inputs`.
    ///
    /// # Errors
    /// [`crate::Error::Device`] when the device fails.
    fn run(&mut self, inputs: &[f32], outputs: &mut [f32]) -> Result<()>;

    /// Runs exit by exit, dropping an image once `continues` says that it needs no later exit,
    /// and returns the last exit that each image ran. The plan is one made with
    /// [`super::plan::Order::ByExit`]; outputs of exits that an image did not reach are
    /// undefined.
    ///
    /// # Errors
    /// As [`Runner::run`].
    fn run_early_exit(
        &mut self,
        inputs: &[f32],
        outputs: &mut [f32],
        continues: &mut Continues,
    ) -> Result<Vec<usize>>;

    /// Multiply-adds done by all runs so far.
    fn multiply_adds_done(&self) -> u64;

    /// What the user should know about how the plan was loaded: that memory sufficed only for
    /// smaller batches than asked for.
    fn notes(&self) -> &[String] {
        &[]
    }

    /// Milliseconds of the device's own clock for one run of `images` images, the mean of `repeats`
    /// runs back to back; `None` where the device has no clock of its own.
    ///
    /// # Errors
    /// As [`Runner::run`].
    fn device_ms(&mut self, _images: usize, _repeats: usize) -> Result<Option<f64>> {
        Ok(None)
    }

    /// Milliseconds of the device's own clock for the first level, the first two, and so on up to all
    /// levels of a run of `images` images, without copies: the difference of two neighbours is what a
    /// level costs where it stands. Each is the shortest of a few means, over `repeats` runs back to
    /// back or somewhat more in all, on the inputs of the last run. `None` where the device has no clock of its own.
    ///
    /// # Errors
    /// As [`Runner::run`].
    fn prefix_ms(&mut self, _images: usize, _repeats: usize) -> Result<Option<Vec<f64>>> {
        Ok(None)
    }
}
