//! Convolution and its gradient through the micro-kernel of [`super::gemm`].

mod conv2d;
mod conv2d_grad;
mod conv2d_grad_small;
mod pack;
mod weight;
mod winograd;

pub(super) use conv2d::{Conv2dTiles, PackedConv2d};
pub(super) use conv2d_grad::PackedConv2dGrad;
pub(super) use conv2d_grad_small::FewPixelConv2dGrad;
pub(super) use weight::PackedWeight;
pub(super) use winograd::{WinogradConv2d, WinogradTiles};

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
    /// At most `parts` parts that make up this one, which begins at pixel 0 and group 0: some pixels of all
    /// channels, in multiples of `pixels`, or all pixels of some channels, whichever has the part that
    /// costs less where it costs most.
    fn cut(&self, pixels: usize, parts: usize, cost: impl Fn(&Part) -> usize) -> Vec<Part> {
        let by_pixels = cut(self.pixels.len(), pixels, parts).into_iter();
        let by_pixels: Vec<Part> = by_pixels.map(|pixels| Part { pixels, ..self.clone() }).collect();
        let by_groups = cut(self.groups.len(), 1, parts).into_iter();
        let by_groups: Vec<Part> = by_groups.map(|groups| Part { groups, ..self.clone() }).collect();
        let longest = |parts: &[Part]| parts.iter().map(&cost).max();
        if longest(&by_groups) < longest(&by_pixels) { by_groups } else { by_pixels }
    }

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
