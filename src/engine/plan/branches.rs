//! Branches of a plan: jobs that only one exit needs may run beside the later blocks of the network.
//!
//! The trunk, branch 0, is what several exits need or the last one does. An exit's classifier and its backward pass
//! make up a branch of the exit's number. A device that runs a branch late, beside the trunk's next levels, must not
//! find that the trunk has reused the memory that the branch reads or writes: the arena keeps it for [`SLACK`] more
//! levels.

use std::collections::BTreeSet;

use super::schedule::{ScheduledJob, Task};
use crate::engine::graph::Graph;

/// Levels for which a branch's memory is kept after its last access. A branch has about five levels, each two or
/// three times as long as one of the trunk.
pub(super) const SLACK: usize = 8;

/// The branch of each of `jobs`: of all its tasks, or the trunk.
pub(super) fn branches(graph: &Graph, jobs: &[ScheduledJob]) -> Vec<usize> {
    let of_node = branch_of_each_node(graph);
    let of_task = |task: &Task| match *task {
        Task::Compute(id) | Task::CopyPart { concat: id, .. } => of_node[id.index()],
        // Nothing reads the copy.
        Task::CopyOutput { node, .. } if graph.node(node).exit < last_exit(graph) => graph.node(node).exit,
        Task::CopyOutput { .. } => 0,
    };
    let of_job = |job: &ScheduledJob| {
        let first = of_task(&job.tasks[0]);
        if job.tasks.iter().all(|task| of_task(task) == first) { first } else { 0 }
    };
    jobs.iter().map(of_job).collect()
}

fn last_exit(graph: &Graph) -> usize {
    graph.nodes().iter().map(|node| node.exit).max().unwrap_or(0)
}

fn branch_of_each_node(graph: &Graph) -> Vec<usize> {
    let last = last_exit(graph);
    let mut needed_by: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); graph.nodes().len()];
    for id in graph.ids().rev() {
        let node = graph.node(id);
        if needed_by[id.index()].is_empty() {
            needed_by[id.index()].insert(node.exit);
        }
        let exits = needed_by[id.index()].clone();
        for input in &node.inputs {
            needed_by[input.index()].extend(&exits);
        }
    }
    let branch = |exits: &BTreeSet<usize>| match exits.first() {
        Some(&exit) if exits.len() == 1 && exit < last => exit,
        _ => 0,
    };
    needed_by.iter().map(branch).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;
    use crate::engine::graph::Op;

    #[test]
    fn what_one_exit_but_the_last_needs_is_a_branch() {
        let mut graph = Graph::new();
        let input = graph.push(Op::Input(Shape::new(2, 3, 3)), &[]).unwrap();
        let block = graph.push_at(1, Op::RELU, &[input]).unwrap();
        let head = graph.push_at(1, Op::SpatialMean, &[block]).unwrap();
        let next = graph.push_at(2, Op::RELU, &[block]).unwrap();
        let last = graph.push_at(2, Op::SpatialMean, &[next]).unwrap();
        let found = branch_of_each_node(&graph);
        let expected = [(input, 0), (block, 0), (head, 1), (next, 0), (last, 0)];
        assert_eq!(expected.map(|(id, _)| found[id.index()]), expected.map(|(_, branch)| branch));
    }
}
