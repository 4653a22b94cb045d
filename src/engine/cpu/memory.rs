//! Memory of a session: for each image in flight its input, output and work spaces and a counter for each step,
//! for each thread its scratch. It is allocated once.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::aligned::{AlignedBuffer, CACHE_LINE_F32, GUARD};
use super::gemm::OVERREAD;
use crate::Result;
use crate::engine::plan::{Plan, Slot, Space};
use crate::error::DeviceError;

/// Floats that the threads of a run write at addresses which the plan keeps apart; barriers between
/// levels order writes before reads. Beside each space there are [`OVERREAD`] floats that may be read.
pub(crate) struct SessionMemory {
    floats: AlignedBuffer,
    images: usize,
    image_len: usize,
    input: Area,
    output: Area,
    work: Area,
    threads: usize,
    scratch_len: usize,
    /// For each image and step, of how many output channels its tiles have ended: (images, steps).
    channels_done: Vec<AtomicUsize>,
}

/// A space of an image: its first float in the image's memory, and how many it has.
#[derive(Clone, Copy)]
struct Area {
    start: usize,
    len: usize,
}

/// Floats that keep two spaces apart. Only where there are guards: otherwise a space's neighbor serves as what may
/// be read beside it.
const BETWEEN: usize = if GUARD != 0 { 2 * OVERREAD + GUARD } else { 0 };

/// A NaN that no kernel computes, in floats beside the areas that may be read and not written.
const UNTOUCHED: u32 = 0x7fc0_beef;

impl SessionMemory {
    /// Memory for `images` images of `plan`, for `threads` scratches of `scratch_len` floats and for the
    /// counters of `steps` steps; all floats are `fill`.
    ///
    /// # Errors
    /// When the system has too little.
    pub(crate) fn new(
        plan: &Plan,
        images: usize,
        threads: usize,
        scratch_len: usize,
        steps: usize,
        fill: f32,
    ) -> Result<SessionMemory> {
        let round = |len: usize| len.next_multiple_of(CACHE_LINE_F32);
        let input = Area { start: round(OVERREAD), len: plan.input_len };
        let output = Area { start: input.start + round(input.len) + BETWEEN, len: plan.output_len };
        let work = Area { start: output.start + round(output.len) + BETWEEN, len: plan.work_len };
        let image_len = work.start + round(work.len) + round(OVERREAD) + GUARD;
        let scratch_len = round(scratch_len) + round(OVERREAD) + GUARD;
        let len = images.saturating_mul(image_len).saturating_add(threads.saturating_mul(scratch_len));
        let bytes = len.saturating_mul(size_of::<f32>());
        let out_of_memory = || DeviceError::OutOfMemory { device: "cpu", images, bytes, reason: None };
        let floats = AlignedBuffer::new(len).ok_or_else(out_of_memory)?;
        for i in 0..len {
            // SAFETY: the buffer has room for `len` floats.
            unsafe { floats.start().add(i).write(fill) };
        }
        let channels_done = (0..images.saturating_mul(steps)).map(|_| AtomicUsize::new(0)).collect();
        let memory = SessionMemory {
            floats,
            images,
            image_len,
            input,
            output,
            work,
            threads,
            scratch_len,
            channels_done,
        };
        if GUARD != 0 {
            memory.set_guards();
        }
        Ok(memory)
    }

    /// Marks what lies beside the areas, and poisons what may not even be read.
    fn set_guards(&self) {
        for margin in self.margins() {
            for i in margin.clone() {
                // SAFETY: a margin is inside the buffer, and no kernel runs yet.
                unsafe { self.float(i).write(f32::from_bits(UNTOUCHED)) };
            }
            // What is before the first space of an image may be read, and OVERREAD floats beside every space.
            if margin.len() > OVERREAD {
                let is_last = margin.end.is_multiple_of(self.image_len);
                let end = if is_last { margin.end } else { margin.end - OVERREAD };
                self.floats.poison(margin.start + OVERREAD..end);
            }
        }
        for thread in 0..self.threads {
            let end = self.images * self.image_len + (thread + 1) * self.scratch_len;
            self.floats.poison(end - GUARD..end);
        }
    }

    /// The floats of every image that are in none of its spaces.
    fn margins(&self) -> impl Iterator<Item = Range<usize>> {
        let Area { start, .. } = self.input;
        let end = |area: Area| area.start + area.len;
        let of_image = [
            0..start,
            end(self.input)..self.output.start,
            end(self.output)..self.work.start,
            end(self.work)..self.image_len,
        ];
        let images = (0..self.images).map(|image| image * self.image_len);
        images.flat_map(move |first| of_image.clone().map(|margin| first + margin.start..first + margin.end))
    }

    /// Checks that no kernel has written beside the spaces of the images.
    pub(crate) fn assert_margins(&self) {
        for (margin, i) in self.margins().flat_map(|margin| margin.clone().map(move |i| (margin.clone(), i)))
        {
            // SAFETY: a margin is inside the buffer, where `new` has initialized it.
            let bits = unsafe { self.float(i).read() }.to_bits();
            assert_eq!(bits, UNTOUCHED, "a kernel has written float {i}, in {margin:?} beside the spaces");
        }
    }

    /// How many images it holds.
    pub(crate) fn images(&self) -> usize {
        self.images
    }

    /// The first element of `slot` of image `image`.
    pub(crate) fn slot(&self, image: usize, slot: &Slot) -> *mut f32 {
        let space = match slot.space {
            Space::Input => self.input,
            Space::Output => self.output,
            Space::Work => self.work,
        };
        debug_assert!(slot.offset + slot.shape.len() <= space.len, "{slot} in a space of {}", space.len);
        self.float(self.of_image(image) + space.start + slot.offset)
    }

    /// The input space of image `image`.
    pub(crate) fn input(&self, image: usize) -> *mut f32 {
        self.float(self.of_image(image) + self.input.start)
    }

    /// The output space of image `image`.
    pub(crate) fn output(&self, image: usize) -> *mut f32 {
        self.float(self.of_image(image) + self.output.start)
    }

    /// The scratch of thread `thread`.
    pub(crate) fn scratch(&self, thread: usize) -> *mut f32 {
        debug_assert!(thread < self.threads, "thread {thread} of {}", self.threads);
        self.float(self.images * self.image_len + thread * self.scratch_len)
    }

    /// Floats of a scratch, without those that may only be read.
    pub(crate) fn scratch_len(&self) -> usize {
        self.scratch_len - OVERREAD.next_multiple_of(CACHE_LINE_F32) - GUARD
    }

    /// The counter of step `step` of image `image`.
    pub(crate) fn channels_done(&self, image: usize, step: usize) -> &AtomicUsize {
        &self.channels_done[image * (self.channels_done.len() / self.images) + step]
    }

    /// Zeroes all counters: a run that panicked may have left some.
    pub(crate) fn reset_counters(&self) {
        self.channels_done.iter().for_each(|counter| counter.store(0, Ordering::Relaxed));
    }

    /// The first float of image `image`.
    fn of_image(&self, image: usize) -> usize {
        debug_assert!(image < self.images, "image {image} of {}", self.images);
        image * self.image_len
    }

    /// The address of float `index`.
    fn float(&self, index: usize) -> *mut f32 {
        debug_assert!(index <= self.floats.len(), "float {index} of {}", self.floats.len());
        // SAFETY: `index` is inside the buffer: the callers add up areas that `new` has laid out in it, images and
        // threads are fewer than it was made for, and the plan's slots end inside the plan's spaces.
        unsafe { self.floats.start().add(index) }
    }
}

#[cfg(all(test, debug_assertions, not(asan)))]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::Shape;
    use crate::engine::graph::{Graph, Op};
    use crate::engine::plan::Order;

    #[test]
    fn a_write_beside_a_space_is_noticed_and_one_inside_is_not() {
        let mut graph = Graph::new();
        let input = graph.push(Op::Input(Shape::new(2, 5, 5)), &[]).unwrap();
        let inner = graph.push(Op::RELU, &[input]).unwrap();
        let output = graph.push(Op::SpatialMean, &[inner]).unwrap();
        let plan = Plan::new(&graph, &[output], Order::Depth).unwrap();
        let memory = SessionMemory::new(&plan, 2, 1, 10, 0, f32::NAN).unwrap();
        let write = |i: usize, x: f32| {
            // SAFETY: the tests write inside the buffer, which no kernel uses.
            unsafe { memory.float(i).write(x) };
            catch_unwind(AssertUnwindSafe(|| memory.assert_margins())).is_ok()
        };
        for margin in memory.margins() {
            for i in [margin.start, margin.end - 1] {
                assert!(!write(i, 0.0) && write(i, f32::from_bits(UNTOUCHED)), "float {i} of {margin:?}");
            }
            let is_first = margin.start.is_multiple_of(memory.image_len);
            assert!(is_first || write(margin.start - 1, 0.0), "the float before {margin:?}");
        }
    }
}
