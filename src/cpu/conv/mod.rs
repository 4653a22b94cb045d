//! Convolution and its gradient through the micro-kernel of [`super::gemm`].

mod conv2d;
mod conv2d_grad;
mod few_pixels;
mod pack;
mod weight;

pub(super) use conv2d::PackedConv2d;
pub(super) use conv2d_grad::PackedConv2dGrad;
pub(super) use few_pixels::FewPixelConv2dGrad;
pub(super) use weight::PackedWeight;

use std::ops::Range;

use crate::Shape;

/// A part of a convolution that one thread computes: some channel groups of some pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// Groups of output channels.
    pub(super) groups: Range<usize>,
    /// Output pixels, in row order.
    pub(super) pixels: Range<usize>,
}

impl Part {
    /// At most `parts` parts of whole channels.
    pub(super) fn by_channel(output: Shape, parts: usize) -> Vec<Part> {
        let pixels = 0..output.plane();
        cut(output.c, 1, parts).into_iter().map(|groups| Part { groups, pixels: pixels.clone() }).collect()
    }
}

/// Cuts `total` into at most `parts` ranges whose ends are multiples of `step`.
fn cut(total: usize, step: usize, parts: usize) -> Vec<Range<usize>> {
    let steps = total.div_ceil(step);
    let parts = parts.min(steps).max(1);
    (0..parts).map(|i| (steps * i / parts) * step..(steps * (i + 1) / parts * step).min(total)).collect()
}
