//! Fully connected layer on the flattened input: y[o] = bias[o] + sum over i of weight[o, i] * x[i].

use super::Op;
use crate::engine::graph::{Graph, NodeId, ParamId};
use crate::error::GraphError;
use crate::{Result, Shape};

/// Parameters of [`Op::Linear`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Linear {
    /// (O, I).
    pub weight: ParamId,
    /// (O).
    pub bias: ParamId,
}

impl From<Linear> for Op {
    fn from(op: Linear) -> Op {
        Op::Linear(op)
    }
}

impl Linear {
    pub(super) fn shape(&self, graph: &Graph, input: Shape) -> Result<Shape> {
        let [outputs, expected] = graph.dims("linear", self.weight)?;
        graph.check_dims("linear", self.bias, [outputs])?;
        if expected != input.len() {
            let given = input.len();
            return Err(GraphError::WeightSize { op: "linear", unit: "elements", expected, given }.into());
        }
        Ok(Shape::vector(outputs))
    }

    pub(super) fn vjp(&self, graph: &mut Graph, input: NodeId, grad: NodeId) -> Result<NodeId> {
        let input = graph.shape(input);
        graph.push(Op::LinearGrad(LinearGrad { weight: self.weight, input }), &[grad])
    }
}

/// Parameters of [`Op::LinearGrad`]: `dx[i]` = sum over o of `weight[o, i] * g[o]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinearGrad {
    /// (O, I).
    pub weight: ParamId,
    /// Shape of the layer's input, which is that of the result.
    pub input: Shape,
}

impl LinearGrad {
    pub(super) fn shape(&self, graph: &Graph, grad: Shape) -> Result<Shape> {
        let [outputs, _] = graph.dims("linear_grad", self.weight)?;
        if outputs != grad.len() {
            let expected = Shape::vector(outputs);
            return Err(GraphError::GradientShape { op: "linear_grad", expected, given: grad }.into());
        }
        graph.check_dims("linear_grad", self.weight, [outputs, self.input.len()])?;
        Ok(self.input)
    }
}
