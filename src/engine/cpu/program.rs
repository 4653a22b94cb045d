//! A plan made ready for this CPU: weights packed, convolutions cut into parts, and each level's
//! parts dealt out to the threads.

use super::compiler::Compiler;
use super::conv::Part;
use super::memory::Memory;
use super::simd::Isa;
use super::step::CompiledStep;
use crate::engine::plan::Plan;

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

impl Program {
    pub(super) fn new(plan: &Plan, threads: usize, isa: Isa) -> Program {
        let mut program = Program { steps: Vec::new(), levels: Vec::new(), scratch_len: 0 };
        let mut compiler = Compiler::new(plan, isa);
        for level in &plan.levels {
            let mut whole = Vec::new();
            let mut multiply_adds = 0;
            for job in &level.jobs {
                let first = program.steps.len();
                program.steps.extend(job.steps.iter().map(|step| compiler.compile(step)));
                let steps = &program.steps[first..];
                multiply_adds += steps.iter().map(CompiledStep::multiply_adds).sum::<u64>();
                whole.push(Unit::Job(first, program.steps.len()));
            }
            let dealt = program.share(&whole, threads);
            program.levels.push(Level { whole, dealt, multiply_adds });
        }
        program.scratch_len = program.steps.iter().map(CompiledStep::scratch_len).max().unwrap_or(0);
        program
    }

    /// The units of a level cut and dealt out to the threads: as few are cut as make the longest share
    /// shortest, for the parts of a step together do more than the step.
    fn share(&self, whole: &[Unit], threads: usize) -> Vec<Vec<Unit>> {
        let mut units: Vec<(usize, &Unit)> = whole.iter().map(|unit| (self.cost(unit), unit)).collect();
        units.sort_by_key(|&(cost, _)| std::cmp::Reverse(cost));
        let cut_first = |count: usize| {
            let (cut, left) = units.split_at(count);
            let parts = cut.iter().flat_map(|&(_, unit)| self.parts(unit, threads));
            let mut shares =
                deal(parts.chain(left.iter().map(|&(cost, unit)| (cost, unit.clone()))), threads);
            // The dearest often wait for memory, which threads share: beside them, others had better compute.
            shares.iter_mut().skip(1).step_by(2).for_each(|share| share.units.reverse());
            shares
        };
        let longest = |shares: &[Share]| shares.iter().map(|share| share.cost).max();
        let ways = (0..=if threads > 1 { units.len() } else { 0 }).map(cut_first);
        let shares = ways.min_by_key(|shares| longest(shares)).expect("cutting nothing is a way");
        shares.into_iter().map(|share| share.units).collect()
    }

    /// What `unit` costs, in quarters of a cycle.
    fn cost(&self, unit: &Unit) -> usize {
        match unit {
            Unit::Job(first, end) => self.steps[*first..*end].iter().map(|step| step.cost(None)).sum(),
            Unit::Part(step, part) => self.steps[*step].cost(Some(part)),
        }
    }

    /// At most `parts` units that make up `unit`, with their costs.
    fn parts(&self, unit: &Unit, parts: usize) -> Vec<(usize, Unit)> {
        let parts = match *unit {
            Unit::Job(first, end) if first + 1 == end => self.steps[first].parts(parts),
            _ => vec![],
        };
        if parts.len() < 2 {
            return vec![(self.cost(unit), unit.clone())];
        }
        let Unit::Job(step, _) = *unit else { unreachable!("only whole jobs are cut") };
        let units = parts.into_iter().map(|part| Unit::Part(step, part));
        units.map(|unit| (self.cost(&unit), unit)).collect()
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

/// What one thread does in a level.
#[derive(Clone, Default)]
struct Share {
    cost: usize,
    units: Vec<Unit>,
}

/// Dearest unit first, each to the thread with the least work so far.
fn deal(units: impl Iterator<Item = (usize, Unit)>, threads: usize) -> Vec<Share> {
    let mut units: Vec<(usize, Unit)> = units.collect();
    units.sort_by_key(|&(cost, _)| std::cmp::Reverse(cost));
    let mut shares = vec![Share::default(); threads];
    for (cost, unit) in units {
        let share = shares.iter_mut().min_by_key(|share| share.cost).expect("at least one thread");
        share.cost += cost;
        share.units.push(unit);
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;
    use crate::engine::graph::ops::Conv2d;
    use crate::engine::graph::{Graph, Op};
    use crate::engine::plan::Order;

    /// Convolutions of many sizes side by side.
    fn plan() -> Plan {
        let mut graph = Graph::new();
        let input = graph.push(Op::Input(Shape::new(8, 20, 20)), &[]).unwrap();
        let outputs: Vec<_> = [(1, 1), (3, 3), (40, 3), (100, 1), (200, 3)]
            .into_iter()
            .map(|(out, side)| {
                let weight =
                    graph.add_param("weight", &[out, 8, side, side], vec![0.5; out * 8 * side * side]);
                let conv = Conv2d::new(&graph, weight, None, [1, 1], [side / 2; 2]);
                graph.push(conv, &[input]).unwrap()
            })
            .collect();
        Plan::new(&graph, &outputs, Order::Depth).unwrap()
    }

    #[test]
    fn every_step_is_dealt_out_once_whole_or_in_all_its_parts() {
        let plan = plan();
        for isa in Isa::available() {
            for threads in [1, 2, 3, 8] {
                let program = Program::new(&plan, threads, isa);
                for level in &program.levels {
                    assert_eq!(level.dealt.len(), threads);
                    for whole in &level.whole {
                        let Unit::Job(first, end) = *whole else { panic!("a level is uncut for one thread") };
                        let of_it = level.dealt.iter().flatten().filter(|unit| match unit {
                            Unit::Job(job, _) => *job == first,
                            Unit::Part(step, _) => *step == first,
                        });
                        let of_it: Vec<&Unit> = of_it.collect();
                        if of_it.len() > 1 {
                            let mut parts: Vec<&Part> = of_it
                                .iter()
                                .map(|unit| match unit {
                                    Unit::Part(_, part) => part,
                                    Unit::Job(..) => panic!("a job and parts of it"),
                                })
                                .collect();
                            parts.sort_by_key(|part| (part.groups.start, part.pixels.start));
                            let expected = program.steps[first].parts(threads);
                            assert!(parts.into_iter().eq(expected.iter()), "parts of step {first}");
                        } else {
                            assert_eq!(of_it, [&Unit::Job(first, end)]);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn nothing_is_cut_for_one_thread_and_something_for_two() {
        let plan = plan();
        let parts = |threads| {
            let program = Program::new(&plan, threads, Isa::detect());
            let dealt = program.levels.iter().flat_map(|level| level.dealt.iter().flatten());
            dealt.filter(|unit| matches!(unit, Unit::Part(..))).count()
        };
        assert_eq!(parts(1), 0);
        assert!(parts(2) > 0);
    }
}
