//! Smooth and leaky activations, element by element. The rules of [`super::ReluRule`] are defined for ReLUs alone: these
//! keep their derivative under each of them.
//!
//! | activation | y | dy/dx |
//! |---|---|---|
//! | sigmoid | s(x) = 1 / (1 + exp(-x)) | s (1 - s) |
//! | hard sigmoid | min(max(slope x + offset, 0), 1) | slope where 0 < y < 1, otherwise 0 |
//! | hard swish | x min(max(x + 3, 0), 6) / 6 | 0 up to -3, 1 from 3 on, (2 x + 3) / 6 between them |
//! | SiLU | x s(x) | s (1 + x (1 - s)) |
//! | leaky ReLU | x where x > 0, otherwise slope x | 1 where x > 0, otherwise slope |
//!
//! Hard swish: Howard et al. 2019, arXiv 1905.02244. SiLU: Elfwing et al. 2018, arXiv 1702.03118.

use super::Op;
use crate::Result;
use crate::engine::graph::{Graph, NodeId};

/// Parameters of [`Op::Activation`], and of [`Op::ActivationGrad`], whose inputs are the gradient and x.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// 1 / (1 + exp(-x)).
    Sigmoid,
    /// min(max(slope x + offset, 0), 1).
    HardSigmoid {
        /// Slope; 1/6 in PyTorch, 0.2 in ONNX unless the file has another.
        slope: f32,
        /// Offset, 0.5 in both.
        offset: f32,
    },
    /// x min(max(x + 3, 0), 6) / 6.
    HardSwish,
    /// x / (1 + exp(-x)), also called swish.
    Silu,
    /// x where it is positive, otherwise `slope` x.
    LeakyRelu {
        /// Slope of the negative side.
        slope: f32,
    },
}

impl Activation {
    pub(super) fn vjp(self, graph: &mut Graph, input: NodeId, grad: NodeId) -> Result<NodeId> {
        graph.push(Op::ActivationGrad(self), &[grad, input])
    }
}

impl From<Activation> for Op {
    fn from(op: Activation) -> Op {
        Op::Activation(op)
    }
}
