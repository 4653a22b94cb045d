//! The forward pass up to one exit for many images, as perturbation methods and metrics need it.

use super::batch_runner::{BatchRunner, batch_within};
use super::progress::Progress;
use crate::engine::device::Device;
use crate::engine::plan::{Order, Plan, Slot};
use crate::error::RequestError;
use crate::model::Model;
use crate::{Result, Shape};

/// The forward pass of some exits on a device, in batches.
pub(crate) struct ForwardBatches {
    runner: BatchRunner,
    image: Slot,
    /// Each exit and its logits, in the output space.
    logits: Vec<(usize, Slot)>,
}

impl ForwardBatches {
    /// Plans the forward pass up to `exits`, for batches of at most `max_memory` bytes.
    ///
    /// # Errors
    /// When the model lacks an exit, one image takes more (the message names `purpose`), or the device fails.
    pub(crate) fn new(
        model: &Model,
        exits: &[usize],
        device: &Device,
        max_memory: usize,
        purpose: &str,
    ) -> Result<ForwardBatches> {
        model.check_exits(exits)?;
        let outputs: Vec<_> = exits.iter().map(|&exit| model.exits[exit - 1].logits).collect();
        let plan = Plan::new(&model.graph, &outputs, Order::ByExit)?;
        let logits = exits.iter().copied().zip(plan.outputs().iter().copied()).collect();
        let (image, batch) = (plan.inputs()[0], batch_within(&plan, device, max_memory, purpose)?);
        Ok(ForwardBatches { runner: BatchRunner::new(plan, device, batch)?, image, logits })
    }

    /// From now on, `progress` counts and stops the runs.
    pub(crate) fn follow(&mut self, progress: &Progress) {
        self.runner.follow(progress);
    }

    /// (3, H, W) of an image.
    pub(crate) fn image(&self) -> Shape {
        self.image.shape
    }

    /// The largest batch of one run.
    pub(crate) fn capacity(&self) -> usize {
        self.runner.capacity()
    }

    /// The logits of exit `exit` for each of `n` images, (3, H, W), which `fill` writes; later
    /// layers are not computed.
    ///
    /// # Errors
    /// When these runs lack the exit, or the device fails.
    pub(crate) fn logits(
        &mut self,
        exit: usize,
        n: usize,
        mut fill: impl FnMut(usize, &mut [f32]),
    ) -> Result<Vec<Vec<f32>>> {
        let exits = self.logits.last().map_or(0, |(last, _)| *last);
        let unknown = RequestError::UnknownExit { exit, exits };
        let slot = self.logits.iter().find(|(e, _)| *e == exit).ok_or(unknown)?.1;
        let (offset, len) = (self.image.offset, self.image.shape.len());
        let capacity = self.capacity();
        let mut logits = Vec::with_capacity(n);
        for first in (0..n).step_by(capacity) {
            let batch = capacity.min(n - first);
            let input = |i: usize, space: &mut [f32]| {
                fill(first + i, &mut space[offset..][..len]);
                Ok(())
            };
            let outputs = self.runner.run_early_exit(batch, input, |done, _, _| done < exit)?;
            logits.extend((0..batch).map(|i| outputs.read(i, slot).to_vec()));
        }
        Ok(logits)
    }
}
