//! A plan on its device, with the buffers of its batches.

use std::sync::Arc;

use crate::engine::device::Device;
use crate::engine::graph::ops::TargetInput;
use crate::engine::plan::{Plan, Slot};
use crate::engine::session::Session;
use crate::{Error, Result};

/// More images than this in one batch bring nothing.
const LARGEST_BATCH: usize = 256;

/// The largest batch of `plan` whose numbers take no more than `max_memory` bytes.
///
/// # Errors
/// When one image takes more: says for which method.
pub(crate) fn batch_within(plan: &Plan, max_memory: usize, method: &str) -> Result<usize> {
    let image = bytes_an_image(plan);
    match max_memory / image {
        0 => Err(Error::usage(format!(
            "{method}: one image takes {image} bytes, the memory limit leaves {max_memory}"
        ))),
        images => Ok(images.min(LARGEST_BATCH)),
    }
}

/// What a batch of `plan` takes for each image, on the host and on the device together.
pub(crate) fn bytes_an_image(plan: &Plan) -> usize {
    // Inputs and outputs are on both.
    let numbers = 2 * plan.input_len + 2 * plan.output_len + plan.work_len;
    (numbers * size_of::<f32>()).max(1)
}

/// See the module's documentation.
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

    /// Runs `n` images; `fill` writes each one's input space, full of -1 before: the class of each
    /// target that is not given is left to the logits.
    pub(crate) fn run(&mut self, n: usize, fill: impl FnMut(usize, &mut [f32])) -> Result<()> {
        self.fill(n, fill);
        self.session.run(&self.inputs, &mut self.outputs)
    }

    /// The same, but no further than exit `exit`.
    pub(crate) fn run_until(
        &mut self,
        exit: usize,
        n: usize,
        fill: impl FnMut(usize, &mut [f32]),
    ) -> Result<()> {
        self.fill(n, fill);
        let mut earlier = |done: usize, _: usize, _: &[f32]| done < exit;
        self.session.run_early_exit(&self.inputs, &mut self.outputs, &mut earlier)?;
        Ok(())
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

    /// The value at `slot` that the last run made of image `image`.
    pub(crate) fn read(&self, image: usize, slot: Slot) -> &[f32] {
        &self.outputs[image * self.session.plan().output_len + slot.offset..][..slot.shape.len()]
    }
}
