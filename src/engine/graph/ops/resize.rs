//! Resizing of a map's rows and columns, linear or to the nearest pixel.
//!
//! Along each axis, position i of the result is at coordinate scale * i + shift of the input, which is how all coordinate
//! modes of ONNX's `Resize` can be written: `half_pixel` has scale = from / to and shift = scale / 2 - 1/2,
//! `align_corners` scale = (from - 1) / (to - 1) and no shift, `asymmetric` scale = from / to and no shift. Coordinates
//! beyond the edges are those of the edges.

use super::Op;
use crate::engine::graph::{Graph, NodeId};
use crate::error::GraphError;
use crate::{Result, Shape};

/// Largest side of the result.
const MAX_SIDE: usize = u16::MAX as usize;
/// Coordinates this close to a multiple of 1/2 are it: scales are quotients of integers, rounded.
const EXACT: f64 = 1e-9;

/// How the value at a coordinate between two pixels is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interpolation {
    /// Between the two, in proportion to the distances.
    Linear,
    /// The nearest pixel; the left or upper one in the middle.
    NearestPreferFloor,
    /// The nearest pixel; the right or lower one in the middle.
    NearestPreferCeil,
    /// The left or upper pixel.
    Floor,
    /// The right or lower pixel.
    Ceil,
}

/// How one axis is resized.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Length of the result.
    pub len: usize,
    /// From a position of the result to the next, in pixels of the input.
    pub scale: f64,
    /// Coordinate of position 0.
    pub shift: f64,
}

/// Where a row or column of the result comes from: (1 - part) * x(first) + part * x(second).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// A row or column of the input.
    pub first: usize,
    /// The next one, or the same.
    pub second: usize,
    /// Share of the second, from 0 to 1.
    pub part: f32,
}

/// Parameters of [`Op::Resize`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resize {
    /// Of both axes.
    pub interpolation: Interpolation,
    /// Rows and columns.
    pub axes: [Sampling; 2],
}

impl From<Resize> for Op {
    fn from(op: Resize) -> Op {
        Op::Resize(op)
    }
}

impl Resize {
    pub(super) fn shape(&self, input: Shape) -> Result<Shape> {
        for axis in self.axes {
            let is_finite = axis.scale.is_finite() && axis.shift.is_finite() && axis.scale >= 0.0;
            if axis.len == 0 || axis.len > MAX_SIDE || !is_finite {
                let Sampling { len, scale, shift } = axis;
                let text = format!("{len} positions at {scale} i + {shift}");
                return Err(GraphError::Sampling { op: "resize", sampling: text }.into());
            }
        }
        Ok(Shape { h: self.axes[0].len, w: self.axes[1].len, ..input })
    }

    /// Where the rows (axis 0) or columns (axis 1) of the result come from, in order; the input has `size`. First and
    /// second never decrease.
    pub fn samples(&self, axis: usize, size: usize) -> Vec<Sample> {
        let Sampling { len, scale, shift } = self.axes[axis];
        let last = size - 1;
        let sample = |position: usize| {
            let place = scale * position as f64 + shift;
            let halves = (2.0 * place).round() / 2.0;
            let place = if (place - halves).abs() < EXACT { halves } else { place };
            let place = place.clamp(0.0, last as f64);
            let nearest = match self.interpolation {
                Interpolation::Linear => {
                    let first = place.floor() as usize;
                    let part = (place - place.floor()) as f32;
                    return Sample { first, second: (first + 1).min(last), part };
                }
                Interpolation::NearestPreferFloor => (place - 0.5).ceil(),
                Interpolation::NearestPreferCeil => (place + 0.5).floor(),
                Interpolation::Floor => place.floor(),
                Interpolation::Ceil => place.ceil(),
            };
            let pixel = (nearest.max(0.0) as usize).min(last);
            Sample { first: pixel, second: pixel, part: 0.0 }
        };
        (0..len).map(sample).collect()
    }

    pub(super) fn vjp(&self, graph: &mut Graph, input: NodeId, grad: NodeId) -> Result<NodeId> {
        let input = graph.shape(input);
        graph.push(Op::ResizeGrad(ResizeGrad { forward: *self, input }), &[grad])
    }
}

/// Parameters of [`Op::ResizeGrad`]: each pixel of the gradient goes to the pixels that it comes from, in their shares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ResizeGrad {
    /// The resizing.
    pub forward: Resize,
    /// Shape of its input, which is that of the result.
    pub input: Shape,
}

impl ResizeGrad {
    pub(super) fn shape(&self, grad: Shape) -> Result<Shape> {
        let expected = self.forward.shape(self.input)?;
        if grad != expected {
            return Err(GraphError::GradientShape { op: "resize_grad", expected, given: grad }.into());
        }
        Ok(self.input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(
        interpolation: Interpolation,
        len: usize,
        scale: f64,
        shift: f64,
        size: usize,
    ) -> Vec<(usize, f32)> {
        let axis = Sampling { len, scale, shift };
        let op = Resize { interpolation, axes: [axis; 2] };
        op.samples(0, size).into_iter().map(|sample| (sample.first, sample.part)).collect()
    }

    #[test]
    fn coordinates_are_clamped_and_exact_where_they_are_whole() {
        let double = samples(Interpolation::Linear, 4, 0.5, -0.25, 2);
        assert_eq!(double, [(0, 0.0), (0, 0.25), (0, 0.75), (1, 0.0)]);
        let corners = samples(Interpolation::Linear, 7, 2.0 / 6.0, 0.0, 3);
        assert_eq!((corners[3], corners[6]), ((1, 0.0), (2, 0.0)));
        // 1/3 is rounded, and 3 times it is 1 all the same.
        let third = samples(Interpolation::Floor, 9, 1.0 / 3.0, 0.0, 3);
        assert_eq!(third.iter().map(|s| s.0).collect::<Vec<_>>(), [0, 0, 0, 1, 1, 1, 2, 2, 2]);
    }

    #[test]
    fn the_middle_goes_to_the_preferred_pixel() {
        let nearest = |how| samples(how, 3, 1.0, 0.5, 3).into_iter().map(|s| s.0).collect::<Vec<_>>();
        assert_eq!(nearest(Interpolation::NearestPreferFloor), [0, 1, 2]);
        assert_eq!(nearest(Interpolation::NearestPreferCeil), [1, 2, 2]);
        assert_eq!(nearest(Interpolation::Ceil), [1, 2, 2]);
        assert_eq!(nearest(Interpolation::Floor), [0, 1, 2]);
    }
}
