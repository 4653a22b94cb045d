//! Max pooling: the maximum over windows. A tie goes to the first maximum in row order, as in PyTorch;
//! padding is never the maximum. The gradient of a window goes to its maximum.

use super::{Op, Window};
use crate::engine::graph::{Graph, NodeId};
use crate::error::GraphError;
use crate::{Result, Shape};

/// Parameters of [`Op::MaxPool`]. Each window has a pixel of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxPool {
    /// Kernel, stride, padding.
    pub window: Window,
}

impl From<MaxPool> for Op {
    fn from(op: MaxPool) -> Op {
        Op::MaxPool(op)
    }
}

impl MaxPool {
    pub(super) fn shape(&self, input: Shape) -> Result<Shape> {
        self.window.pooled("max_pool", input)
    }

    pub(super) fn vjp(&self, graph: &mut Graph, input: NodeId, grad: NodeId) -> Result<NodeId> {
        graph.push(Op::MaxPoolGrad(MaxPoolGrad { window: self.window }), &[grad, input])
    }
}

/// Parameters of [`Op::MaxPoolGrad`]; inputs: the gradient, the pooling's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxPoolGrad {
    /// The pooling's kernel, stride, padding.
    pub window: Window,
}

impl MaxPoolGrad {
    pub(super) fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let expected = MaxPool { window: self.window }.shape(inputs[1])?;
        if inputs[0] != expected {
            return Err(GraphError::GradientShape { op: "max_pool_grad", expected, given: inputs[0] }.into());
        }
        Ok(inputs[1])
    }
}
