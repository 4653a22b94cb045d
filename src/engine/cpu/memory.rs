//! The memory of a session: for each image in flight its input, output and work spaces, and for
//! each thread its scratch. All of it is made once.

use super::aligned::{LINE, Pages};
use super::gemm::OVERREAD;
use crate::engine::plan::{Plan, Slot, Space};
use crate::{Error, Result};

/// Numbers that threads write in turn, at addresses which the plan keeps apart: who writes where is the
/// plan's and the program's promise, kept by barriers between levels.
pub(super) struct Memory {
    pages: Pages,
    images: usize,
    image_len: usize,
    input: usize,
    output: usize,
    work: usize,
    scratch_len: usize,
}

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
        let len = images * image_len + threads * scratch_len;
        let too_little =
            || Error::device(format!("cpu: too little memory for {images} images ({} MB)", len >> 18));
        let pages = Pages::new(len).ok_or_else(too_little)?;
        for i in 0..len {
            // SAFETY: the pages have room for `len` numbers.
            unsafe { pages.start().add(i).write(fill) };
        }
        Ok(Memory { pages, images, image_len, input, output, work, scratch_len })
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
        unsafe { self.pages.start().add(image * self.image_len + space + slot.offset) }
    }

    /// Image `image`'s input space.
    pub(super) fn input(&self, image: usize) -> *mut f32 {
        // SAFETY: as in `slot`.
        unsafe { self.pages.start().add(image * self.image_len + self.input) }
    }

    /// Image `image`'s output space.
    pub(super) fn output(&self, image: usize) -> *mut f32 {
        // SAFETY: as in `slot`.
        unsafe { self.pages.start().add(image * self.image_len + self.output) }
    }

    /// The scratch of thread `thread`.
    pub(super) fn scratch(&self, thread: usize) -> *mut f32 {
        // SAFETY: the scratches lie behind the images.
        unsafe { self.pages.start().add(self.images * self.image_len + thread * self.scratch_len) }
    }
}
