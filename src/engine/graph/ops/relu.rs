//! Rectified linear unit min(max(x, 0), max), and three rules for its gradient.
//!
//! All three rules need only the *result* y: 0 < y < max exactly where 0 < x < max.

use super::Op;
use crate::Result;
use crate::engine::graph::{Graph, NodeId};

/// Parameters of [`Op::Relu`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Relu {
    /// Upper bound, positive: infinite for a plain ReLU, 6 for ReLU6.
    pub max: f32,
}

impl Relu {
    /// A ReLU without an upper bound.
    pub const PLAIN: Relu = Relu { max: f32::INFINITY };

    pub(super) fn vjp(self, graph: &mut Graph, node: NodeId, grad: NodeId, rule: ReluRule) -> Result<NodeId> {
        graph.push(ReluGrad { rule, max: self.max }, &[grad, node])
    }
}

impl From<Relu> for Op {
    fn from(op: Relu) -> Op {
        Op::Relu(op)
    }
}

/// Gradient rule of a ReLU: where the incoming gradient passes. Where the ReLU is at its upper bound, it never does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ReluRule {
    /// The derivative: where the value is positive.
    #[default]
    Plain,
    /// Guided backpropagation (Springenberg et al. 2015, arXiv 1412.6806): where both the value
    /// and the gradient are positive.
    Guided,
    /// Deconvnet (Zeiler and Fergus 2014, arXiv 1311.2901): where the gradient is positive.
    Deconvnet,
}

/// Parameters of [`Op::ReluGrad`]; inputs: the gradient, the ReLU's result.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReluGrad {
    /// The rule.
    pub rule: ReluRule,
    /// Upper bound of the ReLU.
    pub max: f32,
}

impl ReluGrad {
    /// The gradient of the input for incoming gradient `g` and result `y`.
    pub fn apply(self, g: f32, y: f32) -> f32 {
        let open = match self.rule {
            ReluRule::Plain => y > 0.0,
            ReluRule::Guided => y > 0.0 && g > 0.0,
            ReluRule::Deconvnet => g > 0.0,
        };
        if open && y < self.max { g } else { 0.0 }
    }
}

impl From<ReluGrad> for Op {
    fn from(op: ReluGrad) -> Op {
        Op::ReluGrad(op)
    }
}
