//! Average pooling: the mean over windows. The gradient of a window is divided equally among its elements.
//!
//! Padding is zero, and counts as elements of a window or not: `count_include_pad` of PyTorch and ONNX. Where
//! `ceil_mode` lets windows reach beyond the padding that was asked for, the rest never counts.

use super::{Op, Window};
use crate::engine::graph::{Graph, NodeId};
use crate::error::GraphError;
use crate::{Result, Shape};

/// Parameters of [`Op::AvgPool`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AvgPool {
    /// Kernel, stride, padding. Each window has a pixel of the image.
    pub window: Window,
    /// How much of the padding before and after the image, each (rows, columns), counts as elements of a window:
    /// the mean is the sum of the window's pixels over the number of its pixels and of these. Zero: only pixels
    /// count. More than the window's padding is as much as that.
    pub counted: [[usize; 2]; 2],
}

impl From<AvgPool> for Op {
    fn from(op: AvgPool) -> Op {
        Op::AvgPool(op)
    }
}

impl AvgPool {
    pub(super) fn shape(&self, input: Shape) -> Result<Shape> {
        self.window.pooled("avg_pool", input)
    }

    /// Whether this is the mean over each whole channel of `input`.
    pub(crate) fn is_mean(&self, input: Shape) -> bool {
        let Window { kernel, padding, .. } = self.window;
        kernel == [input.h, input.w] && padding == [[0; 2]; 2]
    }

    /// Padding that counts and is within reach of a window, before and after the image, each (rows, columns).
    pub(crate) fn counted(&self) -> [[usize; 2]; 2] {
        [0, 1].map(|side| [0, 1].map(|axis| self.counted[side][axis].min(self.window.padding[side][axis])))
    }

    /// One over the number of elements of the window at `position`, (row, column), over an image of `input`'s
    /// height and width.
    pub(crate) fn share(&self, position: [usize; 2], input: Shape) -> f32 {
        let Window { kernel, stride, padding: [padding, _], .. } = self.window;
        let [before, after] = self.counted();
        let along = |axis: usize, size: usize| {
            // Both from the first row or column of the padding.
            let start = position[axis] * stride[axis];
            let (first, end) = (padding[axis] - before[axis], padding[axis] + size + after[axis]);
            (start + kernel[axis]).min(end) - start.max(first)
        };
        1.0 / (along(0, input.h) * along(1, input.w)) as f32
    }

    pub(super) fn vjp(&self, graph: &mut Graph, input: NodeId, grad: NodeId) -> Result<NodeId> {
        let input = graph.shape(input);
        graph.push(Op::AvgPoolGrad(AvgPoolGrad { forward: *self, input }), &[grad])
    }
}

/// Parameters of [`Op::AvgPoolGrad`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AvgPoolGrad {
    /// The pooling.
    pub forward: AvgPool,
    /// Shape of the pooling's input, which is that of the result.
    pub input: Shape,
}

impl AvgPoolGrad {
    pub(super) fn shape(&self, grad: Shape) -> Result<Shape> {
        let expected = self.forward.shape(self.input)?;
        if grad != expected {
            return Err(GraphError::GradientShape { op: "avg_pool_grad", expected, given: grad }.into());
        }
        Ok(self.input)
    }
}
