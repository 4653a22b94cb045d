//! Runs a program on batches: as many images as there are threads side by side, each thread
//! alone with its own; what is left over, one image at a time by all threads together.

use std::ops::Range;
use std::sync::Arc;

use super::memory::Memory;
use super::program::Program;
use super::simd::Isa;
use super::threads::Threads;
use crate::engine::plan::Plan;
use crate::engine::session::{Continues, Session};
use crate::{Error, Result};

/// Images that a thread takes through each level together, so that weights are read once for all.
const TOGETHER: usize = 4;

/// See the module's documentation.
pub(super) struct CpuSession {
    plan: Arc<Plan>,
    program: Program,
    memory: Memory,
    threads: Threads,
    capacity: usize,
    active: Vec<usize>,
    multiply_adds: u64,
}

impl CpuSession {
    pub(super) fn new(plan: Arc<Plan>, batch: usize, threads: usize, isa: Isa) -> Result<Self> {
        let program = Program::new(&plan, threads, isa);
        let images = if batch < threads { 1 } else { batch.min(threads * TOGETHER) };
        // NaN, so that a step which reads what no step wrote cannot go unnoticed.
        let memory = Memory::new(&plan, images, threads, program.scratch_len, f32::NAN)?;
        let threads = Threads::new(threads).map_err(|e| Error::device(format!("cpu: no thread: {e}")))?;
        let active = Vec::with_capacity(images);
        Ok(CpuSession { plan, program, memory, threads, capacity: batch, active, multiply_adds: 0 })
    }

    /// Runs `levels` on the images `active` in memory.
    fn levels(&mut self, levels: Range<usize>) {
        let (program, memory, threads) = (&self.program, &self.memory, &self.threads);
        let levels = &program.levels[levels];
        let work: u64 = levels.iter().map(|level| level.multiply_adds).sum();
        self.multiply_adds += work * self.active.len() as u64;
        let side_by_side = self.active.len() / threads.count() * threads.count();
        let (alone, together) = self.active.split_at(side_by_side);
        threads.run(&|thread| {
            let scratch = memory.scratch(thread);
            let share = alone.len() / threads.count();
            let own = &alone[thread * share..(thread + 1) * share];
            for level in levels.iter().filter(|_| !own.is_empty()) {
                for unit in &level.whole {
                    for &image in own {
                        // SAFETY: this thread alone works on `image`, level after level.
                        unsafe { program.run(unit, memory, image, scratch) };
                    }
                }
            }
            for &image in together {
                for level in levels {
                    for unit in &level.dealt[thread] {
                        // SAFETY: a level's units are independent; the barrier parts the levels.
                        unsafe { program.run(unit, memory, image, scratch) };
                    }
                    threads.meet();
                }
            }
        });
    }

    /// The image ranges of a batch of `n` that fit in memory.
    fn rounds(&self, n: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let images = self.memory.images();
        (0..n).step_by(images).map(move |first| first..(first + images).min(n))
    }

    /// Brings the input spaces of a round into memory.
    fn upload(&mut self, inputs: &[f32], round: &Range<usize>) {
        let len = self.plan.input_len;
        for (image, input) in inputs.chunks_exact(len).skip(round.start).take(round.len()).enumerate() {
            // SAFETY: the input space has `input_len` numbers, and no run is under way.
            unsafe { self.memory.input(image).copy_from_nonoverlapping(input.as_ptr(), len) };
        }
    }

    /// Image `image`'s output space.
    fn output(&self, image: usize) -> &[f32] {
        // SAFETY: the output space has `output_len` numbers, and no run is under way.
        unsafe { std::slice::from_raw_parts(self.memory.output(image), self.plan.output_len) }
    }

    fn download(&self, outputs: &mut [f32], round: &Range<usize>) {
        let rows = outputs.chunks_exact_mut(self.plan.output_len).skip(round.start);
        for (image, output) in rows.take(round.len()).enumerate() {
            output.copy_from_slice(self.output(image));
        }
    }

    fn check(&self, inputs: &[f32], outputs: &[f32]) -> Result<usize> {
        crate::engine::session::batch_size(&self.plan, self.capacity, inputs, outputs)
    }
}

impl Session for CpuSession {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn capacity(&self) -> usize {
        self.capacity
    }

    fn run(&mut self, inputs: &[f32], outputs: &mut [f32]) -> Result<()> {
        let n = self.check(inputs, outputs)?;
        for round in self.rounds(n) {
            self.upload(inputs, &round);
            self.active.clear();
            self.active.extend(0..round.len());
            self.levels(0..self.program.levels.len());
            self.download(outputs, &round);
        }
        Ok(())
    }

    fn run_early_exit(
        &mut self,
        inputs: &[f32],
        outputs: &mut [f32],
        continues: &mut Continues,
    ) -> Result<Vec<usize>> {
        let n = self.check(inputs, outputs)?;
        let mut reached = vec![0; n];
        for round in self.rounds(n) {
            self.upload(inputs, &round);
            self.active.clear();
            self.active.extend(0..round.len());
            let mut done = 0;
            for exit in 1..=self.plan.exits.len() {
                let end = self.plan.exits[exit - 1];
                self.levels(done..end);
                done = end;
                let mut active = std::mem::take(&mut self.active);
                active.retain(|&image| {
                    reached[round.start + image] = exit;
                    continues(exit, round.start + image, self.output(image))
                });
                self.active = active;
                if self.active.is_empty() {
                    break;
                }
            }
            self.download(outputs, &round);
        }
        Ok(reached)
    }

    fn multiply_adds_done(&self) -> u64 {
        self.multiply_adds
    }
}
