//! The places of a request's values in the spaces of its main plan.

use super::batch_runner::Outputs;
use super::lowering::TargetSlots;
use super::target::best_class;
use crate::engine::graph::ops::TargetInput;
use crate::engine::plan::Slot;
use crate::engine::tensor::copy_finite;

/// Where values are in the main plan's spaces.
pub(crate) struct Layout {
    /// One for each exit and rank.
    pub(crate) targets: Vec<TargetSlots>,
    pub(crate) image: Slot,
    /// The last exit's logits, where they decide which class is explained.
    pub(crate) final_logits: Option<Slot>,
    /// As many as the longest part of a map has elements: they stand for maps that are not usable.
    pub(crate) zeros: Vec<f32>,
}

impl Layout {
    pub(crate) fn new(targets: Vec<TargetSlots>, image: Slot, final_logits: Option<Slot>) -> Layout {
        let grad_cams = targets.iter().flat_map(|target| &target.taps).filter_map(|tap| tap.grad_cam);
        let slots = grad_cams
            .flat_map(|cam| [cam.weights, cam.map].into_iter().chain(cam.heatmap.into_iter().flatten()));
        let longest = slots.map(|slot| slot.shape.len()).max().unwrap_or(0);
        Layout { targets, image, final_logits, zeros: vec![0.0; longest] }
    }

    /// Writes an image, and the classes of its targets as far as they are given, to its input space. Returns
    /// whether every element of the image is finite.
    pub(crate) fn fill(
        &self,
        image: &[f32],
        classes: impl Iterator<Item = usize>,
        space: &mut [f32],
    ) -> bool {
        for (target, class) in self.targets.iter().zip(classes) {
            space[target.class.offset] = TargetInput::Class(class).encode();
        }
        copy_finite(image, &mut space[self.image.offset..][..image.len()])
    }

    /// The class that the logits selected for a target of image `image`, by the rule of the graph.
    pub(crate) fn selected(&self, outputs: Outputs, image: usize, target: &TargetSlots) -> usize {
        let deciding = self.final_logits.unwrap_or(target.logits);
        best_class(outputs.read(image, deciding), target.rank)
    }
}
