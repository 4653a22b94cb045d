//! The spatial mean of a convolution's input gradient, computed from the gradient of its result without
//! a gradient map. The documentation of `graph::ops::cam` proves that it is exact.

use super::rebuild;
use crate::Result;
use crate::engine::graph::ops::{BorderClasses, PooledConv2dGrad};
use crate::engine::graph::{Graph, NodeId, Op};

pub(super) fn run(graph: &Graph, outputs: &mut [NodeId]) -> Result<Graph> {
    rebuild(graph, outputs, |new, _, node| {
        let source = node.inputs.first().map(|&id| graph.node(id));
        match (&node.op, source.map(|n| &n.op)) {
            (Op::SpatialMean, Some(Op::Conv2dGrad(conv))) if conv.relu.is_none() && conv.groups == 1 => {
                let classes = BorderClasses::new(&conv.window, conv.input)?;
                let grad = new.at(graph.node(node.inputs[0]).inputs[0]);
                let (weight, pixels) = (conv.weight, conv.input.plane());
                let op = Op::PooledConv2dGrad(PooledConv2dGrad { weight, classes, pixels });
                new.push(op, &[grad]).map(Some)
            }
            _ => new.copy(node).map(Some),
        }
    })
}
