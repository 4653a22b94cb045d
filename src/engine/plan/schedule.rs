//! Which job runs in which level.

use super::arena::Arena;
use super::placement::{Placement, parts};
use super::{Order, Slot, Space, Step};
use crate::engine::graph::{Graph, NodeId, Op};

/// A step to be, before its addresses are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    /// The node's op.
    Compute(NodeId),
    /// A part that does not lie where its concat wants it: (part, concat, offset in it).
    CopyPart(NodeId, NodeId, usize),
    /// An output whose buffer is not given back: (node, number of the output).
    CopyOutput(NodeId, usize),
}

impl Task {
    /// What the task reads.
    pub(super) fn reads<'a>(&'a self, graph: &'a Graph) -> &'a [NodeId] {
        match self {
            Task::Compute(id) => &graph.node(*id).inputs,
            Task::CopyPart(id, ..) | Task::CopyOutput(id, _) => std::slice::from_ref(id),
        }
    }

    /// The node in whose buffer the task writes, unless it writes an output's own slot.
    pub(super) fn writes(&self) -> Option<NodeId> {
        match *self {
            Task::Compute(id) | Task::CopyPart(_, id, _) => Some(id),
            Task::CopyOutput(..) => None,
        }
    }

    pub(super) fn step(&self, graph: &Graph, slot: &impl Fn(NodeId) -> Slot, arena: &Arena) -> Step {
        let inputs = self.reads(graph).iter().map(|&id| slot(id)).collect();
        match *self {
            Task::Compute(id) => Step { op: graph.node(id).op.clone(), inputs, output: slot(id) },
            Task::CopyPart(part, concat, offset) => {
                let whole = slot(concat);
                let output = Slot { offset: whole.offset + offset, shape: graph.shape(part), ..whole };
                Step { op: Op::Copy, inputs, output }
            }
            Task::CopyOutput(id, number) => {
                let offset = arena.copied_output(number);
                let output = Slot { space: Space::Output, offset, shape: graph.shape(id) };
                Step { op: Op::Copy, inputs, output }
            }
        }
    }
}

/// Tasks that run one after another in one level (from 1).
pub(super) struct Job {
    pub(super) tasks: Vec<Task>,
    pub(super) level: usize,
    pub(super) stage: usize,
    chain: bool,
}

/// Above this many numbers or multiply-adds a step is worth sharing among threads.
const SMALL_LEN: usize = 8192;
const SMALL_MULTIPLY_ADDS: u64 = 1 << 20;

pub(super) fn schedule(
    graph: &Graph,
    placement: &Placement,
    outputs: &[NodeId],
    order: Order,
    chain_small_steps: bool,
) -> Vec<Job> {
    let mut schedule = Schedule { jobs: Vec::new(), done: vec![Done::START; graph.nodes().len()], floor: 0 };
    let last_stage = graph.nodes().iter().map(|n| n.stage).max().unwrap_or(0);
    let stages = match order {
        Order::Depth => vec![0..=last_stage],
        Order::ByExit => (0..=last_stage).map(|s| s..=s).collect(),
    };
    for stages in stages {
        for id in graph.ids().filter(|&id| stages.contains(&graph.node(id).stage)) {
            let small = chain_small_steps && is_small(graph, id);
            schedule.add_node(graph, placement, id, small);
        }
        let copied = outputs.iter().enumerate().filter(|&(i, _)| !placement.given_back[i]);
        for (number, &id) in copied.filter(|&(_, &id)| stages.contains(&graph.node(id).stage)) {
            schedule.add_task(Task::CopyOutput(id, number), &[id], graph.node(id).stage, chain_small_steps);
        }
        if order == Order::ByExit {
            schedule.floor = schedule.jobs.iter().map(|job| job.level).max().unwrap_or(0);
        }
    }
    schedule.jobs
}

/// When a node's value is there: after `level`, or within it for later tasks of the same job.
#[derive(Clone, Copy)]
struct Done {
    level: usize,
    job: Option<usize>,
}

impl Done {
    const START: Done = Done { level: 0, job: None };
}

struct Schedule {
    jobs: Vec<Job>,
    done: Vec<Done>,
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
                    let done = self.add_task(Task::CopyPart(part, id, offset), &[part], node.stage, false);
                    last = if done.level > last.level { done } else { last };
                }
                // Several jobs write a concat, so only a later level may read it.
                Done { job: None, ..last }
            }
            _ => self.add_task(Task::Compute(id), &node.inputs, node.stage, small),
        };
    }

    /// Puts `task` at the end of the chain that it continues, else into a job of its own.
    fn add_task(&mut self, task: Task, reads: &[NodeId], stage: usize, small: bool) -> Done {
        let inputs: Vec<Done> = reads.iter().map(|id| self.done[id.index()]).collect();
        let last = inputs.iter().copied().max_by_key(|d| d.level).unwrap_or(Done::START);
        if small && let Some(number) = last.job {
            let job = &self.jobs[number];
            let follows = inputs.iter().all(|d| d.job == Some(number) || d.level < job.level);
            if job.chain && job.stage == stage && follows {
                self.jobs[number].tasks.push(task);
                return last;
            }
        }
        let level = 1 + last.level.max(self.floor);
        self.jobs.push(Job { tasks: vec![task], level, stage, chain: small });
        Done { level, job: Some(self.jobs.len() - 1) }
    }
}

/// Whether the node's step is so small that a level of its own costs more than it does.
fn is_small(graph: &Graph, id: NodeId) -> bool {
    let node = graph.node(id);
    let shapes: Vec<_> = node.inputs.iter().map(|&i| graph.shape(i)).collect();
    let numbers = shapes.iter().map(|s| s.len()).max().unwrap_or(0).max(node.shape.len());
    let convolves = matches!(node.op, Op::Conv2d(_) | Op::Conv2dGrad(_));
    let reads_tap = matches!(node.op, Op::Cam(_) | Op::WeightedSum(_));
    !convolves
        && (numbers <= SMALL_LEN || reads_tap)
        && node.op.multiply_adds(&shapes, node.shape) <= SMALL_MULTIPLY_ADDS
}
