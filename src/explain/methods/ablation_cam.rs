//! The forward passes of Ablation-CAM: one for each channel of a tap, with that channel set to zero.
//!
//! Each pass starts at the tap, so that the layers before it are computed once; for an exit's own tap
//! only the head is left. Zero is the paper's choice; pytorch-grad-cam agrees where the tap's minimum
//! is zero, as after a ReLU, and otherwise sets the channel to the minimum minus 10^7.

use crate::engine::device::Device;
use crate::engine::plan::{Order, Plan, Slot};
use crate::explain::batch_runner::{BatchRunner, batch_within};
use crate::explain::progress::Progress;
use crate::explain::request::ExplainRequest;
use crate::model::{Model, Tap};
use crate::{Result, Shape};

/// The layers between a tap and an exit's logits, on a device.
pub(crate) struct AblationCamRuns {
    exit: usize,
    tap: Tap,
    runner: BatchRunner,
    /// Image and tap, in the input space.
    inputs: [Slot; 2],
    logits: Slot,
}

impl AblationCamRuns {
    pub(crate) fn new(
        model: &Model,
        request: &ExplainRequest,
        exit: usize,
        tap: Tap,
        device: &Device,
    ) -> Result<AblationCamRuns> {
        let logits = model.exits[exit - 1].logits;
        let plan = Plan::new(&model.graph.cut(tap.node), &[logits], Order::Depth)?;
        let batch = batch_within(&plan, device, request.max_memory, "ablation-cam")?;
        // The graph's first node is the image, which can be the tap too.
        let image = plan.inputs()[0];
        let tap_slot = plan.inputs().get(1).copied().unwrap_or(image);
        let (inputs, logits) = ([image, tap_slot], plan.outputs()[0]);
        Ok(AblationCamRuns { exit, tap, runner: BatchRunner::new(plan, device, batch)?, inputs, logits })
    }

    /// From now on, `progress` counts and stops the runs.
    pub(crate) fn follow(&mut self, progress: &Progress) {
        self.runner.follow(progress);
    }

    /// Whether the passes go from `tap` to exit `exit`.
    pub(crate) fn are_of(&self, exit: usize, tap: &Tap) -> bool {
        self.exit == exit && self.tap == *tap
    }

    /// For each channel, the exit's logits with that channel of `activations` (`shape`) zeroed; `image` is
    /// (3, H, W).
    pub(crate) fn logits(
        &mut self,
        image: &[f32],
        shape: Shape,
        activations: &[f32],
    ) -> Result<Vec<Vec<f32>>> {
        let [image_slot, tap_slot] = self.inputs;
        let batch = self.runner.capacity();
        let mut logits = Vec::with_capacity(shape.c);
        for first in (0..shape.c).step_by(batch) {
            let n = batch.min(shape.c - first);
            let outputs = self.runner.run(n, |i, space| {
                space[image_slot.offset..][..image.len()].copy_from_slice(image);
                let tap = &mut space[tap_slot.offset..][..activations.len()];
                tap.copy_from_slice(activations);
                tap[(first + i) * shape.plane()..][..shape.plane()].fill(0.0);
                Ok(())
            })?;
            logits.extend((0..n).map(|i| outputs.read(i, self.logits).to_vec()));
        }
        Ok(logits)
    }
}
