//! Rectified linear unit max(x, 0), and three rules for its gradient.
//!
//! All three rules need only the *result* y, because y > 0 exactly where x > 0.

use super::Op;
use crate::Result;
use crate::engine::graph::{Graph, NodeId};

/// Gradient rule of a ReLU: where the incoming gradient passes.
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

impl ReluRule {
    /// The gradient of the input for incoming gradient `g` and result `y`.
    pub fn apply(self, g: f32, y: f32) -> f32 {
        let open = match self {
            ReluRule::Plain => y > 0.0,
            ReluRule::Guided => y > 0.0 && g > 0.0,
            ReluRule::Deconvnet => g > 0.0,
        };
        if open { g } else { 0.0 }
    }
}

/// Parameters of [`Op::ReluGrad`]; inputs: the gradient, the ReLU's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReluGrad {
    /// The rule.
    pub rule: ReluRule,
}

impl From<ReluGrad> for Op {
    fn from(op: ReluGrad) -> Op {
        Op::ReluGrad(op)
    }
}

pub(super) fn vjp(graph: &mut Graph, node: NodeId, grad: NodeId, rule: ReluRule) -> Result<NodeId> {
    graph.push(ReluGrad { rule }, &[grad, node])
}
