//! Batch normalization with stored statistics:
//! y = (x - mean) * weight / sqrt(variance + eps) + bias, per channel.

use super::{Op, Relu, ReluRule};
use crate::engine::graph::{Graph, NodeId, Param, ParamId};
use crate::error::GraphError;
use crate::{Result, Shape};

/// Parameters of [`Op::BatchNorm`]; each tensor has one element per channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNorm {
    /// Scale.
    pub weight: ParamId,
    /// Shift.
    pub bias: ParamId,
    /// Running mean.
    pub mean: ParamId,
    /// Running variance.
    pub variance: ParamId,
    /// Added to the variance.
    pub eps: f32,
    /// The ReLU that is applied to the result in the same step.
    pub relu: Option<Relu>,
}

impl From<BatchNorm> for Op {
    fn from(op: BatchNorm) -> Op {
        Op::BatchNorm(op)
    }
}

impl BatchNorm {
    /// Scale and shift (s, t) of each channel, y = s * x + t, in double precision.
    pub fn affine(&self, params: &[Param]) -> Vec<(f64, f64)> {
        let [weight, bias, mean, variance] =
            [self.weight, self.bias, self.mean, self.variance].map(|id| &params[id.index()].data);
        (0..weight.len())
            .map(|c| {
                let scale = f64::from(weight[c]) / (f64::from(variance[c]) + f64::from(self.eps)).sqrt();
                (scale, f64::from(bias[c]) - f64::from(mean[c]) * scale)
            })
            .collect()
    }

    pub(super) fn shape(&self, graph: &Graph, input: Shape) -> Result<Shape> {
        let [channels] = graph.dims("batch_norm", self.weight)?;
        for param in [self.bias, self.mean, self.variance] {
            graph.check_dims("batch_norm", param, [channels])?;
        }
        if channels != input.c {
            return Err(GraphError::WeightSize {
                op: "batch_norm",
                unit: "channels",
                expected: channels,
                given: input.c,
            }
            .into());
        }
        Ok(input)
    }

    pub(super) fn vjp(
        &self,
        graph: &mut Graph,
        node: NodeId,
        grad: NodeId,
        rule: ReluRule,
    ) -> Result<NodeId> {
        let grad = match self.relu {
            Some(relu) => relu.vjp(graph, node, grad, rule)?,
            None => grad,
        };
        let forward = BatchNorm { relu: None, ..*self };
        graph.push(Op::BatchNormGrad(BatchNormGrad { forward }), &[grad])
    }
}

/// Parameters of [`Op::BatchNormGrad`]: dx = g * weight / sqrt(variance + eps).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNormGrad {
    /// The normalization, without a ReLU.
    pub forward: BatchNorm,
}
