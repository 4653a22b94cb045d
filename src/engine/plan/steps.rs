//! The levels of a plan: scheduled tasks with the addresses that the arena assigned.

use super::arena::Arena;
use super::schedule::{ScheduledJob, Task};
use super::{Job, Level, Slot, Step};
use crate::engine::graph::{Graph, Op};

/// The levels of `jobs`, whose branches are `branches`, in order.
pub(super) fn levels(graph: &Graph, arena: &Arena, jobs: &[ScheduledJob], branches: &[usize]) -> Vec<Level> {
    let mut levels = vec![Level::default(); jobs.iter().map(|job| job.level).max().unwrap_or(0)];
    for (job, &branch) in jobs.iter().zip(branches) {
        let steps = job.tasks.iter().map(|&task| step(graph, arena, task)).collect();
        levels[job.level - 1].jobs.push(Job { steps, exit: job.exit, branch });
    }
    levels
}

/// For exit k, at index k - 1: the number of levels that hold the jobs of exits 0 to k.
pub(super) fn levels_until_each_exit(jobs: &[ScheduledJob]) -> Vec<usize> {
    let last_exit = jobs.iter().map(|job| job.exit).max().unwrap_or(0);
    let levels_until =
        |exit| jobs.iter().filter(|job| job.exit <= exit).map(|job| job.level).max().unwrap_or(0);
    (1..=last_exit).map(levels_until).collect()
}

fn step(graph: &Graph, arena: &Arena, task: Task) -> Step {
    let inputs = task.reads(graph).iter().map(|&id| arena.slot(id)).collect();
    match task {
        Task::Compute(id) => Step { op: graph.node(id).op.clone(), inputs, output: arena.slot(id) },
        Task::CopyPart { part, concat, offset } => {
            let whole = arena.slot(concat);
            let output = Slot { offset: whole.offset + offset, shape: graph.shape(part), ..whole };
            Step { op: Op::Copy, inputs, output }
        }
        Task::CopyOutput { index, .. } => Step { op: Op::Copy, inputs, output: arena.outputs[index] },
    }
}
