//! The runs of Ablation-CAM: the rest of the network without each channel of a tap, in batches.
//!
//! The network is entered at the tap, so that what comes before it is not computed again; of the
//! head of an exit's own tap that leaves little. The ablated channel is set to zero, as in the
//! paper; pytorch-grad-cam does the same where the tap's minimum is zero, as behind every ReLU,
//! and otherwise subtracts ten million.

use crate::engine::device::Device;
use crate::engine::plan::{Order, Plan, Slot};
use crate::explain::batch_runner::{BatchRunner, batch_within};
use crate::explain::request::ExplainRequest;
use crate::model::{Model, Tap};
use crate::{Result, Shape};

/// What comes after a tap.
pub(crate) struct AblationCamRuns {
    exit: usize,
    tap: Tap,
    loaded: BatchRunner,
    /// Where image and tap lie in the input space.
    inputs: [Slot; 2],
    logits: Slot,
}

impl AblationCamRuns {
    pub(crate) fn new(
        model: &Model,
        study: &ExplainRequest,
        exit: usize,
        tap: Tap,
        device: &Device,
    ) -> Result<AblationCamRuns> {
        let logits = model.exits[exit - 1].logits;
        let plan = Plan::new(&model.graph.cut(tap.node), &[logits], Order::Depth)?;
        let batch = batch_within(&plan, study.max_memory, "ablation-cam")?;
        // The image comes first: it is the graph's first node.
        let (inputs, logits) = ([plan.inputs()[0], plan.inputs()[1]], plan.outputs()[0]);
        Ok(AblationCamRuns { exit, tap, loaded: BatchRunner::new(plan, device, batch)?, inputs, logits })
    }

    /// Whether these are the runs of exit `exit` and `tap`.
    pub(crate) fn are_of(&self, exit: usize, tap: &Tap) -> bool {
        self.exit == exit && self.tap == *tap
    }

    /// The exit's logits for `image` without each channel of `activations`, of `shape`.
    pub(crate) fn logits(
        &mut self,
        image: &[f32],
        shape: Shape,
        activations: &[f32],
    ) -> Result<Vec<Vec<f32>>> {
        let [image_slot, tap_slot] = self.inputs;
        let batch = self.loaded.capacity();
        let mut logits = Vec::with_capacity(shape.c);
        for first in (0..shape.c).step_by(batch) {
            let n = batch.min(shape.c - first);
            self.loaded.run(n, |i, space| {
                space[image_slot.offset..][..image.len()].copy_from_slice(image);
                let tap = &mut space[tap_slot.offset..][..activations.len()];
                tap.copy_from_slice(activations);
                tap[(first + i) * shape.plane()..][..shape.plane()].fill(0.0);
            })?;
            logits.extend((0..n).map(|i| self.loaded.read(i, self.logits).to_vec()));
        }
        Ok(logits)
    }
}
