//! Plans: graphs laid out for execution, as levels of independent jobs with every address fixed.
//!
//! A plan describes the computation for one image; in a run of N images each has its own copy of the
//! three [spaces](Space), so that the same plan serves every batch size. A plan is plain data: it can be
//! printed, and tested without a device. Devices trust its addresses, so only this module constructs one.
//!
//! [`Plan::new`] goes through five steps: passes rewrite the graph, `placement` decides which values
//! share a buffer, `schedule` assigns every node to a job and a level, `branches` says which of them only
//! one exit needs, `arena` assigns an address to every buffer, and `steps` combines the schedule with the
//! addresses.

mod arena;
mod branches;
mod options;
mod placement;
mod schedule;
mod steps;

use std::sync::Arc;

use super::graph::passes;
use super::graph::{Graph, NodeId, Op, Param};
use crate::error::GraphError;
use crate::{Result, Shape};

pub use options::{Order, PlanOptions};

/// One of an image's three memory areas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Space {
    /// Given by the caller of a run: the values of every [`Op::Input`], one after another.
    Input,
    /// Intermediate values.
    Work,
    /// Returned by a run.
    Output,
}

/// Address of a value: `shape.len()` elements from element `offset` of an image's `space`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slot {
    pub(crate) space: Space,
    pub(crate) offset: usize,
    pub(crate) shape: Shape,
}

impl Slot {
    /// The memory area.
    pub fn space(&self) -> Space {
        self.space
    }

    /// Index of the first element in the area.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Shape (C, H, W) of the value.
    pub fn shape(&self) -> Shape {
        self.shape
    }
}

/// One op with the addresses of its inputs and of its result.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub(crate) op: Op,
    pub(crate) inputs: Vec<Slot>,
    pub(crate) output: Slot,
}

impl Step {
    /// The op; never [`Op::Input`], [`Op::Slice`] or [`Op::Concat`], which are addresses in a plan.
    pub fn op(&self) -> &Op {
        &self.op
    }

    /// The slots that it reads, in the op's order.
    pub fn inputs(&self) -> &[Slot] {
        &self.inputs
    }

    /// The slot that it writes.
    pub fn output(&self) -> Slot {
        self.output
    }

    /// Multiply-adds for one image.
    pub fn multiply_adds(&self) -> u64 {
        self.op.multiply_adds(&self.input_shapes(), self.output.shape)
    }

    /// Whether it may be chained with others: see [`Op::is_small`].
    pub(crate) fn is_small(&self) -> bool {
        self.op.is_small(&self.input_shapes(), self.output.shape)
    }

    /// The step between the channels of group `group` of `groups`, as a step of `op`.
    pub(crate) fn of_group(&self, group: usize, groups: usize, op: impl Into<Op>) -> Step {
        let part = |slot: &Slot| {
            let shape = Shape { c: slot.shape.c / groups, ..slot.shape };
            Slot { offset: slot.offset + group * shape.len(), shape, ..*slot }
        };
        Step { op: op.into(), inputs: self.inputs.iter().map(part).collect(), output: part(&self.output) }
    }

    fn input_shapes(&self) -> Vec<Shape> {
        self.inputs.iter().map(|slot| slot.shape).collect()
    }
}

/// Steps that run one after another. Different jobs of a level do not access each other's results.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    pub(crate) steps: Vec<Step>,
    pub(crate) exit: usize,
    pub(crate) branch: usize,
}

impl Job {
    /// The steps, in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The exit that it belongs to, from 1; 0 for a job of no exit.
    pub fn exit(&self) -> usize {
        self.exit
    }

    /// The exit that alone needs it, if that is not the last one; otherwise 0, the trunk.
    pub fn branch(&self) -> usize {
        self.branch
    }
}

/// Jobs that may run concurrently, after all earlier levels have ended.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Level {
    pub(crate) jobs: Vec<Job>,
}

impl Level {
    /// The jobs.
    pub fn jobs(&self) -> &[Job] {
        &self.jobs
    }
}

/// A graph laid out for execution.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(crate) params: Arc<Vec<Param>>,
    pub(crate) levels: Vec<Level>,
    pub(crate) inputs: Vec<Slot>,
    pub(crate) outputs: Vec<Slot>,
    pub(crate) input_len: usize,
    pub(crate) work_len: usize,
    pub(crate) output_len: usize,
    pub(crate) exits: Vec<usize>,
}

impl Plan {
    /// Rewrites `graph` by all passes and lays out the computation of `outputs`.
    ///
    /// # Errors
    /// When `outputs` is empty, the graph lacks one of them, or a parameter that they need is only declared.
    pub fn new(graph: &Graph, outputs: &[NodeId], order: Order) -> Result<Plan> {
        Plan::with_options(graph, outputs, &PlanOptions::new(order))
    }

    /// As [`Plan::new`], with single optimizations switched off.
    ///
    /// # Errors
    /// As [`Plan::new`].
    #[doc(hidden)]
    pub fn with_options(graph: &Graph, outputs: &[NodeId], options: &PlanOptions) -> Result<Plan> {
        if outputs.is_empty() {
            return Err(GraphError::NoOutputs.into());
        }
        graph.check_nodes("plan", outputs)?;
        let (graph, outputs) = match options.order {
            Order::Depth => passes::apply(graph, outputs, &options.passes)?,
            Order::ByExit => passes::apply(&graph.staged_by_need(outputs), outputs, &options.passes)?,
        };
        let placement = placement::place(&graph, &outputs, options.in_place_concat);
        let jobs = schedule::schedule(&graph, &placement, &outputs, options);
        let branches = match options.order {
            Order::Depth => branches::branches(&graph, &jobs),
            Order::ByExit => vec![0; jobs.len()],
        };
        let arena = arena::lay_out(&graph, &placement, &outputs, &jobs, &branches);
        let is_input = |id: &NodeId| matches!(graph.node(*id).op, Op::Input(_));
        Ok(Plan {
            params: graph.shared_params(),
            levels: steps::levels(&graph, &arena, &jobs, &branches),
            inputs: graph.ids().filter(is_input).map(|id| arena.slot(id)).collect(),
            exits: steps::levels_until_each_exit(&jobs),
            input_len: arena.input_len,
            work_len: arena.work_len,
            output_len: arena.output_len,
            outputs: arena.outputs,
        })
    }

    /// The parameters that the ops of the steps refer to.
    pub fn params(&self) -> &[Param] {
        &self.params
    }

    /// The levels, in order.
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// Every step, in order.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        steps_of(&self.levels)
    }

    /// Slot of each [`Op::Input`], in the graph's order.
    pub fn inputs(&self) -> &[Slot] {
        &self.inputs
    }

    /// Slot of each requested output, in the order of the request.
    pub fn outputs(&self) -> &[Slot] {
        &self.outputs
    }

    /// Elements of one image's input space.
    pub fn input_len(&self) -> usize {
        self.input_len
    }

    /// Elements of one image's work space.
    pub fn work_len(&self) -> usize {
        self.work_len
    }

    /// Elements of one image's output space.
    pub fn output_len(&self) -> usize {
        self.output_len
    }

    /// For exit k, at index k - 1: the number of levels after which the outputs of exits 1 to k are
    /// computed.
    pub fn exits(&self) -> &[usize] {
        &self.exits
    }

    /// Multiply-adds for one image.
    pub fn multiply_adds(&self) -> u64 {
        self.steps().map(Step::multiply_adds).sum()
    }

    /// Multiply-adds for an image that stops at `exit`, from 1.
    ///
    /// # Panics
    /// When the plan has no such exit.
    pub fn multiply_adds_until(&self, exit: usize) -> u64 {
        assert!((1..=self.exits.len()).contains(&exit), "exit {exit} of a plan of {}", self.exits.len());
        steps_of(&self.levels[..self.exits[exit - 1]]).map(Step::multiply_adds).sum()
    }
}

/// The steps of `levels`, in order.
fn steps_of(levels: &[Level]) -> impl Iterator<Item = &Step> {
    levels.iter().flat_map(|level| &level.jobs).flat_map(|job| &job.steps)
}

impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "{} levels, {} steps, {:.1} M multiply-adds; elements: {} input, {} work, {} output",
            self.levels.len(),
            self.steps().count(),
            self.multiply_adds() as f64 / 1e6,
            self.input_len,
            self.work_len,
            self.output_len
        )?;
        for (i, level) in self.levels.iter().enumerate() {
            for job in &level.jobs {
                let steps = job.steps.iter().map(|step| {
                    let inputs: Vec<String> = step.inputs.iter().map(Slot::to_string).collect();
                    format!("{} {} -> {}", step.op.name(), inputs.join(", "), step.output)
                });
                writeln!(f, "{:4}  exit {:2}  {}", i + 1, job.exit, steps.collect::<Vec<_>>().join("; "))?;
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
