//! Softmax over the channels of a (C, 1, 1) value: p = exp(x - max) / sum of exp(x - max).
//! Its gradient: dx = p * (g - sum of g * p).

use super::Op;
use crate::Result;
use crate::engine::graph::{Graph, NodeId};

pub(super) fn vjp(graph: &mut Graph, node: NodeId, grad: NodeId) -> Result<NodeId> {
    graph.push(Op::SoftmaxGrad, &[grad, node])
}
