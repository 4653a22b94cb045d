//! Long memory in huge pages where the system has them: what is read once a run, or read in steps of a
//! whole channel, crosses a page every 64 cache lines otherwise.

use std::alloc::Layout;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;

/// Numbers in a cache line: two threads that write neighbouring areas must not share one, and vectors
/// that lie across two lines take twice as long to load.
pub(super) const LINE: usize = 16;

/// Bytes of a huge page.
const HUGE: usize = 2 << 20;

/// Memory for numbers, not yet written, from the start of a cache line on.
pub(super) struct Pages {
    start: NonNull<f32>,
    layout: Layout,
}

// SAFETY: `Pages` owns its memory; who reads and writes it, and when, is up to those who hold it.
unsafe impl Send for Pages {}
// SAFETY: as above; `Pages` itself gives out only an address.
unsafe impl Sync for Pages {}

impl Pages {
    /// Memory for `len` numbers, `None` where there is too little.
    pub(super) fn new(len: usize) -> Option<Pages> {
        let bytes = len.max(1).checked_mul(size_of::<f32>())?;
        let align = if bytes >= HUGE { HUGE } else { LINE * size_of::<f32>() };
        let layout = Layout::from_size_align(bytes, align).ok()?;
        // SAFETY: the layout is not empty.
        let start = NonNull::new(unsafe { std::alloc::alloc(layout) })?;
        #[cfg(target_os = "linux")]
        if align == HUGE {
            // SAFETY: whole pages of our own; the advice does not change what they hold. A wish: nothing
            // depends on the answer.
            unsafe { libc::madvise(start.as_ptr().cast(), bytes / HUGE * HUGE, libc::MADV_HUGEPAGE) };
        }
        Some(Pages { start: start.cast(), layout })
    }

    /// The first number.
    pub(super) fn start(&self) -> *mut f32 {
        self.start.as_ptr()
    }

    /// How many there is room for.
    fn len(&self) -> usize {
        self.layout.size() / size_of::<f32>()
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: from `alloc`, with this layout.
        unsafe { std::alloc::dealloc(self.start.as_ptr().cast(), self.layout) }
    }
}

/// Where constants are laid one behind another, in the order in which they are made: the order in which
/// steps read them.
pub(super) struct Arena {
    pages: Arc<Pages>,
    used: usize,
    /// Numbers of the next piece, once this one is full.
    piece: usize,
}

impl Arena {
    /// Room for `len` numbers at first, then for an eighth as many at a time.
    pub(super) fn new(len: usize) -> Arena {
        Arena { pages: Arc::new(Arena::pages(len)), used: 0, piece: len / 8 }
    }

    fn pages(len: usize) -> Pages {
        let too_little =
            || std::alloc::handle_alloc_error(Layout::array::<f32>(len).unwrap_or(Layout::new::<f32>()));
        Pages::new(len).unwrap_or_else(too_little)
    }

    /// `len` numbers, zero but for what `write` makes of them.
    pub(super) fn numbers(&mut self, len: usize, write: impl FnOnce(&mut [f32])) -> Numbers {
        if self.used + len > self.pages.len() {
            (self.pages, self.used) = (Arc::new(Arena::pages(len.max(self.piece))), 0);
        }
        // SAFETY: these numbers lie inside the pages, and behind all that were given out before.
        let numbers = unsafe {
            let start = self.pages.start().add(self.used);
            start.write_bytes(0, len);
            std::slice::from_raw_parts_mut(start, len)
        };
        write(numbers);
        let made = Numbers { pages: Arc::clone(&self.pages), first: self.used, len };
        self.used = (self.used + len).next_multiple_of(LINE);
        made
    }
}

/// Numbers that never change, from the start of a cache line on.
pub(super) struct Numbers {
    pages: Arc<Pages>,
    first: usize,
    len: usize,
}

impl Deref for Numbers {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: these numbers were written when they were made, and nobody writes them again.
        unsafe { std::slice::from_raw_parts(self.pages.start().add(self.first), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_what_they_were_made_however_many_follow() {
        // Small pieces, and one beyond the size of a huge page.
        for first in [0, 100, 3 << 18] {
            let mut arena = Arena::new(first);
            let made: Vec<Numbers> = (0..200)
                .map(|i| {
                    let len = if i == 150 { 1 << 20 } else { 7 * i };
                    arena.numbers(len, |numbers| {
                        assert!(numbers.iter().all(|&x| x == 0.0), "zero before they are written");
                        numbers.iter_mut().skip(1).for_each(|x| *x = i as f32);
                    })
                })
                .collect();
            drop(arena);
            for (i, numbers) in made.iter().enumerate() {
                assert_eq!(numbers.len(), if i == 150 { 1 << 20 } else { 7 * i });
                assert!(numbers.iter().skip(1).all(|&x| x == i as f32), "numbers of {i}");
                assert!(numbers.first().is_none_or(|&x| x == 0.0), "the first of {i} was not written");
                assert_eq!(numbers.as_ptr().align_offset(LINE * size_of::<f32>()), 0, "a line begins at {i}");
            }
        }
    }

    #[test]
    fn too_much_memory_is_no_memory() {
        assert!(Pages::new(usize::MAX / 2).is_none());
        assert!(Pages::new(usize::MAX / 8).is_none());
    }
}
