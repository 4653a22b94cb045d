//! Scheduling: the jobs of a plan and the level of each.

use super::placement::{Placement, parts};
use super::{Order, PlanOptions};
use crate::engine::graph::{Graph, NodeId, Op};

/// A step before its addresses are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    /// The node's op.
    Compute(NodeId),
    /// Copying a part of a concat that is not written in place, to element `offset` of the concat.
    CopyPart { part: NodeId, concat: NodeId, offset: usize },
    /// Copying the value of `node`, the output with this index, whose buffer is not returned in place.
    CopyOutput { node: NodeId, index: usize },
}

impl Task {
    /// The nodes whose values the task reads.
    pub(super) fn reads<'a>(&'a self, graph: &'a Graph) -> &'a [NodeId] {
        match self {
            Task::Compute(id) => &graph.node(*id).inputs,
            Task::CopyPart { part: node, .. } | Task::CopyOutput { node, .. } => std::slice::from_ref(node),
        }
    }

    /// The node whose buffer the task writes; `None` where it writes a copied output.
    pub(super) fn writes(&self) -> Option<NodeId> {
        match *self {
            Task::Compute(node) | Task::CopyPart { concat: node, .. } => Some(node),
            Task::CopyOutput { .. } => None,
        }
    }
}

/// Tasks that run one after another.
pub(super) struct ScheduledJob {
    pub(super) tasks: Vec<Task>,
    /// The level that it runs in, from 1.
    pub(super) level: usize,
    pub(super) exit: usize,
    /// Whether small tasks may be appended.
    chain: bool,
}

/// The jobs that compute `outputs`, in an order in which they could run one after another.
pub(super) fn schedule(
    graph: &Graph,
    placement: &Placement,
    outputs: &[NodeId],
    options: &PlanOptions,
) -> Vec<ScheduledJob> {
    let &PlanOptions { order, chain_small_steps, .. } = options;
    let mut schedule = Schedule { jobs: Vec::new(), done: vec![Done::START; graph.nodes().len()], floor: 0 };
    let last_exit = graph.nodes().iter().map(|node| node.exit).max().unwrap_or(0);
    let groups = match order {
        Order::Depth => vec![0..=last_exit],
        Order::ByExit => (0..=last_exit).map(|exit| exit..=exit).collect(),
    };
    for exits in groups {
        for id in graph.ids().filter(|&id| exits.contains(&graph.node(id).exit)) {
            let small = chain_small_steps && graph.is_small(id);
            schedule.add_node(graph, placement, id, small);
        }
        let copied = outputs.iter().enumerate().filter(|&(i, _)| !placement.returned_in_place[i]);
        for (index, &node) in copied.filter(|&(_, &id)| exits.contains(&graph.node(id).exit)) {
            let task = Task::CopyOutput { node, index };
            schedule.add_task(task, &[node], graph.node(node).exit, chain_small_steps);
        }
        if order == Order::ByExit {
            schedule.floor = schedule.jobs.iter().map(|job| job.level).max().unwrap_or(0);
        }
    }
    schedule.jobs
}

/// When a node's value is available: after `level`, and within `level` to later tasks of the same job.
#[derive(Clone, Copy)]
struct Done {
    level: usize,
    job: Option<usize>,
}

impl Done {
    const START: Done = Done { level: 0, job: None };
}

/// A schedule under construction.
struct Schedule {
    jobs: Vec<ScheduledJob>,
    /// For each node.
    done: Vec<Done>,
    /// The level after which new jobs start.
    floor: usize,
}

impl Schedule {
    fn add_node(&mut self, graph: &Graph, placement: &Placement, id: NodeId, small: bool) {
        let node = graph.node(id);
        self.done[id.index()] = match &node.op {
            Op::Input(_) => Done::START,
            Op::Slice(_) => self.done[node.inputs[0].index()],
            Op::Concat => {
                let mut last =
                    node.inputs.iter().map(|p| self.done[p.index()]).max_by_key(|d| d.level).unwrap();
                let displaced: Vec<_> = parts(graph, id)
                    .filter(|&(part, offset)| !placement.is_in_place(graph, id, part, offset))
                    .collect();
                for (part, offset) in displaced {
                    let task = Task::CopyPart { part, concat: id, offset };
                    let done = self.add_task(task, &[part], node.exit, false);
                    last = if done.level > last.level { done } else { last };
                }
                // Several jobs write a concat, so only a later level may read it.
                Done { job: None, ..last }
            }
            _ => self.add_task(Task::Compute(id), &node.inputs, node.exit, small),
        };
    }

    /// Appends `task` to the chain that it continues, otherwise to a new job.
    fn add_task(&mut self, task: Task, reads: &[NodeId], exit: usize, small: bool) -> Done {
        let inputs: Vec<Done> = reads.iter().map(|id| self.done[id.index()]).collect();
        let last = inputs.iter().copied().max_by_key(|d| d.level).unwrap_or(Done::START);
        if small && let Some(index) = last.job {
            let job = &mut self.jobs[index];
            let follows = inputs.iter().all(|d| d.job == Some(index) || d.level < job.level);
            if job.chain && job.exit == exit && follows {
                job.tasks.push(task);
                return last;
            }
        }
        let level = 1 + last.level.max(self.floor);
        self.jobs.push(ScheduledJob { tasks: vec![task], level, exit, chain: small });
        Done { level, job: Some(self.jobs.len() - 1) }
    }
}
