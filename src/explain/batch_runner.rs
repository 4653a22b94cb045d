//! A session with the host buffers of its batches.

use std::sync::Arc;

use crate::engine::device::Device;
use crate::engine::graph::ops::TargetInput;
use crate::engine::plan::{Plan, Slot};
use crate::engine::session::Session;
use crate::engine::tensor::all_finite;
use crate::error::RequestError;
use crate::{Result, Shape};

/// Limit on the batch size of perturbation runs: larger batches are not faster.
const MAX_BATCH: usize = 256;

/// The largest batch of `plan` whose buffers take no more than `max_memory` bytes.
///
/// # Errors
/// When one image takes more: names `purpose`.
pub(crate) fn batch_within(plan: &Plan, max_memory: usize, purpose: &str) -> Result<usize> {
    let image = bytes_per_image(plan);
    match max_memory / image {
        0 => {
            let purpose = purpose.into();
            Err(RequestError::MemoryLimit { purpose, needed: image, limit: max_memory }.into())
        }
        images => Ok(images.min(MAX_BATCH)),
    }
}

/// Bytes that a batch of `plan` takes for each image, on the host and on the device together.
pub(crate) fn bytes_per_image(plan: &Plan) -> usize {
    // Inputs and outputs are on both.
    let elements = 2 * plan.input_len() + 2 * plan.output_len() + plan.work_len();
    (elements * size_of::<f32>()).max(1)
}

/// The number of images of `shape` in `images`.
///
/// # Errors
/// When there is no image, the last one is incomplete, or an element is not finite.
pub(crate) fn count_images(images: &[f32], shape: Shape) -> Result<usize> {
    let len = shape.len();
    if images.is_empty() || !images.len().is_multiple_of(len) {
        return Err(RequestError::ElementCount { given: images.len(), shape }.into());
    }
    if !all_finite(images) {
        let i = images.iter().position(|x| !x.is_finite()).expect("one of them");
        let (image, element) = (i / len + 1, i % len);
        return Err(RequestError::NonFinite { image, element, value: images[i] }.into());
    }
    Ok(images.len() / len)
}

/// A plan on a device, with its input and output buffers.
pub(crate) struct BatchRunner {
    session: Box<dyn Session>,
    inputs: Vec<f32>,
    outputs: Vec<f32>,
}

impl BatchRunner {
    pub(crate) fn new(plan: Plan, device: &Device, batch: usize) -> Result<BatchRunner> {
        let session = device.session(Arc::new(plan), batch.max(1))?;
        Ok(BatchRunner { session, inputs: Vec::new(), outputs: Vec::new() })
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

    /// Runs `n` images; `fill` writes each one's input space. A target that it leaves out is the
    /// class that the logits predict.
    pub(crate) fn run(&mut self, n: usize, fill: impl FnMut(usize, &mut [f32])) -> Result<()> {
        self.fill(n, fill);
        self.session.run(&self.inputs, &mut self.outputs)
    }

    /// As [`BatchRunner::run`], exit by exit: an image stops once `continues` says that it needs no
    /// later exit. Returns the last exit of each image.
    pub(crate) fn run_early_exit(
        &mut self,
        n: usize,
        fill: impl FnMut(usize, &mut [f32]),
        mut continues: impl FnMut(usize, usize, &[f32]) -> bool,
    ) -> Result<Vec<usize>> {
        self.fill(n, fill);
        self.session.run_early_exit(&self.inputs, &mut self.outputs, &mut continues)
    }

    fn fill(&mut self, n: usize, mut fill: impl FnMut(usize, &mut [f32])) {
        let (input_len, output_len) = (self.session.plan().input_len, self.session.plan().output_len);
        self.inputs.clear();
        self.inputs.resize(n * input_len, TargetInput::Predicted.encode());
        self.outputs.resize(n * output_len, 0.0);
        for (image, space) in self.inputs.chunks_exact_mut(input_len).enumerate() {
            fill(image, space);
        }
    }

    /// The value at `slot` that the last run computed for image `image` of its batch.
    pub(crate) fn read(&self, image: usize, slot: Slot) -> &[f32] {
        let space = &self.outputs[image * self.session.plan().output_len..];
        &space[slot.offset..][..slot.shape.len()]
    }
}
