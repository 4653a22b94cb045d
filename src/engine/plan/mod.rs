//! What a device runs: levels of independent jobs, with every address fixed.
//!
//! A plan is for one image; a run of N images gives each its own copy of the three spaces, so
//! the same plan serves every batch size. It is plain data: printable, and testable without a
//! device.

mod arena;
mod placement;
mod schedule;

use super::graph::{Graph, NodeId, Op, Param};
use crate::engine::graph::passes;
use crate::engine::graph::passes::Passes;
use crate::{Error, Result, Shape};

/// Which of an image's three areas of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Space {
    /// What the run is given: every [`Op::Input`], one after another.
    Input,
    /// Values that only steps read.
    Work,
    /// What the run gives back.
    Output,
}

/// Where a value lives: `shape.len()` numbers from number `offset` of an image's `space`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slot {
    /// The area.
    pub space: Space,
    /// First number in it.
    pub offset: usize,
    /// (C, H, W).
    pub shape: Shape,
}

/// One op with the addresses of what it reads and writes.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What is computed. Never `input`, `slice` or `concat`: those are addresses by now.
    pub op: Op,
    /// What it reads, in the op's order.
    pub inputs: Vec<Slot>,
    /// What it writes.
    pub output: Slot,
}

impl Step {
    /// Multiply-adds for one image.
    pub fn multiply_adds(&self) -> u64 {
        let shapes: Vec<Shape> = self.inputs.iter().map(|slot| slot.shape).collect();
        self.op.multiply_adds(&shapes, self.output.shape)
    }
}

/// Steps that run one after another; different jobs of a level never touch each other's results.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// The exit that needs it.
    pub stage: usize,
}

/// Jobs that may run at the same time, after every earlier level has ended.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Level {
    /// The jobs.
    pub jobs: Vec<Job>,
}

/// In which order independent work is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// As early as its inputs allow: the fewest levels. An exit's head runs beside the next block.
    #[default]
    Depth,
    /// Everything of exit k before anything of exit k + 1, so that a run can stop at k with
    /// nothing computed in vain.
    ByExit,
}

/// A graph laid out for a device; see the module's documentation.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The parameters that steps name.
    pub params: Vec<Param>,
    /// The levels, in order.
    pub levels: Vec<Level>,
    /// Where each [`Op::Input`] lies, in the graph's order.
    pub inputs: Vec<Slot>,
    /// Where each requested output lies, in the order of the request.
    pub outputs: Vec<Slot>,
    /// Numbers in one image's input space.
    pub input_len: usize,
    /// Numbers in one image's work space.
    pub work_len: usize,
    /// Numbers in one image's output space.
    pub output_len: usize,
    /// For exit k, at `k - 1`: how many levels have to run until its outputs are there.
    pub exits: Vec<usize>,
}

impl Plan {
    /// Rewrites `graph` by `passes` and lays out what `outputs` need.
    ///
    /// # Errors
    /// When no output is wanted; else as [`Graph::push`]: a valid graph can always be laid out.
    pub fn new(graph: &Graph, outputs: &[NodeId], order: Order, passes: &Passes) -> Result<Plan> {
        if outputs.is_empty() {
            return Err(Error::usage("plan: no output is wanted"));
        }
        let (graph, outputs) = match order {
            Order::Depth => passes::apply(graph, outputs, passes)?,
            Order::ByExit => passes::apply(&graph.staged_by_need(outputs), outputs, passes)?,
        };
        let placement = placement::place(&graph, &outputs, passes.in_place_concat);
        let jobs = schedule::schedule(&graph, &placement, &outputs, order, passes.chain_small_steps);
        let arena = arena::lay_out(&graph, &placement, &jobs);

        let slot = |id: NodeId| arena.slot(&graph, &placement, id);
        let mut levels = vec![Level::default(); jobs.iter().map(|job| job.level).max().unwrap_or(0)];
        for job in &jobs {
            let steps = job.tasks.iter().map(|task| task.step(&graph, &slot, &arena)).collect();
            levels[job.level - 1].jobs.push(Job { steps, stage: job.stage });
        }
        let last_stage = jobs.iter().map(|job| job.stage).max().unwrap_or(0);
        let levels_until =
            |stage| jobs.iter().filter(|j| j.stage <= stage).map(|j| j.level).max().unwrap_or(0);
        Ok(Plan {
            params: graph.params().to_vec(),
            levels,
            inputs: graph.ids().filter(|&id| matches!(graph.node(id).op, Op::Input(_))).map(slot).collect(),
            outputs: outputs
                .iter()
                .enumerate()
                .map(|(i, &id)| arena.output(&graph, &placement, i, id))
                .collect(),
            input_len: arena.input_len,
            work_len: arena.work_len,
            output_len: arena.output_len,
            exits: (1..=last_stage).map(levels_until).collect(),
        })
    }

    /// Every step, in order.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.levels.iter().flat_map(|level| &level.jobs).flat_map(|job| &job.steps)
    }

    /// Multiply-adds for one image.
    pub fn multiply_adds(&self) -> u64 {
        self.steps().map(Step::multiply_adds).sum()
    }

    /// Multiply-adds for an image that stops at `exit`, from 1.
    ///
    /// # Panics
    /// When there is no such exit.
    pub fn multiply_adds_until(&self, exit: usize) -> u64 {
        let levels = &self.levels[..self.exits[exit - 1]];
        levels.iter().flat_map(|level| &level.jobs).flat_map(|job| &job.steps).map(Step::multiply_adds).sum()
    }
}

impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "{} levels, {} steps, {:.1} M multiply-adds; {} numbers in, {} out, {} between",
            self.levels.len(),
            self.steps().count(),
            self.multiply_adds() as f64 / 1e6,
            self.input_len,
            self.output_len,
            self.work_len
        )?;
        for (i, level) in self.levels.iter().enumerate() {
            for job in &level.jobs {
                let steps = job.steps.iter().map(|step| {
                    let inputs: Vec<String> = step.inputs.iter().map(Slot::to_string).collect();
                    format!("{} {} -> {}", step.op.name(), inputs.join(", "), step.output)
                });
                writeln!(f, "{:4}  exit {:2}  {}", i + 1, job.stage, steps.collect::<Vec<_>>().join("; "))?;
            }
        }
        Ok(())
    }
}

impl std::fmt::Display for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let space = match self.space {
            Space::Input => "in",
            Space::Work => "work",
            Space::Output => "out",
        };
        write!(f, "{}@{space}+{}", self.shape, self.offset)
    }
}
