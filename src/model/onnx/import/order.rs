//! The order of a graph's nodes: files need not have a node behind those that it reads.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use crate::model::onnx::messages::NodeProto;
use crate::util::listed::listed;

/// The places of `nodes` in an order in which each follows those that it reads, as near to their own as possible.
///
/// # Errors
/// When there is a cycle; names nodes that wait for it.
pub fn ordered(nodes: &[NodeProto]) -> Result<Vec<usize>, String> {
    let mut makers: HashMap<&str, usize> = HashMap::new();
    for (index, node) in nodes.iter().enumerate() {
        for name in node.outputs.iter().filter(|name| !name.is_empty()) {
            makers.entry(name).or_insert(index);
        }
    }
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    let mut waiting = vec![0_usize; nodes.len()];
    for (index, node) in nodes.iter().enumerate() {
        for &maker in node.inputs.iter().chain(&node.captured).filter_map(|name| makers.get(name.as_str())) {
            readers[maker].push(index);
            waiting[index] += 1;
        }
    }
    let mut ready: BinaryHeap<Reverse<usize>> =
        (0..nodes.len()).filter(|&i| waiting[i] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(Reverse(index)) = ready.pop() {
        order.push(index);
        for &reader in &readers[index] {
            waiting[reader] -= 1;
            if waiting[reader] == 0 {
                ready.push(Reverse(reader));
            }
        }
    }
    if order.len() == nodes.len() {
        return Ok(order);
    }
    let circle = (0..nodes.len()).filter(|&i| waiting[i] > 0).map(|i| nodes[i].label(i));
    Err(format!("its nodes form a cycle: {}", listed(circle)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(edges: &[(&[&str], &str)]) -> Vec<NodeProto> {
        let node = |&(inputs, output): &(&[&str], &str)| NodeProto {
            inputs: inputs.iter().map(|name| name.to_string()).collect(),
            outputs: vec![output.into()],
            ..NodeProto::default()
        };
        edges.iter().map(node).collect()
    }

    #[test]
    fn nodes_follow_those_that_they_read_and_a_cycle_is_named() {
        let reversed = nodes(&[(&["b", "b"], "c"), (&["a"], "b"), (&["image"], "a"), (&[""], "d")]);
        assert_eq!(ordered(&reversed).unwrap(), [2, 1, 0, 3]);
        let cycle = ordered(&nodes(&[(&["image"], "a"), (&["c"], "b"), (&["b"], "c")])).unwrap_err();
        assert_eq!(cycle, "its nodes form a cycle: 'b', 'c'");
    }
}
