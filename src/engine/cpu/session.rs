//! Session on the CPU: a compiled plan run on batches. As many images as there are threads run side by
//! side, each on a thread of its own; remaining images are divided among teams of threads, of the size that the
//! cost model finds fastest.

use std::ops::Range;
use std::sync::Arc;

use super::Cpu;
use super::compiled_plan::{CompiledLevel, CompiledPlan};
use super::memory::SessionMemory;
use super::thread_pool::ThreadPool;
use crate::Result;
use crate::engine::plan::Plan;
use crate::engine::session::{Continues, Fill, Session, check_batch, none_in_flight};
use crate::error::{DeviceError, GraphError};

/// Images that a thread takes through each level one after another, so that weights are read from memory
/// once for all of them.
const IMAGES_PER_BLOCK: usize = 4;

/// A compiled plan with the memory of its batches, on the threads of its device.
pub(crate) struct CpuSession {
    plan: Arc<Plan>,
    compiled: CompiledPlan,
    memory: SessionMemory,
    pool: Arc<ThreadPool>,
    capacity: usize,
    /// Output spaces of a batch. One image's stay in memory.
    outputs: Vec<f32>,
    /// Images of the batch that was computed and not yet waited for.
    computed: Option<usize>,
    /// Images of the batch in `outputs` that the caller may read.
    ready: usize,
    /// Images in memory that still run.
    active: Vec<usize>,
    /// The last exit of each image of an early-exit run.
    reached: Vec<usize>,
    multiply_adds: u64,
}

impl CpuSession {
    /// Prepares `plan` for batches of up to `batch` images.
    ///
    /// # Errors
    /// When the system has too little memory, or the plan exceeds a limit of the kernels.
    pub(crate) fn new(cpu: &Cpu, plan: Arc<Plan>, batch: usize) -> Result<Self> {
        let (pool, threads) = (Arc::clone(&cpu.pool), cpu.pool.count());
        let compiled = CompiledPlan::new(&plan, threads, cpu.isa, (&cpu.weights, &pool))?;
        let images = if batch < threads {
            batch.min(threads / compiled.teams[compiled.fastest_team(batch)].size)
        } else {
            batch.min(threads.saturating_mul(IMAGES_PER_BLOCK))
        };
        // NaN makes it visible when a step reads an element that no step has written.
        let (scratch_len, steps) = (compiled.scratch_len, compiled.steps());
        let memory = SessionMemory::new(&plan, images, threads, scratch_len, steps, f32::NAN)?;
        let active = Vec::with_capacity(images);
        Ok(CpuSession {
            plan,
            compiled,
            memory,
            pool,
            capacity: batch,
            outputs: Vec::new(),
            computed: None,
            ready: 0,
            active,
            reached: Vec::new(),
            multiply_adds: 0,
        })
    }

    /// Runs `levels` on the images in `active`.
    fn run_levels(&mut self, levels: Range<usize>) {
        let (compiled, memory, pool) = (&self.compiled, &self.memory, &*self.pool);
        let levels = &compiled.levels[levels];
        let work: u64 = levels.iter().map(|level| level.multiply_adds).sum();
        self.multiply_adds += work * self.active.len() as u64;
        let images_per_thread = self.active.len() / pool.count();
        let (side_by_side, remaining) = self.active.split_at(images_per_thread * pool.count());
        let choice = compiled.fastest_team(remaining.len());
        let size = compiled.teams[choice].size;
        let teams = pool.count() / size;
        memory.reset_counters();
        pool.run(&|thread| {
            let scratch = memory.scratch(thread);
            let own = &side_by_side[thread * images_per_thread..(thread + 1) * images_per_thread];
            for run in levels.chunk_by(|a, b| a.one_by_one && b.one_by_one) {
                let items = || run.iter().flat_map(CompiledLevel::uncut);
                // SAFETY: only this thread works on its own images, each level after level, in its own scratch.
                let run_item = |item, image| unsafe { compiled.run(item, memory, image, scratch) };
                if run[0].one_by_one {
                    own.iter().for_each(|&image| items().for_each(|item| run_item(item, image)));
                } else {
                    items().for_each(|item| own.iter().for_each(|&image| run_item(item, image)));
                }
            }
            let (team, member) = (thread / size, thread % size);
            // Threads that are too few for a team have nothing to do.
            let images = if team < teams { remaining } else { &[] };
            for &image in images.iter().skip(team).step_by(teams) {
                for level in levels {
                    for item in &level.assigned[choice][member] {
                        // SAFETY: the image belongs to one team. Items of a level are independent of each other, and the
                        // team's barrier separates levels.
                        unsafe { compiled.run(item, memory, image, scratch) };
                    }
                    pool.barrier(team, size);
                }
            }
        });
        // What AddressSanitizer guards cannot be read, and is checked by it.
        if cfg!(all(debug_assertions, not(asan))) {
            memory.assert_margins();
        }
    }

    /// The image ranges of a batch of `n` that fit in memory.
    fn rounds(&self, n: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let images = self.memory.images();
        (0..n).step_by(images).map(move |first| first..(first + images).min(n))
    }

    /// Lets `fill` write the input spaces of a round and makes its images active.
    fn begin(&mut self, fill: &mut Fill, round: &Range<usize>) -> Result<()> {
        for (image, number) in round.clone().enumerate() {
            // SAFETY: the input space has `input_len` initialized floats, and no run is in progress.
            let space =
                unsafe { std::slice::from_raw_parts_mut(self.memory.input(image), self.plan.input_len) };
            fill(number, space)?;
        }
        self.active.clear();
        self.active.extend(0..round.len());
        Ok(())
    }

    /// The output space of image `image`.
    fn output(&self, image: usize) -> &[f32] {
        // SAFETY: the output space has `output_len` initialized floats, and no run is in progress.
        unsafe { std::slice::from_raw_parts(self.memory.output(image), self.plan.output_len) }
    }

    /// Makes room for the output spaces of a batch of `n`, unless they can be read in memory.
    ///
    /// # Errors
    /// When the system has too little memory.
    fn make_room(&mut self, n: usize) -> Result<()> {
        let (len, needed) = (self.outputs.len(), n.saturating_mul(self.plan.output_len));
        if n > 1 && needed > len {
            let bytes = needed.saturating_mul(size_of::<f32>());
            let refused = |_| DeviceError::OutOfMemory { device: "cpu", images: n, bytes, reason: None };
            self.outputs.try_reserve_exact(needed - len).map_err(refused)?;
            self.outputs.resize(needed, 0.0);
        }
        Ok(())
    }

    /// Copies the output spaces of a round of a batch of `n` out of memory, unless they can be read there.
    fn end(&mut self, n: usize, round: &Range<usize>) {
        if n == 1 {
            return;
        }
        let len = self.plan.output_len;
        let mut outputs = std::mem::take(&mut self.outputs);
        let spaces = outputs.chunks_exact_mut(len).skip(round.start);
        for (image, output) in spaces.take(round.len()).enumerate() {
            output.copy_from_slice(self.output(image));
        }
        self.outputs = outputs;
    }
}

impl Session for CpuSession {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn capacity(&self) -> usize {
        self.capacity
    }

    fn depth(&self) -> usize {
        1
    }

    fn in_flight(&self) -> usize {
        usize::from(self.computed.is_some())
    }

    fn submit(&mut self, images: usize, fill: &mut Fill) -> Result<()> {
        check_batch(self, images)?;
        self.ready = 0;
        self.make_room(images)?;
        for round in self.rounds(images) {
            self.begin(fill, &round)?;
            self.run_levels(0..self.compiled.levels.len());
            self.end(images, &round);
        }
        self.computed = Some(images);
        Ok(())
    }

    fn wait(&mut self) -> Result<()> {
        self.ready = self.computed.take().ok_or(GraphError::NoBatch)?;
        Ok(())
    }

    fn outputs(&self) -> &[f32] {
        match self.ready {
            1 => self.output(0),
            images => &self.outputs[..images * self.plan.output_len],
        }
    }

    fn run_early_exit(&mut self, images: usize, fill: &mut Fill, continues: &mut Continues) -> Result<()> {
        check_batch(self, images)?;
        none_in_flight(self.in_flight())?;
        self.ready = 0;
        self.make_room(images)?;
        self.reached.clear();
        self.reached.resize(images, 0);
        for round in self.rounds(images) {
            self.begin(fill, &round)?;
            let mut done = 0;
            for exit in 1..=self.plan.exits.len() {
                let end = self.plan.exits[exit - 1];
                self.run_levels(done..end);
                done = end;
                let mut active = std::mem::take(&mut self.active);
                active.retain(|&image| {
                    self.reached[round.start + image] = exit;
                    continues(exit, round.start + image, self.output(image))
                });
                self.active = active;
                if self.active.is_empty() {
                    break;
                }
            }
            self.end(images, &round);
        }
        self.ready = images;
        Ok(())
    }

    fn reached(&self) -> &[usize] {
        &self.reached
    }

    fn multiply_adds_done(&self) -> u64 {
        self.multiply_adds
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::cpu::Isa;
    use crate::engine::cpu::compiled_plan::tests::plan;

    /// The output spaces of `images` images; image i has the input i, i + 1, ...
    fn run(session: &mut dyn Session, images: usize) -> Vec<u32> {
        let (input_len, output_len) = (session.plan().input_len, session.plan().output_len);
        let inputs: Vec<f32> = (0..images * input_len).map(|i| (i / input_len + i % 97) as f32).collect();
        let mut outputs = vec![f32::NAN; images * output_len];
        session.run(&inputs, &mut outputs).unwrap();
        let plan = session.plan();
        let elements = outputs
            .chunks(output_len)
            .flat_map(|space| plan.outputs.iter().flat_map(|slot| &space[slot.offset..][..slot.shape.len()]));
        elements.map(|x| x.to_bits()).collect()
    }

    #[test]
    fn sessions_that_run_at_the_same_time_have_the_bits_of_one_alone() {
        let plan = Arc::new(plan());
        for isa in Isa::available() {
            let alone = Cpu::with_isa(1, isa).unwrap();
            let expected = run(&mut *alone.session(Arc::clone(&plan), 7).unwrap(), 7);
            for threads in [1, 2, 3] {
                let cpu = Cpu::with_isa(threads, isa).unwrap();
                std::thread::scope(|scope| {
                    for _ in 0..3 {
                        scope.spawn(|| {
                            let mut session = cpu.session(Arc::clone(&plan), 7).unwrap();
                            for _ in 0..5 {
                                assert!(run(&mut *session, 7) == expected, "{}", cpu.description());
                            }
                        });
                    }
                });
            }
        }
    }

    #[test]
    fn sessions_share_weights_and_threads_which_outlive_their_device() {
        let cpu = Cpu::new(2).unwrap();
        let first = CpuSession::new(&cpu, Arc::new(plan()), 1).unwrap();
        let packed = cpu.weights.packed_len();
        // Another plan with parameters of its own.
        let mut second = CpuSession::new(&cpu, Arc::new(plan()), 4).unwrap();
        assert!(packed > 0 && cpu.weights.packed_len() == packed);
        assert!(Arc::ptr_eq(&first.pool, &second.pool));
        drop(first);
        assert_eq!(cpu.weights.packed_len(), packed);
        let weights = Arc::clone(&cpu.weights);
        drop(cpu);
        run(&mut second, 4);
        drop(second);
        assert_eq!(weights.packed_len(), 0);
    }
}
