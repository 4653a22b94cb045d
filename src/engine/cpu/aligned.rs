//! Aligned memory for floats, in huge pages where it is long and the system has them: weights are read
//! once a run and activations in steps of a whole channel, which crosses a page every 64 cache lines
//! otherwise.

use std::alloc::Layout;
use std::ops::{Deref, Range};
use std::ptr::NonNull;
use std::sync::{Arc, Weak};

use crate::Result;
use crate::error::DeviceError;
use crate::util::allocation::{self, HUGE_PAGE};

/// Floats in a cache line. Two threads that write neighboring areas must not share one, and a vector
/// that crosses two lines takes twice as long to load.
pub(crate) const CACHE_LINE_F32: usize = 16;

/// Floats of a guard beside an area of a buffer, which no kernel may touch; none without debug assertions.
///
/// Areas of a session and packed weights share few large buffers, inside which neither the system nor a sanitizer
/// would notice an access beyond an area. With `--cfg asan` and AddressSanitizer (CONTRIBUTING.md), guards are
/// poisoned, so that a read is reported as well as a write.
pub(crate) const GUARD: usize = if cfg!(debug_assertions) { 4 * CACHE_LINE_F32 } else { 0 };

/// Uninitialized memory for floats that begins at a cache line.
pub(crate) struct AlignedBuffer {
    start: NonNull<f32>,
    layout: Layout,
}

// SAFETY: the buffer owns its memory and gives out only its address; those who read and write through
// the address answer for data races.
unsafe impl Send for AlignedBuffer {}
// SAFETY: as for `Send`.
unsafe impl Sync for AlignedBuffer {}

impl AlignedBuffer {
    /// Memory for `len` floats, all zero; `None` where the system has too little.
    pub(crate) fn new(len: usize) -> Option<AlignedBuffer> {
        let bytes = len.max(1).checked_mul(size_of::<f32>())?;
        let align = if bytes >= HUGE_PAGE { HUGE_PAGE } else { CACHE_LINE_F32 * size_of::<f32>() };
        let layout = Layout::from_size_align(bytes, align).ok()?;
        let start = match bytes >= HUGE_PAGE {
            true => allocation::map_zeros(layout)?,
            // SAFETY: the layout is not empty.
            false => NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) })?,
        };
        Some(AlignedBuffer { start: start.cast(), layout })
    }

    /// The first float.
    pub(crate) fn start(&self) -> *mut f32 {
        self.start.as_ptr()
    }

    /// Floats that there is room for.
    pub(crate) fn len(&self) -> usize {
        self.layout.size() / size_of::<f32>()
    }
}

impl AlignedBuffer {
    /// Lets AddressSanitizer, where it runs, report every access to `floats`.
    pub(crate) fn poison(&self, floats: Range<usize>) {
        debug_assert!(floats.start <= floats.end && floats.end <= self.len(), "{floats:?} of {}", self.len());
        #[cfg(asan)]
        {
            unsafe extern "C" {
                /// Of the sanitizer's run-time library.
                fn __asan_poison_memory_region(start: *const std::ffi::c_void, bytes: usize);
            }
            // SAFETY: the range is inside the allocation; AddressSanitizer forgets it when that is freed.
            unsafe {
                let start = self.start().add(floats.start);
                __asan_poison_memory_region(start.cast(), floats.len() * size_of::<f32>());
            }
        }
    }
}

impl Drop for AlignedBuffer {
    fn drop(&mut self) {
        let (start, layout) = (self.start.cast(), self.layout);
        // SAFETY: allocated by `new` with this layout, in the way that depends on its size.
        unsafe {
            match layout.size() >= HUGE_PAGE {
                true => allocation::unmap(start, layout),
                false => std::alloc::dealloc(start.as_ptr(), layout),
            }
        }
    }
}

/// What an arena's buffers hold, in errors.
const PACKED: &str = "packed weights";

/// Floats of a buffer in which an arena places many slices, at most: slices keep their whole buffer
/// alive.
const MAX_CHUNK: usize = 2 << 20;

/// An allocator of immutable slices, which places them one after another in the order in which they are
/// made: the order in which steps read them. A buffer is freed with its last slice.
#[derive(Default)]
pub(crate) struct Arena {
    current: Weak<AlignedBuffer>,
    used: usize,
    expected: usize,
    reserve: usize,
}

impl Arena {
    /// Announces that slices of about `len` floats in all follow.
    pub(crate) fn expect(&mut self, len: usize) {
        (self.expected, self.reserve) = (len, len / 8);
    }

    /// Takes `len` floats off what was announced: no slice is made for them after all.
    pub(crate) fn skip(&mut self, len: usize) {
        self.expected = self.expected.saturating_sub(len);
    }

    /// Room for `len` floats, which any thread may write.
    ///
    /// # Errors
    /// When the system has too little memory.
    pub(crate) fn room(&mut self, len: usize) -> Result<Room> {
        let current = self.current.upgrade().filter(|buffer| self.used.saturating_add(len) <= buffer.len());
        let buffer = match current {
            Some(buffer) => buffer,
            None => {
                let len = self.expected.max(self.reserve).min(MAX_CHUNK).max(len);
                allocation::check::<f32>(PACKED, len)?;
                let refused =
                    DeviceError::HostMemory { what: PACKED, bytes: len.saturating_mul(size_of::<f32>()) };
                let buffer = Arc::new(AlignedBuffer::new(len).ok_or(refused)?);
                (self.current, self.used) = (Arc::downgrade(&buffer), 0);
                buffer
            }
        };
        self.skip(len);
        let end = self.used + len;
        let next = (end + GUARD).next_multiple_of(CACHE_LINE_F32);
        buffer.poison(end..next.min(buffer.len()));
        let room = Room(PackedSlice { buffer, first: self.used, len });
        self.used = next;
        Ok(room)
    }
}

/// Floats of an arena that are not written yet.
pub(crate) struct Room(PackedSlice);

impl Room {
    /// The slice, zero where `write` does not write it.
    pub(crate) fn write(self, write: impl FnOnce(&mut [f32])) -> PackedSlice {
        let Room(slice) = self;
        // SAFETY: these floats are inside the buffer, which was made of zeros, and after all that the arena gave out
        // before; it gives them out once, and they are read through the slice alone, which is returned afterwards.
        write(unsafe { std::slice::from_raw_parts_mut(slice.buffer.start().add(slice.first), slice.len) });
        slice
    }
}

/// Immutable floats that begin at a cache line.
pub(crate) struct PackedSlice {
    buffer: Arc<AlignedBuffer>,
    first: usize,
    len: usize,
}

impl Deref for PackedSlice {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: `Room::write` has initialized these floats, and nobody writes them afterwards.
        unsafe { std::slice::from_raw_parts(self.buffer.start().add(self.first), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_keep_their_elements_however_many_follow() {
        // Small buffers, and one longer than a huge page.
        for expected in [0, 100, 3 << 18] {
            let mut arena = Arena::default();
            arena.expect(expected);
            let slices: Vec<PackedSlice> = (0..200)
                .map(|i| {
                    let len = if i == 150 { 1 << 20 } else { 7 * i };
                    arena.room(len).unwrap().write(|floats| {
                        assert!(floats.iter().all(|&x| x == 0.0), "zero before they are written");
                        floats.iter_mut().skip(1).for_each(|x| *x = i as f32);
                    })
                })
                .collect();
            drop(arena);
            for (i, slice) in slices.iter().enumerate() {
                assert_eq!(slice.len(), if i == 150 { 1 << 20 } else { 7 * i });
                assert!(slice.iter().skip(1).all(|&x| x == i as f32), "elements of slice {i}");
                assert!(slice.first().is_none_or(|&x| x == 0.0), "the first of slice {i} was not written");
                let offset = slice.as_ptr().align_offset(CACHE_LINE_F32 * size_of::<f32>());
                assert_eq!(offset, 0, "slice {i} begins at a cache line");
            }
        }
    }

    #[test]
    fn a_buffer_is_freed_with_its_last_slice() {
        let mut arena = Arena::default();
        arena.expect(100);
        let [first, second] = [10, 20].map(|len| arena.room(len).unwrap().write(|_| {}));
        let buffer = Arc::downgrade(&first.buffer);
        drop(first);
        assert!(buffer.upgrade().is_some());
        drop(second);
        assert!(buffer.upgrade().is_none());
        assert_eq!(arena.room(30).unwrap().write(|floats| floats.fill(1.0))[..], [1.0; 30]);
    }

    #[test]
    fn too_large_a_buffer_is_refused() {
        assert!(AlignedBuffer::new(usize::MAX / 2).is_none());
        assert!(AlignedBuffer::new(usize::MAX / 8).is_none());
        let error = Arena::default().room(usize::MAX / 8).err().unwrap().to_string();
        assert!(error.starts_with("cpu: not enough memory for packed weights ("), "{error}");
    }
}
