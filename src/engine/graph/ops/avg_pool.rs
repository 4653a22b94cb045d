//! Average pooling: the mean over windows without padding. The gradient of a window is divided equally
//! among its elements.

use super::{Op, Window};
use crate::engine::graph::{Graph, NodeId};
use crate::error::GraphError;
use crate::{Result, Shape};

/// Parameters of [`Op::AvgPool`]. The padding is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AvgPool {
    /// Kernel and stride.
    pub window: Window,
}

impl From<AvgPool> for Op {
    fn from(op: AvgPool) -> Op {
        Op::AvgPool(op)
    }
}

impl AvgPool {
    pub(super) fn shape(&self, input: Shape) -> Result<Shape> {
        if self.window.padding != [[0; 2]; 2] {
            return Err(GraphError::Padding { op: "avg_pool", padding: self.window.padding }.into());
        }
        let [h, w] = self.window.positions("avg_pool", input.h, input.w)?;
        Ok(Shape::new(input.c, h, w))
    }

    pub(super) fn vjp(&self, graph: &mut Graph, input: NodeId, grad: NodeId) -> Result<NodeId> {
        let input = graph.shape(input);
        graph.push(Op::AvgPoolGrad(AvgPoolGrad { window: self.window, input }), &[grad])
    }
}

/// Parameters of [`Op::AvgPoolGrad`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AvgPoolGrad {
    /// The pooling's kernel and stride.
    pub window: Window,
    /// Shape of the pooling's input, which is that of the result.
    pub input: Shape,
}

impl AvgPoolGrad {
    pub(super) fn shape(&self, grad: Shape) -> Result<Shape> {
        let expected = AvgPool { window: self.window }.shape(self.input)?;
        if grad != expected {
            return Err(GraphError::GradientShape { op: "avg_pool_grad", expected, given: grad }.into());
        }
        Ok(self.input)
    }
}
