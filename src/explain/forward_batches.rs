//! The forward pass alone, of many images about which one exit is asked.

use super::batch_runner::{BatchRunner, batch_within};
use crate::engine::device::Device;
use crate::engine::plan::{Order, Plan, Slot};
use crate::model::Model;
use crate::{Result, Shape};

/// See the module's documentation.
pub(crate) struct ForwardBatches {
    loaded: BatchRunner,
    image: Slot,
    /// Each exit and where its logits lie.
    logits: Vec<(usize, Slot)>,
}

impl ForwardBatches {
    /// For questions about `exits`, in batches that take no more than `max_memory` bytes.
    ///
    /// # Errors
    /// When one image takes more, which `purpose` then names, or the device fails.
    pub(crate) fn new(
        model: &Model,
        exits: &[usize],
        device: &Device,
        max_memory: usize,
        purpose: &str,
    ) -> Result<ForwardBatches> {
        let outputs: Vec<_> = exits.iter().map(|&exit| model.exits[exit - 1].logits).collect();
        let plan = Plan::new(&model.graph, &outputs, Order::ByExit)?;
        let logits = exits.iter().copied().zip(plan.outputs().iter().copied()).collect();
        let (image, batch) = (plan.inputs()[0], batch_within(&plan, max_memory, purpose)?);
        Ok(ForwardBatches { loaded: BatchRunner::new(plan, device, batch)?, image, logits })
    }

    /// (3, H, W) of an image.
    pub(crate) fn image(&self) -> Shape {
        self.image.shape
    }

    /// The most images of one run.
    pub(crate) fn capacity(&self) -> usize {
        self.loaded.capacity()
    }

    /// The logits of exit `exit` for each of `n` images, which `fill` writes, (3, H, W); nothing
    /// behind the exit is computed.
    pub(crate) fn logits(
        &mut self,
        exit: usize,
        n: usize,
        mut fill: impl FnMut(usize, &mut [f32]),
    ) -> Result<Vec<Vec<f32>>> {
        let slot = self.logits.iter().find(|(e, _)| *e == exit).expect("an exit of these runs").1;
        let (offset, len) = (self.image.offset, self.image.shape.len());
        let capacity = self.capacity();
        let mut logits = Vec::with_capacity(n);
        for first in (0..n).step_by(capacity) {
            let batch = capacity.min(n - first);
            let input = |i: usize, space: &mut [f32]| fill(first + i, &mut space[offset..][..len]);
            self.loaded.run_early_exit(batch, input, |done, _, _| done < exit)?;
            logits.extend((0..batch).map(|i| self.loaded.read(i, slot).to_vec()));
        }
        Ok(logits)
    }
}
