//! Reverse-mode differentiation that appends nodes: afterwards there is only a longer graph.

use super::ops::{Op, ReluRule};
use super::{Graph, NodeId};
use crate::{Error, Result};

/// Appends the gradient of `seed . score` with respect to each of `wanted`, where `seed` has the
/// shape of `score`, and returns one node each.
///
/// Only nodes on a path from `wanted` to `score` are differentiated. `rule` says what each ReLU
/// lets through.
///
/// # Errors
/// When one of `wanted` does not reach `score`, or a node on the way has no derivative.
pub fn gradients(
    graph: &mut Graph,
    score: NodeId,
    seed: NodeId,
    wanted: &[NodeId],
    rule: ReluRule,
) -> Result<Vec<NodeId>> {
    let on_path = paths(graph, score, wanted);
    if let Some(lost) = wanted.iter().position(|w| !on_path[w.index()]) {
        return Err(Error::usage(format!(
            "gradient: tap {} of {} does not reach the score",
            lost + 1,
            wanted.len()
        )));
    }
    // What each node's readers have contributed to its gradient so far.
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
            several => graph.push(Op::Add, several)?,
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

/// The nodes that lie on a path from one of `from` to `to`, as a mask.
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
