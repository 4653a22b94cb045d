//! Fusion of a sum of two into the convolution that computes one of them, as at the end of a residual block, where the sum
//! is the convolution's only reader.

use super::rebuild;
use crate::Result;
use crate::engine::graph::ops::Conv2d;
use crate::engine::graph::{Graph, NodeId, Op};

pub(super) fn run(graph: &Graph, outputs: &mut [NodeId]) -> Result<Graph> {
    let readers = graph.fan_out();
    let is_output: Vec<NodeId> = outputs.to_vec();
    rebuild(graph, outputs, |new, _, node| {
        let (Op::Add, &[first, second]) = (&node.op, &node.inputs[..]) else {
            return new.copy(node).map(Some);
        };
        let convolution = [(first, second), (second, first)].into_iter().find_map(|(id, other)| {
            let alone = readers[id.index()] == 1 && !is_output.contains(&id) && id != other;
            match &graph.node(id).op {
                Op::Conv2d(conv) if alone && conv.groups == 1 && conv.relu.is_none() && !conv.residual => {
                    Some((conv, graph.node(id).inputs[0], other))
                }
                _ => None,
            }
        });
        let Some((conv, input, other)) = convolution else { return new.copy(node).map(Some) };
        let inputs = [new.at(input), new.at(other)];
        new.push(Conv2d { residual: true, ..conv.clone() }, &inputs).map(Some)
    })
}
