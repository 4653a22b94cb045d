//! Reverse-mode differentiation: it appends the gradient's nodes to the graph.

use super::ops::{Op, ReluRule, joined_slice_grads};
use super::{Graph, NodeId};
use crate::Result;
use crate::error::GraphError;

/// Appends the gradient of the dot product of `seed` and `score` with respect to each of `wanted`, and
/// returns one node for each. `seed` has the shape of `score`.
///
/// Only nodes on a path from `wanted` to `score` are differentiated. `rule` is the gradient rule of
/// every ReLU.
///
/// # Errors
/// When the graph lacks a node, `score` does not depend on one of `wanted`, or a node on a path has no
/// derivative.
pub fn gradients(
    graph: &mut Graph,
    score: NodeId,
    seed: NodeId,
    wanted: &[NodeId],
    rule: ReluRule,
) -> Result<Vec<NodeId>> {
    graph.check_nodes("gradient", wanted)?;
    graph.check_nodes("gradient", &[score, seed])?;
    let [expected, given] = [score, seed].map(|node| graph.shape(node));
    if given != expected {
        return Err(GraphError::GradientShape { op: "gradient", expected, given }.into());
    }
    let on_path = paths(graph, score, wanted);
    if let Some(lost) = wanted.iter().position(|w| !on_path[w.index()]) {
        return Err(GraphError::UnrelatedTap { tap: lost + 1, taps: wanted.len() }.into());
    }
    // The contributions of each node's readers to its gradient.
    let mut contributions: Vec<Vec<NodeId>> = vec![Vec::new(); score.index() + 1];
    contributions[score.index()].push(seed);
    let mut results = vec![seed; wanted.len()];
    for id in graph.ids().take(score.index() + 1).rev() {
        if !on_path[id.index()] {
            continue;
        }
        let grad = match contributions[id.index()].as_slice() {
            [] => continue,
            [one] => *one,
            several => match joined_slice_grads(graph, several)? {
                Some(joined) => joined,
                None => graph.push(Op::Add, several)?,
            },
        };
        for (result, _) in results.iter_mut().zip(wanted).filter(|&(_, &w)| w == id) {
            *result = grad;
        }
        let node = graph.node(id).clone();
        for (index, input) in node.inputs.iter().enumerate() {
            if on_path[input.index()] {
                let part = node.op.vjp(graph, id, grad, index, rule)?;
                contributions[input.index()].push(part);
            }
        }
    }
    Ok(results)
}

/// The nodes on a path from one of `from` to `to`, as a mask.
fn paths(graph: &Graph, to: NodeId, from: &[NodeId]) -> Vec<bool> {
    let mut on_path = graph.ancestors(&[to]);
    let mut reached = vec![false; graph.nodes().len()];
    for id in graph.ids() {
        reached[id.index()] =
            from.contains(&id) || graph.node(id).inputs.iter().any(|input| reached[input.index()]);
        on_path[id.index()] &= reached[id.index()];
    }
    on_path
}
