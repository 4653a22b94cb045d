//! Memory of a session: for each image in flight its input, output and work spaces, for each thread its
//! scratch, and for each step a counter. It is allocated once.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::aligned::{AlignedBuffer, CACHE_LINE_F32};
use super::gemm::OVERREAD;
use crate::Result;
use crate::engine::plan::{Plan, Slot, Space};
use crate::error::DeviceError;

/// Floats that the threads of a run write at addresses which the plan keeps apart; barriers between
/// levels order writes before reads. Around the input and work spaces there are [`OVERREAD`] floats more.
pub(crate) struct SessionMemory {
    floats: AlignedBuffer,
    images: usize,
    image_len: usize,
    input: usize,
    output: usize,
    work: usize,
    scratch_len: usize,
    /// For each step, of how many output channels its tiles have ended.
    channels_done: Vec<AtomicUsize>,
}

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
        let input = round(OVERREAD);
        let output = input + round(plan.input_len);
        let work = output + round(plan.output_len);
        let image_len = work + round(plan.work_len) + round(OVERREAD);
        let scratch_len = round(scratch_len) + round(OVERREAD);
        let len = images * image_len + threads * scratch_len;
        let bytes = len.saturating_mul(size_of::<f32>());
        let out_of_memory = || DeviceError::OutOfMemory { device: "cpu", images, bytes, reason: None };
        let floats = AlignedBuffer::new(len).ok_or_else(out_of_memory)?;
        for i in 0..len {
            // SAFETY: the buffer has room for `len` floats.
            unsafe { floats.start().add(i).write(fill) };
        }
        let channels_done = (0..steps).map(|_| AtomicUsize::new(0)).collect();
        Ok(SessionMemory { floats, images, image_len, input, output, work, scratch_len, channels_done })
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
        self.float(image * self.image_len + space + slot.offset)
    }

    /// The input space of image `image`.
    pub(crate) fn input(&self, image: usize) -> *mut f32 {
        self.float(image * self.image_len + self.input)
    }

    /// The output space of image `image`.
    pub(crate) fn output(&self, image: usize) -> *mut f32 {
        self.float(image * self.image_len + self.output)
    }

    /// The scratch of thread `thread`.
    pub(crate) fn scratch(&self, thread: usize) -> *mut f32 {
        self.float(self.images * self.image_len + thread * self.scratch_len)
    }

    /// The counter of step `step`.
    pub(crate) fn channels_done(&self, step: usize) -> &AtomicUsize {
        &self.channels_done[step]
    }

    /// Zeroes all counters: a run that panicked may have left some.
    pub(crate) fn reset_counters(&self) {
        self.channels_done.iter().for_each(|counter| counter.store(0, Ordering::Relaxed));
    }

    /// The address of float `index`.
    fn float(&self, index: usize) -> *mut f32 {
        // SAFETY: the callers add up areas that `new` has laid out, and slots are inside their spaces.
        unsafe { self.floats.start().add(index) }
    }
}
