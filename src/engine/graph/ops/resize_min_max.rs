//! Bilinear resizing of a map, then min-max normalization to [0, 1]: from an activation map to a heatmap.

use super::Op;
use crate::error::GraphError;
use crate::{Result, Shape};

/// Parameters of [`Op::ResizeMinMax`]: a (1, h, w) map is resized bilinearly (half-pixel centers, repeated
/// edges) to (1, `height`, `width`); then its minimum is subtracted and it is divided by the maximum of
/// the result. A constant map becomes zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResizeMinMax {
    /// Rows of the result.
    pub height: usize,
    /// Columns of the result.
    pub width: usize,
}

impl From<ResizeMinMax> for Op {
    fn from(op: ResizeMinMax) -> Op {
        Op::ResizeMinMax(op)
    }
}

impl ResizeMinMax {
    pub(super) fn shape(&self, input: Shape) -> Result<Shape> {
        if input.c != 1 || self.height == 0 || self.width == 0 {
            let (height, width) = (self.height, self.width);
            return Err(GraphError::Resize { op: "resize_min_max", input, height, width }.into());
        }
        Ok(Shape::new(1, self.height, self.width))
    }
}
