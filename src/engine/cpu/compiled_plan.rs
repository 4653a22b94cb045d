//! A plan compiled for this CPU: a kernel for each step, and the work of each level assigned to the threads of a team.

use super::assign::{ThreadLoad, WorkItem, assign_lpt};
use super::compile::kernels;
use super::cost;
use super::cost::QuarterCycles;
use super::kernel::{Kernel, Operands, Tile, step_cost};
use super::memory::SessionMemory;
use super::simd::Isa;
use super::thread_pool::ThreadPool;
use super::weight_cache::WeightCache;
use crate::Result;
use crate::engine::plan::{Plan, Step};
use crate::error::DeviceError;

/// Most floats of a thread's scratch: kernels hold offsets in it in 32 bits.
const MAX_SCRATCH: usize = u32::MAX as usize;

/// A level's work, for one thread and for teams of several.
pub(crate) struct CompiledLevel {
    /// The work items of each thread of a team, by the team's size as in [`CompiledPlan::teams`]; of a thread alone every
    /// job, uncut.
    pub(crate) assigned: Vec<Vec<Vec<WorkItem>>>,
    /// Multiply-adds for one image.
    pub(crate) multiply_adds: u64,
    /// Whether a thread's images go one after another through this level and the consecutive levels like it: maps are
    /// larger than weights there, and a cache should keep the larger.
    pub(crate) one_by_one: bool,
}

/// Threads that run an image together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Team {
    /// How many they are.
    pub(crate) size: usize,
    /// Estimated time of an image: in each level, that of the thread with the most work, and the barrier behind it.
    pub(crate) cost: QuarterCycles,
}

/// A step and its kernel.
struct CompiledStep {
    step: Step,
    kernel: Box<dyn Kernel>,
}

impl CompiledStep {
    fn cost(&self, tile: Option<&Tile>) -> QuarterCycles {
        step_cost(&self.step, &*self.kernel, tile)
    }
}

/// A plan's kernels and their assignment to threads.
pub(crate) struct CompiledPlan {
    steps: Vec<CompiledStep>,
    pub(crate) levels: Vec<CompiledLevel>,
    /// Floats of scratch that a thread needs.
    pub(crate) scratch_len: usize,
    /// The sizes of teams: all threads, and every smaller power of two; the last is one thread.
    pub(crate) teams: Vec<Team>,
}

impl CompiledLevel {
    /// Every job, for a thread that runs an image alone.
    pub(crate) fn uncut(&self) -> &[WorkItem] {
        &self.assigned.last().expect("a team of one thread")[0]
    }
}

impl CompiledPlan {
    /// Compiles `plan` for `threads` threads, on those of `pool`; its weights are shared through `weights`.
    ///
    /// # Errors
    /// When the system has too little memory for the packed weights, or a step's scratch exceeds
    /// [`MAX_SCRATCH`].
    pub(crate) fn new(
        plan: &Plan,
        threads: usize,
        isa: Isa,
        (weights, pool): (&WeightCache, &ThreadPool),
    ) -> Result<CompiledPlan> {
        let mut compiled =
            CompiledPlan { steps: Vec::new(), levels: Vec::new(), scratch_len: 0, teams: Vec::new() };
        let smaller = (0..usize::BITS).rev().map(|bit| 1 << bit).filter(|&size| size < threads);
        let sizes: Vec<usize> = [threads].into_iter().chain(smaller).collect();
        compiled.teams.extend(sizes.iter().map(|&size| Team { size, cost: 0 }));
        let mut kernels = kernels(plan, isa, weights, pool)?.into_iter();
        for level in &plan.levels {
            let mut uncut = Vec::new();
            let mut multiply_adds = 0;
            let (mut weights_len, mut maps_len) = (0, 0);
            for job in &level.jobs {
                let first = compiled.steps.len();
                for step in &job.steps {
                    let kernel = kernels.next().expect("a kernel for each step");
                    compiled.scratch_len = compiled.scratch_len.max(kernel.scratch_len());
                    if compiled.scratch_len > MAX_SCRATCH {
                        let (op, len) = (step.op.name(), compiled.scratch_len);
                        let reason =
                            format!("{op} needs {len} floats of scratch, kernels address {MAX_SCRATCH}");
                        return Err(DeviceError::Unsupported { device: "cpu", reason }.into());
                    }
                    multiply_adds += step.multiply_adds();
                    let params = step.op.params();
                    weights_len += params.iter().map(|id| plan.params[id.index()].data.len()).sum::<usize>();
                    maps_len +=
                        step.inputs.iter().chain([&step.output]).map(|slot| slot.shape.len()).sum::<usize>();
                    compiled.steps.push(CompiledStep { step: step.clone(), kernel });
                }
                uncut.push(WorkItem::Job(first, compiled.steps.len()));
            }
            let mut assigned = Vec::new();
            for (team, &size) in sizes.iter().enumerate() {
                let loads = compiled.assign(&uncut, size);
                let longest = loads.iter().map(|load| load.cost).max().unwrap_or(0);
                let barrier = if size > 1 { size * cost::BARRIER_THREAD } else { 0 };
                compiled.teams[team].cost += longest + barrier;
                assigned.push(loads.into_iter().map(|load| load.items).collect());
            }
            let one_by_one = weights_len < maps_len;
            compiled.levels.push(CompiledLevel { assigned, multiply_adds, one_by_one });
        }
        Ok(compiled)
    }

    /// Estimated time of a batch of `images` images.
    pub(crate) fn batch_cost(&self, images: usize) -> QuarterCycles {
        let threads = self.teams[0].size;
        let alone = self.teams.last().expect("a team of one thread").cost;
        images / threads * alone
            + self.time_of(&self.teams[self.fastest_team(images % threads)], images % threads)
    }

    /// How many steps there are.
    pub(crate) fn steps(&self) -> usize {
        self.steps.len()
    }

    /// A level's work cut and assigned to threads. Only as many of the most expensive jobs are cut as
    /// minimize the largest load, for the tiles of a step together do more than the step.
    fn assign(&self, uncut: &[WorkItem], threads: usize) -> Vec<ThreadLoad> {
        if threads == 1 {
            let cost = uncut.iter().map(|item| self.cost(item)).sum();
            return vec![ThreadLoad { cost, items: uncut.to_vec() }];
        }
        let mut items: Vec<(QuarterCycles, &WorkItem)> =
            uncut.iter().map(|item| (self.cost(item), item)).collect();
        items.sort_by_key(|&(cost, _)| std::cmp::Reverse(cost));
        let cut_first = |count: usize| {
            let (cut, rest) = items.split_at(count);
            let tiles = cut.iter().flat_map(|&(_, item)| self.cut(item, threads));
            assign_lpt(tiles.chain(rest.iter().map(|&(cost, item)| (cost, item.clone()))), threads)
        };
        let mut loads = (0..=items.len())
            .map(cut_first)
            .min_by_key(|loads| loads.iter().map(|load| load.cost).max())
            .expect("cutting no job is one way");
        // The most expensive items often wait for memory, which threads share: every other thread takes them
        // last, so that it computes meanwhile.
        loads.iter_mut().skip(1).step_by(2).for_each(|load| load.items.reverse());
        loads
    }

    /// Which of [`CompiledPlan::teams`] computes `images` images first.
    pub(crate) fn fastest_team(&self, images: usize) -> usize {
        let teams = self.teams.iter().enumerate();
        teams.min_by_key(|(_, team)| self.time_of(team, images)).map_or(0, |(index, _)| index)
    }

    /// Estimated time of `images` images where as many such teams as there are threads for take an image each, again and
    /// again.
    fn time_of(&self, team: &Team, images: usize) -> QuarterCycles {
        images.div_ceil(self.teams[0].size / team.size) * team.cost
    }

    fn cost(&self, item: &WorkItem) -> QuarterCycles {
        match item {
            WorkItem::Job(first, end) => self.steps[*first..*end].iter().map(|step| step.cost(None)).sum(),
            WorkItem::Tile(step, tile) => self.steps[*step].cost(Some(tile)),
        }
    }

    /// At most `max` items that make up the job `item`, with their costs. Jobs of several steps are not cut.
    fn cut(&self, item: &WorkItem, max: usize) -> Vec<(QuarterCycles, WorkItem)> {
        if let WorkItem::Job(step, end) = *item
            && step + 1 == end
        {
            let tiles = self.steps[step].kernel.tiles(max);
            if tiles.len() > 1 {
                let items = tiles.into_iter().map(|tile| WorkItem::Tile(step, tile));
                return items.map(|item| (self.cost(&item), item)).collect();
            }
        }
        vec![(self.cost(item), item.clone())]
    }

    /// Computes `item` for `image`.
    ///
    /// # Safety
    /// `memory` was allocated for this plan, on whose CPU it runs, and `scratch` is one of its scratches,
    /// this thread's. The values that the item reads have been written, and no other thread touches those
    /// that it writes. The items of a run make up whole levels.
    pub(crate) unsafe fn run(
        &self,
        item: &WorkItem,
        memory: &SessionMemory,
        image: usize,
        scratch: *mut f32,
    ) {
        let (steps, tile) = match item {
            WorkItem::Job(first, end) => (*first..*end, None),
            WorkItem::Tile(step, tile) => (*step..*step + 1, Some(tile)),
        };
        for index in steps {
            let CompiledStep { step, kernel } = &self.steps[index];
            let channels_done = memory.channels_done(image, index);
            let operands = Operands { step, memory, image, scratch, channels_done };
            // SAFETY: the operands are those of the step that the kernel was compiled from, in memory for its plan.
            // A job's steps follow each other, and tiles of a step do not overlap. The scratch is at least as long as
            // the kernel needs: `scratch_len` is the largest of all. The caller promises the rest: inputs that are
            // written, outputs that no other thread touches, and items that make up whole levels.
            unsafe { kernel.run(tile, &operands) };
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::Shape;
    use crate::engine::graph::ops::Conv2d;
    use crate::engine::graph::{Graph, Op};
    use crate::engine::plan::Order;

    /// Convolutions of many sizes side by side.
    pub(crate) fn plan() -> Plan {
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

    fn compile(plan: &Plan, threads: usize, isa: Isa) -> CompiledPlan {
        let pool = ThreadPool::new(3).unwrap();
        CompiledPlan::new(plan, threads, isa, (&WeightCache::default(), &pool)).unwrap()
    }

    #[test]
    fn every_step_is_assigned_once_whole_or_in_all_its_tiles() {
        let plan = plan();
        for isa in Isa::available() {
            for threads in [1, 2, 3, 8] {
                let compiled = compile(&plan, threads, isa);
                let teams = compiled.levels.iter().flat_map(|level| {
                    assert_eq!(level.assigned.len(), compiled.teams.len());
                    level
                        .assigned
                        .iter()
                        .zip(&compiled.teams)
                        .map(move |(assigned, team)| (level, assigned, team.size))
                });
                for (level, assigned, threads) in teams {
                    assert_eq!(assigned.len(), threads);
                    for job in level.uncut() {
                        let WorkItem::Job(first, end) = *job else { panic!("an uncut level has a tile") };
                        let of_it = assigned.iter().flatten().filter(|item| match item {
                            WorkItem::Job(job, _) => *job == first,
                            WorkItem::Tile(step, _) => *step == first,
                        });
                        let of_it: Vec<&WorkItem> = of_it.collect();
                        if of_it.len() > 1 {
                            let mut tiles: Vec<&Tile> = of_it
                                .iter()
                                .map(|item| match item {
                                    WorkItem::Tile(_, tile) => tile,
                                    WorkItem::Job(..) => panic!("a job and tiles of it"),
                                })
                                .collect();
                            tiles.sort_by_key(|tile| (tile.groups.start, tile.pixels.start));
                            let expected = compiled.steps[first].kernel.tiles(threads);
                            assert!(tiles.into_iter().eq(expected.iter()), "tiles of step {first}");
                        } else {
                            assert_eq!(of_it, [&WorkItem::Job(first, end)]);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_team_is_as_small_as_the_images_are_many() {
        let plan = plan();
        let of = |threads| compile(&plan, threads, Isa::detect());
        let sizes = |threads| of(threads).teams.iter().map(|team| team.size).collect::<Vec<_>>();
        assert_eq!(
            [sizes(1), sizes(2), sizes(6), sizes(8)],
            [vec![1], vec![2, 1], vec![6, 4, 2, 1], vec![8, 4, 2, 1]]
        );
        let compiled = of(8);
        let alone = compiled.teams[3].cost;
        assert_eq!(compiled.batch_cost(1), compiled.teams.iter().map(|team| team.cost).min().unwrap());
        assert!(compiled.batch_cost(1) < alone, "a team is faster than one thread");
        assert_eq!(compiled.teams[compiled.fastest_team(8)].size, 1);
        assert_eq!([8, 16].map(|images| compiled.batch_cost(images)), [alone, 2 * alone]);
    }

    #[test]
    fn nothing_is_cut_for_one_thread_and_something_for_two() {
        let plan = plan();
        let tiles = |threads| {
            let compiled = compile(&plan, threads, Isa::detect());
            let assigned = compiled.levels.iter().flat_map(|level| level.assigned[0].iter().flatten());
            assigned.filter(|item| matches!(item, WorkItem::Tile(..))).count()
        };
        assert_eq!(tiles(1), 0);
        assert!(tiles(2) > 0);
    }
}
