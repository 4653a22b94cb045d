//! The memory of a runner: for each image in flight its input, output and work spaces, and for
//! each thread its scratch. All of it is made once.

use super::gemm::OVERREAD;
use crate::graph::plan::{Plan, Slot, Space};
use crate::{Error, Result};

/// A cache line: two threads that write neighbouring areas must not share one.
const LINE: usize = 16;

/// Asks the system to back a long array, not yet written to, with huge pages where it can: weights that
/// are read once a run cross a page every 64 cache lines otherwise. A wish: nothing depends on it.
pub(super) fn wish_for_huge_pages(numbers: &mut [f32]) {
    #[cfg(target_os = "linux")]
    {
        const HUGE: usize = 2 << 20;
        let (start, len) = (numbers.as_mut_ptr() as usize, size_of_val(numbers));
        let (first, end) = (start.next_multiple_of(HUGE), (start + len) / HUGE * HUGE);
        if first < end {
            // SAFETY: whole pages inside the array; the advice does not change what they hold.
            unsafe { libc::madvise(first as *mut libc::c_void, end - first, libc::MADV_HUGEPAGE) };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = numbers;
}

/// Numbers that threads write in turn, at addresses which the plan keeps apart.
pub(super) struct Memory {
    /// Never resized, so that its address is fixed; only reached through `start`. Not a box: moving
    /// one would end the right to use `start`.
    _numbers: Vec<f32>,
    start: *mut f32,
    images: usize,
    image_len: usize,
    input: usize,
    output: usize,
    work: usize,
    scratch_len: usize,
}

// SAFETY: `start` points into the numbers, which stay where they are; who writes where is the plan's and
// the program's promise, kept by barriers between levels.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// Memory for `images` images of `plan` and for `threads` scratches of `scratch_len` numbers,
    /// full of `fill`.
    ///
    /// # Errors
    /// When there is too little.
    pub(super) fn new(
        plan: &Plan,
        images: usize,
        threads: usize,
        scratch_len: usize,
        fill: f32,
    ) -> Result<Memory> {
        let round = |len: usize| len.next_multiple_of(LINE);
        let input = round(OVERREAD);
        let output = input + round(plan.input_len);
        let work = output + round(plan.output_len);
        let image_len = work + round(plan.work_len) + round(OVERREAD);
        let scratch_len = round(scratch_len) + round(OVERREAD);
        let len = images * image_len + threads * scratch_len + LINE;
        let mut numbers = Vec::new();
        let too_little =
            |_| Error::device(format!("cpu: too little memory for {images} images ({} MB)", len >> 18));
        numbers.try_reserve_exact(len).map_err(too_little)?;
        numbers.resize(len, fill);
        let misaligned = numbers.as_ptr().align_offset(4 * LINE);
        // SAFETY: the offset to the next line is below the LINE numbers that were added for it.
        let start = unsafe { numbers.as_mut_ptr().add(misaligned) };
        Ok(Memory { _numbers: numbers, start, images, image_len, input, output, work, scratch_len })
    }

    /// Number of images.
    pub(super) fn images(&self) -> usize {
        self.images
    }

    /// Where `slot` is for image `image`.
    pub(super) fn slot(&self, image: usize, slot: &Slot) -> *mut f32 {
        let space = match slot.space {
            Space::Input => self.input,
            Space::Output => self.output,
            Space::Work => self.work,
        };
        // SAFETY: slots lie inside their spaces, by the plan.
        unsafe { self.start.add(image * self.image_len + space + slot.offset) }
    }

    /// Image `image`'s input space.
    pub(super) fn input(&self, image: usize) -> *mut f32 {
        // SAFETY: as in `slot`.
        unsafe { self.start.add(image * self.image_len + self.input) }
    }

    /// Image `image`'s output space.
    pub(super) fn output(&self, image: usize) -> *mut f32 {
        // SAFETY: as in `slot`.
        unsafe { self.start.add(image * self.image_len + self.output) }
    }

    /// The scratch of thread `thread`.
    pub(super) fn scratch(&self, thread: usize) -> *mut f32 {
        // SAFETY: the scratches lie behind the images.
        unsafe { self.start.add(self.images * self.image_len + thread * self.scratch_len) }
    }
}
