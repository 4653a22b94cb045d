//! Elementwise product of a map (C, H, W) with one of its shape, or with a gate (C, 1, 1), which scales channels, as in
//! squeeze-and-excitation (Hu et al. 2018, arXiv 1709.01507).
//!
//! The gradient of a factor is the incoming gradient times the other one; that of a gate is the sum of these products
//! over H and W, `channel_dot`.

use super::{Op, add};
use crate::engine::graph::{Graph, NodeId};
use crate::error::GraphError;
use crate::{Result, Shape};

pub(super) fn shape(inputs: &[Shape]) -> Result<Shape> {
    let [x, factor] = inputs else { unreachable!("arity was checked") };
    if factor != x && *factor != Shape::vector(x.c) {
        let (roles, shapes) = (["map", "factor"], [*x, *factor]);
        return Err(GraphError::OperandShapes { op: "mul", roles, shapes }.into());
    }
    Ok(*x)
}

pub(super) fn vjp(graph: &mut Graph, node: NodeId, grad: NodeId, index: usize) -> Result<NodeId> {
    let [x, factor] = graph.node(node).inputs[..] else { unreachable!("arity was checked") };
    if index == 0 {
        return graph.push(Op::Mul, &[grad, factor]);
    }
    let is_gate = graph.shape(factor) != graph.shape(x);
    graph.push(if is_gate { Op::ChannelDot } else { Op::Mul }, &[grad, x])
}

/// Shape of the sums of products over H and W, one for each channel.
pub(super) fn channel_dot_shape(inputs: &[Shape]) -> Result<Shape> {
    add::shape("channel_dot", inputs).map(|shape| Shape::vector(shape.c))
}
