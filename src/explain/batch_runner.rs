//! A session and the reading of its results.

use std::sync::Arc;

use super::progress::Progress;
use crate::engine::device::Device;
use crate::engine::graph::ops::TargetInput;
use crate::engine::plan::{Plan, Slot};
use crate::engine::session::Session;
use crate::engine::tensor::copy_finite;
use crate::error::RequestError;
use crate::{Error, Result, Shape};

/// Limits on the batch size of perturbation runs: larger batches are not faster, and a run is stopped between batches.
const MAX_BATCH: usize = 256;
/// On the CPU, batches of more multiply-adds than these have no more images than [`SMALL_BATCH`].
const CPU_BATCH_WORK: u64 = 1 << 32;
/// Images that every thread of a CPU of usual size has work with.
const SMALL_BATCH: usize = 8;

/// The largest batch of `plan` on `device` whose buffers take no more than `max_memory` bytes.
///
/// # Errors
/// When one image takes more: names `purpose`.
pub(crate) fn batch_within(plan: &Plan, device: &Device, max_memory: usize, purpose: &str) -> Result<usize> {
    let most = match device {
        Device::Cuda(_) => MAX_BATCH,
        Device::Cpu(_) => {
            let images = CPU_BATCH_WORK / plan.multiply_adds().max(1);
            usize::try_from(images).unwrap_or(MAX_BATCH).clamp(SMALL_BATCH, MAX_BATCH)
        }
    };
    let image = bytes_per_image(plan);
    match max_memory / image {
        0 => {
            let purpose = purpose.into();
            Err(RequestError::MemoryLimit { purpose, needed: image, limit: max_memory }.into())
        }
        images => Ok(images.min(most)),
    }
}

/// Bytes that a batch of `plan` takes for each image, on the host and on the device together.
pub(crate) fn bytes_per_image(plan: &Plan) -> usize {
    // Inputs and outputs are on both.
    let elements = 2 * plan.input_len() + 2 * plan.output_len() + plan.work_len();
    elements.saturating_mul(size_of::<f32>()).max(1)
}

/// The number of images of `shape` in `images`.
///
/// # Errors
/// When there is no image, or the last one is incomplete.
pub(crate) fn count_images(images: &[f32], shape: Shape) -> Result<usize> {
    let len = shape.len();
    if images.is_empty() || !images.len().is_multiple_of(len) {
        return Err(RequestError::ElementCount { given: images.len(), shape }.into());
    }
    Ok(images.len() / len)
}

/// Copies an image to its place; `number` is its index in the request.
///
/// # Errors
/// When an element is not finite.
pub(crate) fn copy_image(from: &[f32], to: &mut [f32], number: usize) -> Result<()> {
    if copy_finite(from, to) { Ok(()) } else { Err(non_finite(from, number)) }
}

/// The error for `image`, an element of which is not finite; `number` is its index in the request.
pub(crate) fn non_finite(image: &[f32], number: usize) -> Error {
    let element = image.iter().position(|x| !x.is_finite()).expect("one of them");
    RequestError::NonFinite { image: number + 1, element, value: image[element] }.into()
}

/// The output spaces of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outputs<'a> {
    spaces: &'a [f32],
    len: usize,
}

impl<'a> Outputs<'a> {
    /// The value at `slot` of image `image`.
    pub(crate) fn read(&self, image: usize, slot: Slot) -> &'a [f32] {
        &self.spaces[image * self.len..][slot.offset..][..slot.shape.len()]
    }
}

/// A plan on a device, with batches in flight.
pub(crate) struct BatchRunner {
    session: Box<dyn Session>,
    /// Where the classes of the targets begin in the input space, behind the image and the taps.
    targets: usize,
    /// Of what the runs belong to, if it takes many.
    progress: Progress,
}

impl BatchRunner {
    pub(crate) fn new(plan: Plan, device: &Device, batch: usize) -> Result<BatchRunner> {
        let targets = plan.inputs().iter().filter(|slot| slot.shape.len() == 1).map(|slot| slot.offset);
        let targets = targets.min().unwrap_or(plan.input_len);
        let session = device.session(Arc::new(plan), batch.max(1))?;
        Ok(BatchRunner { session, targets, progress: Progress::default() })
    }

    /// From now on, `progress` counts and stops the runs.
    pub(crate) fn follow(&mut self, progress: &Progress) {
        self.progress = progress.clone();
    }

    pub(crate) fn session(&self) -> &dyn Session {
        self.session.as_ref()
    }

    pub(crate) fn session_mut(&mut self) -> &mut dyn Session {
        self.session.as_mut()
    }

    /// The largest batch.
    pub(crate) fn capacity(&self) -> usize {
        self.session.capacity()
    }

    /// Starts a batch of `n` images; `fill` writes each one's input space. A target that it leaves out is the
    /// class that the logits predict.
    pub(crate) fn submit(
        &mut self,
        n: usize,
        mut fill: impl FnMut(usize, &mut [f32]) -> Result<()>,
    ) -> Result<()> {
        let targets = self.targets;
        self.session.submit(n, &mut |image, space| {
            space[targets..].fill(TargetInput::Predicted.encode());
            fill(image, space)
        })
    }

    /// Waits for the oldest batch in flight and returns its results.
    pub(crate) fn wait(&mut self) -> Result<Outputs<'_>> {
        self.session.wait()?;
        Ok(self.outputs())
    }

    /// Runs a batch to its end: see [`BatchRunner::submit`].
    ///
    /// # Errors
    /// When the device fails, or the runs are to stop.
    pub(crate) fn run(
        &mut self,
        n: usize,
        fill: impl FnMut(usize, &mut [f32]) -> Result<()>,
    ) -> Result<Outputs<'_>> {
        self.progress.check()?;
        self.submit(n, fill)?;
        self.session.wait()?;
        self.progress.advance(n);
        Ok(self.outputs())
    }

    /// As [`BatchRunner::run`], exit by exit: an image stops once `continues` says that it needs no
    /// later exit.
    pub(crate) fn run_early_exit(
        &mut self,
        n: usize,
        mut fill: impl FnMut(usize, &mut [f32]) -> Result<()>,
        mut continues: impl FnMut(usize, usize, &[f32]) -> bool,
    ) -> Result<Outputs<'_>> {
        self.progress.check()?;
        let targets = self.targets;
        let mut fill = |image: usize, space: &mut [f32]| {
            space[targets..].fill(TargetInput::Predicted.encode());
            fill(image, space)
        };
        self.session.run_early_exit(n, &mut fill, &mut continues)?;
        self.progress.advance(n);
        Ok(self.outputs())
    }

    /// The results of the last batch that was waited for; gone with the next one that is submitted.
    pub(crate) fn outputs(&self) -> Outputs<'_> {
        Outputs { spaces: self.session.outputs(), len: self.session.plan().output_len }
    }
}
