//! Fusion of a head's classifier and the backward pass from one of its logits into one `classifier` node,
//! whose value is a record of logits, probabilities and gradient; the old nodes become slices of it.
//!
//! Fused are average pooling, linear layer, softmax, one-hot vector, and the gradients of linear layer,
//! pooling and, where there is one, the ReLU before the pooling. What the record does not hold, no other
//! node reads. A chain with a step that is worth distributing over threads stays as it is.

use std::collections::HashMap;

use super::rebuild;
use crate::Result;
use crate::engine::graph::ops::{AvgPoolGrad, Classifier, LinearGrad, Slice};
use crate::engine::graph::{Graph, NodeId, Op};

pub(super) fn run(graph: &Graph, outputs: &mut [NodeId]) -> Result<Graph> {
    let chains = chains(graph, outputs);
    let mut parts: HashMap<NodeId, NodeId> = HashMap::new();
    rebuild(graph, outputs, |new, id, node| {
        let Some(chain) = chains.iter().find(|chain| chain.contains(id)) else {
            return new.copy(node).map(Some);
        };
        if id == chain.one_hot {
            // The target is known here, and the other readers of logits and probabilities follow.
            let inputs = new.all(&chain.inputs);
            let record = new.push(chain.op, &inputs)?;
            for (old, slice) in chain.parts(graph) {
                let part = new.push(slice, &[record])?;
                parts.insert(old, part);
                if old < id {
                    new.place_removed(old, part);
                }
            }
        }
        Ok(parts.get(&id).copied())
    })
}

/// The nodes that one `classifier` node replaces.
struct Chain {
    op: Classifier,
    /// The pooling's input, and the target.
    inputs: [NodeId; 2],
    logits: NodeId,
    probabilities: Vec<NodeId>,
    one_hot: NodeId,
    gradient: NodeId,
    /// Pooling, gradient of the linear layer, and gradient of the pooling.
    between: [NodeId; 3],
}

impl Chain {
    fn contains(&self, id: NodeId) -> bool {
        let kept = [self.logits, self.one_hot, self.gradient];
        kept.contains(&id) || self.probabilities.contains(&id) || self.between.contains(&id)
    }

    /// The nodes whose values are in the record, with their places.
    fn parts(&self, graph: &Graph) -> Vec<(NodeId, Slice)> {
        let probabilities = self.probabilities.iter().map(|&id| (id, self.op.probabilities()));
        let gradient = self.op.gradient(graph.shape(self.gradient));
        probabilities.chain([(self.logits, self.op.logits()), (self.gradient, gradient)]).collect()
    }
}

/// The chains of `graph` that can be fused, by their one-hot vectors.
fn chains(graph: &Graph, outputs: &[NodeId]) -> Vec<Chain> {
    let mut readers: Vec<Vec<NodeId>> = vec![Vec::new(); graph.nodes().len()];
    for id in graph.ids() {
        graph.node(id).inputs.iter().for_each(|input| readers[input.index()].push(id));
    }
    graph.ids().filter_map(|id| chain(graph, outputs, &readers, id)).collect()
}

/// The chain around `one_hot`, if it is one that can be fused.
fn chain(graph: &Graph, outputs: &[NodeId], readers: &[Vec<NodeId>], one_hot: NodeId) -> Option<Chain> {
    let only_reader = |id: NodeId| match readers[id.index()][..] {
        [reader] if !outputs.contains(&id) => Some(reader),
        _ => None,
    };
    let node = |id: NodeId| graph.node(id);
    let Op::OneHot = node(one_hot).op else { return None };
    let (logits, target) = (node(one_hot).inputs[0], node(one_hot).inputs[1]);
    let Op::Linear(linear) = node(logits).op else { return None };
    let pooled = node(logits).inputs[0];
    let Op::AvgPool(pool) = node(pooled).op else { return None };
    let x = node(pooled).inputs[0];

    let linear_grad = only_reader(one_hot)?;
    let pool_grad = only_reader(linear_grad)?;
    let linear_back = LinearGrad { weight: linear.weight, input: graph.shape(pooled) };
    let pool_back = AvgPoolGrad { forward: pool, input: graph.shape(x) };
    let backward = node(linear_grad).op == Op::LinearGrad(linear_back)
        && node(pool_grad).op == Op::AvgPoolGrad(pool_back);
    let gate = only_reader(pool_grad).filter(|&id| node(id).inputs == [pool_grad, x]);
    let (gradient, relu) = match gate.map(|id| (id, &node(id).op)) {
        Some((id, Op::ReluGrad(gate))) => (id, Some(*gate)),
        _ => (pool_grad, None),
    };

    let is_softmax = |id: &NodeId| node(*id).op == Op::Softmax;
    let (probabilities, others): (Vec<NodeId>, Vec<NodeId>) =
        readers[logits.index()].iter().partition(|id| is_softmax(id));
    let small = graph.is_small(pooled) && graph.is_small(logits);
    if !backward
        || pool.window.padding != [[0; 2]; 2]
        || !small
        || target == logits
        || probabilities.is_empty()
        || only_reader(pooled) != Some(logits)
    {
        return None;
    }
    // The record is made where the one-hot vector is.
    let read_later = |readers: &[NodeId]| readers.iter().all(|&id| id > one_hot);
    let others: Vec<NodeId> = others.into_iter().filter(|&id| id != one_hot).collect();
    let in_order = read_later(&others) && probabilities.iter().all(|id| read_later(&readers[id.index()]));
    let of_one_exit = |id: &NodeId| node(*id).exit == node(logits).exit;
    let in_exit = probabilities.iter().chain([&one_hot, &gradient]).all(of_one_exit);
    (in_order && in_exit).then(|| Chain {
        op: Classifier { window: pool.window, linear, classes: graph.shape(logits).len(), relu },
        inputs: [x, target],
        logits,
        probabilities,
        one_hot,
        gradient,
        between: [pooled, linear_grad, pool_grad],
    })
}
