//! Fusion of pooled gradient, weighted sum and range into one `cam` node, whose value is a record of the
//! three; the old nodes become slices of it.

use std::collections::HashMap;

use super::rebuild;
use crate::engine::graph::ops::{Cam, Slice};
use crate::engine::graph::{Graph, NodeId, Op};
use crate::{Result, Shape};

pub(super) fn run(graph: &Graph, outputs: &mut [NodeId]) -> Result<Graph> {
    let sums = weighted_sums(graph);
    let mut records: HashMap<NodeId, NodeId> = HashMap::new();
    rebuild(graph, outputs, |new, id, node| match &node.op {
        Op::PooledConv2dGrad(pooled) if sums.contains_key(&id) => {
            let sum = graph.node(sums[&id]);
            let Op::WeightedSum(op) = sum.op else { unreachable!("{}", sum.op.name()) };
            let inputs = [new.at(node.inputs[0]), new.at(sum.inputs[1])];
            let record = new.push(Op::Cam(Cam { pooled: pooled.clone(), sum: op }), &inputs)?;
            records.insert(id, record);
            records.insert(sums[&id], record);
            new.push(Slice { offset: 0, shape: node.shape }, &[record]).map(Some)
        }
        Op::WeightedSum(_) if records.contains_key(&id) => {
            let offset = graph.shape(node.inputs[0]).len();
            new.push(Slice { offset, shape: node.shape }, &[records[&id]]).map(Some)
        }
        Op::Range if records.contains_key(&node.inputs[0]) => {
            let record = records[&node.inputs[0]];
            let offset = new.graph.shape(record).len() - 2;
            new.push(Slice { offset, shape: Shape::vector(2) }, &[record]).map(Some)
        }
        _ => new.copy(node).map(Some),
    })
}

/// For each pooled gradient with one reader, that reader: a weighted sum of channels that precede the
/// gradient.
fn weighted_sums(graph: &Graph) -> HashMap<NodeId, NodeId> {
    let readers = graph.fan_out();
    let mut found = HashMap::new();
    for id in graph.ids() {
        let node = graph.node(id);
        if let Op::WeightedSum(_) = node.op {
            let (weights, channels) = (node.inputs[0], node.inputs[1]);
            let pooled = matches!(graph.node(weights).op, Op::PooledConv2dGrad(_));
            if pooled && readers[weights.index()] == 1 && channels < weights {
                found.insert(weights, id);
            }
        }
    }
    found
}
