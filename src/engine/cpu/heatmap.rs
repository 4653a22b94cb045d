//! Heatmap of an activation map: resized bilinearly and scaled to [0, 1] by its minimum and maximum.

use super::cam::min_max;
use super::cost;
use super::kernel::{Kernel, SliceKernel};
use crate::engine::bilinear::bilinear_into;
use crate::engine::plan::Step;

/// The kernel of `step`, from a (1, h, w) map to a (1, H, W) heatmap; a constant map becomes zero.
pub(crate) fn resize_min_max(step: &Step) -> Box<dyn Kernel> {
    let [from, to] = [step.inputs[0].shape, step.output.shape];
    SliceKernel::new(cost::HEATMAP_PIXEL * to.len(), move |x, out, scratch| {
        bilinear_into(x.get(0), (from.h, from.w), (to.h, to.w), out, scratch);
        let mut limits = [0.0; 2];
        min_max(out, &mut limits);
        let [min, max] = limits;
        // A division each: the reciprocal of a tiny range would be infinite.
        let range = if max > min { max - min } else { 1.0 };
        for x in out {
            *x = (*x - min) / range;
        }
    })
    .with_scratch(from.h * to.w)
    .boxed()
}
