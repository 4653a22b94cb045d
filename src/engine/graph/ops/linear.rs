//! Fully connected layer on the flattened input: y[o] = bias[o] + sum over i of weight[o, i] * x[i].

use super::{Conv2d, Conv2dGrad, Op, Window};
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

    /// The 1x1 convolution that computes it, from a vector of `inputs` elements to one of `outputs`.
    pub(crate) fn as_conv2d(&self, [inputs, outputs]: [usize; 2]) -> Conv2d {
        let (weight, bias, window) = (self.weight, Some(self.bias), Window::square(1, 1, 0));
        Conv2d {
            weight,
            bias,
            out: outputs,
            channels: inputs,
            groups: 1,
            window,
            residual: false,
            relu: None,
        }
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
    /// The gradient of the 1x1 convolution that computes the layer, for a layer of `outputs` outputs.
    pub(crate) fn as_conv2d_grad(&self, outputs: usize) -> Conv2dGrad {
        let (input, window) = (Shape::vector(self.input.len()), Window::square(1, 1, 0));
        Conv2dGrad { weight: self.weight, out: outputs, input, groups: 1, window, relu: None }
    }

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
