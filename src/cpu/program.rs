//! A plan made ready for this CPU: weights packed, convolutions cut into parts, and each level's
//! parts dealt out to the threads.

use super::conv::Part;
use super::memory::Memory;
use super::simd::Isa;
use super::step::{CompiledStep, Compiler};
use crate::graph::plan::Plan;

/// Something that one thread does for one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unit {
    /// All steps of a job (first and end of the program's steps).
    Job(usize, usize),
    /// A part of one convolution.
    Part(usize, Part),
}

/// One level: its work cut for one thread, and cut and dealt out for all.
pub(super) struct Level {
    /// Every unit, uncut: for a thread that runs an image alone.
    pub(super) whole: Vec<Unit>,
    /// The units of each thread.
    pub(super) dealt: Vec<Vec<Unit>>,
    /// Multiply-adds for one image.
    pub(super) multiply_adds: u64,
}

/// See the module's documentation.
pub(super) struct Program {
    steps: Vec<CompiledStep>,
    pub(super) levels: Vec<Level>,
    pub(super) scratch_len: usize,
}

/// Below this cost, in multiply-adds, cutting a step takes more than it brings.
const WORTH_CUTTING: u64 = 50_000;

impl Program {
    pub(super) fn new(plan: &Plan, threads: usize, isa: Isa) -> Program {
        let mut program = Program { steps: Vec::new(), levels: Vec::new(), scratch_len: 0 };
        let mut compiler = Compiler::new(plan, isa);
        for level in &plan.levels {
            let mut whole = Vec::new();
            let mut units: Vec<(u64, Unit)> = Vec::new();
            let mut multiply_adds = 0;
            for job in &level.jobs {
                let first = program.steps.len();
                program.steps.extend(job.steps.iter().map(|step| compiler.compile(step)));
                let steps = &program.steps[first..];
                multiply_adds += steps.iter().map(CompiledStep::multiply_adds).sum::<u64>();
                let cost: u64 = steps.iter().map(CompiledStep::cost).sum();
                whole.push(Unit::Job(first, program.steps.len()));
                let parts =
                    if cost >= WORTH_CUTTING && steps.len() == 1 { steps[0].parts(threads) } else { vec![] };
                if parts.len() > 1 {
                    let each = cost / parts.len() as u64;
                    units.extend(parts.into_iter().map(|part| (each, Unit::Part(first, part))));
                } else {
                    units.push((cost, Unit::Job(first, program.steps.len())));
                }
            }
            program.levels.push(Level { whole, dealt: deal(units, threads), multiply_adds });
        }
        program.scratch_len = program.steps.iter().map(CompiledStep::scratch_len).max().unwrap_or(0);
        program
    }

    /// Runs `unit` for `image`.
    ///
    /// # Safety
    /// `memory` is for this program's plan; `scratch` has `scratch_len` numbers; what the unit
    /// reads is written, and nobody else writes or reads what it writes.
    pub(super) unsafe fn run(&self, unit: &Unit, memory: &Memory, image: usize, scratch: *mut f32) {
        match unit {
            Unit::Job(first, end) => {
                for step in &self.steps[*first..*end] {
                    // SAFETY: the caller's promise; a job's steps follow each other.
                    unsafe { step.run(None, memory, image, scratch) };
                }
            }
            // SAFETY: the caller's promise; parts of a step do not overlap.
            Unit::Part(step, part) => unsafe { self.steps[*step].run(Some(part), memory, image, scratch) },
        }
    }
}

/// Longest unit first, each to the thread with the least work so far.
fn deal(mut units: Vec<(u64, Unit)>, threads: usize) -> Vec<Vec<Unit>> {
    units.sort_by_key(|&(cost, _)| std::cmp::Reverse(cost));
    let mut dealt = vec![Vec::new(); threads];
    let mut load = vec![0; threads];
    for (cost, unit) in units {
        let thread = (0..threads).min_by_key(|&t| load[t]).expect("at least one thread");
        load[thread] += cost;
        dealt[thread].push(unit);
    }
    dealt
}
