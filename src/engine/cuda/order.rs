//! Order of a plan's launches: each after those whose results it reads or whose memory it writes.
//!
//! Launches of one stream run one after another, so that only what they wait for in other streams is listed. Whether
//! a launch has to wait is decided by the addresses that both access: a plan whose branches share memory runs
//! with less overlap, but right.

use std::ops::Range;

use crate::engine::plan::{Job, Plan, Slot, Space};

/// Streams in all where branches run beside the trunk: the trunk's, and others by turns.
const STREAMS: usize = 4;

/// One launch: jobs of one level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) level: usize,
    pub(super) stream: usize,
    /// Indices of its jobs in the level.
    pub(super) jobs: Vec<usize>,
    /// The nodes of other streams that it waits for, by index.
    pub(super) after: Vec<usize>,
    /// Whether a node of another stream waits for it.
    pub(super) awaited: bool,
}

/// The nodes of `plan`, each behind all that it waits for: one for each level, or, with `branches`, one for each
/// level and stream.
pub(super) fn order(plan: &Plan, branches: bool) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    let mut found: Vec<usize> =
        plan.levels.iter().flat_map(|level| &level.jobs).map(|job| job.branch).filter(|&b| b > 0).collect();
    found.sort_unstable();
    found.dedup();
    let stream_of = |job: &Job| match found.binary_search(&job.branch) {
        Ok(index) if branches => 1 + index % (STREAMS - 1),
        _ => 0,
    };
    for (level, jobs) in plan.levels.iter().enumerate() {
        let first = nodes.len();
        for (index, job) in jobs.jobs.iter().enumerate() {
            let stream = stream_of(job);
            match nodes[first..].iter_mut().find(|node| node.stream == stream) {
                Some(node) => node.jobs.push(index),
                None => {
                    nodes.push(Node { level, stream, jobs: vec![index], after: Vec::new(), awaited: false })
                }
            }
        }
    }
    if branches {
        find_dependencies(plan, &mut nodes);
    }
    nodes
}

/// Elements of an image that a node accesses.
struct Access {
    space: Space,
    elements: Range<usize>,
    writes: bool,
}

fn accesses(plan: &Plan, node: &Node) -> Vec<Access> {
    let access = |slot: &Slot, writes: bool| {
        let elements = slot.offset..slot.offset + slot.shape.len();
        Access { space: slot.space, elements, writes }
    };
    let jobs = node.jobs.iter().map(|&index| &plan.levels[node.level].jobs[index]);
    let steps = jobs.flat_map(|job| &job.steps);
    steps
        .flat_map(|step| {
            step.inputs.iter().map(|slot| access(slot, false)).chain([access(&step.output, true)])
        })
        .collect()
}

/// Whether the order of two nodes matters.
fn conflict(a: &[Access], b: &[Access]) -> bool {
    a.iter().any(|a| {
        b.iter().any(|b| {
            (a.writes || b.writes)
                && a.space == b.space
                && a.elements.start < b.elements.end
                && b.elements.start < a.elements.end
        })
    })
}

/// Fills `after` and `awaited`; what another wait implies is left out.
fn find_dependencies(plan: &Plan, nodes: &mut [Node]) {
    let accesses: Vec<Vec<Access>> = nodes.iter().map(|node| accesses(plan, node)).collect();
    // For each node and stream: how many of all nodes, in their order, have certainly ended in that stream when
    // the node has.
    let mut ended: Vec<[usize; STREAMS]> = Vec::new();
    let mut last_of: [Option<usize>; STREAMS] = [None; STREAMS];
    for index in 0..nodes.len() {
        let stream = nodes[index].stream;
        let mut known = last_of[stream].map_or([0; STREAMS], |last| ended[last]);
        for other in (0..index).rev() {
            let s = nodes[other].stream;
            if s != stream && other >= known[s] && conflict(&accesses[index], &accesses[other]) {
                nodes[index].after.push(other);
                nodes[other].awaited = true;
                for (mine, its) in known.iter_mut().zip(ended[other]) {
                    *mine = (*mine).max(its);
                }
            }
        }
        known[stream] = index + 1;
        ended.push(known);
        last_of[stream] = Some(index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;
    use crate::engine::graph::{Graph, NodeId, Op};
    use crate::engine::plan::{Order, PlanOptions};

    /// Three exits behind blocks of four steps, each with a branch of `length` steps.
    fn plan(length: usize) -> Plan {
        let mut graph = Graph::new();
        let mut block = graph.push(Op::Input(Shape::new(2, 5, 5)), &[]).unwrap();
        let chain = |graph: &mut Graph, exit: usize, from: NodeId, length: usize| {
            (0..length).fold(from, |node, _| graph.push_at(exit, Op::RELU, &[node]).unwrap())
        };
        let mut outputs = Vec::new();
        for exit in 1..=3 {
            block = chain(&mut graph, exit, block, 4);
            outputs.push(chain(&mut graph, exit, block, length));
        }
        let options = PlanOptions::unoptimized(Order::Depth);
        Plan::with_options(&graph, &outputs, &options).unwrap()
    }

    /// Whether the edges and the streams put `first` before `second`.
    fn is_before(nodes: &[Node], first: usize, second: usize) -> bool {
        let in_stream = (0..second).rev().find(|&n| nodes[n].stream == nodes[second].stream);
        let mut direct = nodes[second].after.iter().copied().chain(in_stream);
        direct.any(|n| n == first || n > first && is_before(nodes, first, n))
    }

    #[test]
    fn accesses_to_the_same_memory_are_ordered_and_the_trunk_waits_for_no_recent_branch() {
        for length in [1, 5, 20] {
            let plan = plan(length);
            let nodes = order(&plan, true);
            assert_eq!(nodes.iter().map(|node| node.stream).max(), Some(2), "two branches");
            let accesses: Vec<_> = nodes.iter().map(|node| accesses(&plan, node)).collect();
            for second in 0..nodes.len() {
                for first in 0..second {
                    let matters = conflict(&accesses[first], &accesses[second]);
                    assert!(!matters || is_before(&nodes, first, second), "{length}: {first}, {second}");
                }
            }
            for (index, node) in nodes.iter().enumerate() {
                assert_eq!(node.awaited, nodes.iter().any(|other| other.after.contains(&index)));
            }
            for node in nodes.iter().filter(|node| node.stream == 0) {
                let early = node.after.iter().find(|&&other| node.level - nodes[other].level <= 8);
                assert_eq!(early, None, "{length}: level {}", node.level);
            }
        }
    }

    #[test]
    fn without_branches_a_node_is_a_level() {
        let plan = plan(3);
        let nodes = order(&plan, false);
        let levels: Vec<usize> = nodes.iter().map(|node| node.level).collect();
        assert_eq!(levels, (0..plan.levels.len()).collect::<Vec<_>>());
        assert!(nodes.iter().all(|node| node.stream == 0 && node.after.is_empty() && !node.awaited));
    }
}
