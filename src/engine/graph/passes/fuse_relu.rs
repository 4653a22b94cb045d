//! Fusion of a ReLU into the preceding convolution or batch norm, where the ReLU is its only reader; likewise of a ReLU
//! gradient into the gradient of a convolution.

use super::rebuild;
use crate::Result;
use crate::engine::graph::ops::{BatchNorm, Conv2d, Conv2dGrad};
use crate::engine::graph::{Graph, NodeId, Op};

pub(super) fn run(graph: &Graph, outputs: &mut [NodeId]) -> Result<Graph> {
    let readers = graph.fan_out();
    let is_output: Vec<NodeId> = outputs.to_vec();
    rebuild(graph, outputs, |new, _, node| {
        let Some(&source) = node.inputs.first() else { return new.copy(node).map(Some) };
        let before = graph.node(source);
        let alone = readers[source.index()] == 1 && !is_output.contains(&source);
        match (&node.op, &before.op) {
            (Op::Relu(relu), Op::Conv2d(conv)) if alone && conv.relu.is_none() => {
                let inputs = new.all(&before.inputs);
                new.push(Conv2d { relu: Some(*relu), ..conv.clone() }, &inputs).map(Some)
            }
            (Op::Relu(relu), Op::BatchNorm(norm)) if alone && norm.relu.is_none() => {
                let inputs = new.all(&before.inputs);
                new.push(BatchNorm { relu: Some(*relu), ..*norm }, &inputs).map(Some)
            }
            (Op::ReluGrad(relu), Op::Conv2dGrad(conv)) if alone && conv.relu.is_none() => {
                let inputs = [new.at(before.inputs[0]), new.at(node.inputs[1])];
                new.push(Conv2dGrad { relu: Some(*relu), ..conv.clone() }, &inputs).map(Some)
            }
            _ => new.copy(node).map(Some),
        }
    })
}
