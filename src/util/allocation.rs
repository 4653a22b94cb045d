//! Allocations that the system may refuse: an error where the standard library would end the process.
//!
//! What grows with weights, pictures or batches is asked for here. The standard library ends the process where a
//! small allocation fails, so a large one is refused unless it leaves room for those that follow.

use std::alloc::Layout;
use std::hint::black_box;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::Arc;

use crate::Result;
use crate::error::DeviceError;

/// Bytes from which on an allocation is checked.
const CHECKED: usize = 64 << 10;
/// Bytes that have to be left after a checked allocation: more than graphs, plans and tables take.
const LEFT: usize = 8 << 20;

/// Checks that the system has memory for `len` elements of type `T`, called `what` in the error.
///
/// # Errors
/// [`crate::Error::Device`] when it has not.
pub(crate) fn check<T>(what: &'static str, len: usize) -> Result<()> {
    // A compiler may leave out an allocation that nothing uses.
    reserved::<u8>(what, len.saturating_mul(size_of::<T>()), LEFT).map(|bytes| drop(black_box(bytes)))
}

/// An empty vector with room for `len` elements, called `what` in the error.
///
/// # Errors
/// As [`check`].
pub(crate) fn with_capacity<T>(what: &'static str, len: usize) -> Result<Vec<T>> {
    check::<T>(what, len)?;
    reserved(what, len, 0)
}

/// A vector of `len` elements `value`, called `what` in the error.
///
/// # Errors
/// As [`check`].
pub(crate) fn vec<T: Clone>(what: &'static str, len: usize, value: T) -> Result<Vec<T>> {
    let mut elements = with_capacity(what, len)?;
    elements.resize(len, value);
    Ok(elements)
}

/// The first `len` elements of `buffer`, of any values; called `what` in the error. The buffer grows to the longest that
/// it is used for.
///
/// # Errors
/// As [`check`].
pub(crate) fn at_least<'a>(
    what: &'static str,
    len: usize,
    buffer: &'a mut Vec<f32>,
) -> Result<&'a mut [f32]> {
    if buffer.len() < len {
        // The elements are not kept: without them there is nothing to copy.
        *buffer = Vec::new();
        *buffer = vec(what, len, 0.0)?;
    }
    Ok(&mut buffer[..len])
}

/// As [`vec`], for a function that cannot return an error.
///
/// # Panics
/// When the system has too little memory.
pub(crate) fn vec_or_panic<T: Clone>(what: &'static str, len: usize, value: T) -> Vec<T> {
    vec(what, len, value).unwrap_or_else(|error| panic!("{error}"))
}

/// Bytes of a multiple of every system's pages.
#[cfg(all(unix, not(asan)))]
const PAGE: usize = 64 << 10;

/// Bytes of a huge page.
pub(crate) const HUGE_PAGE: usize = 2 << 20;

/// Asks the system for huge pages where whole ones are inside of the `bytes` from `start` on, an allocation of the
/// caller's. Nothing depends on whether it follows.
pub(crate) fn advise_huge_pages(start: *mut u8, bytes: usize) {
    #[cfg(target_os = "linux")]
    {
        let (first, end) = (start.addr().next_multiple_of(HUGE_PAGE), start.addr() + bytes);
        let len = (end / HUGE_PAGE * HUGE_PAGE).saturating_sub(first);
        if len > 0 {
            // SAFETY: whole pages of an allocation; the advice does not change their contents.
            unsafe { libc::madvise(start.with_addr(first).cast(), len, libc::MADV_HUGEPAGE) };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (start, bytes);
}

/// `layout.size()` zeros at a multiple of `layout.align()`, in pages of their own and, where the system has them, in
/// huge ones: an allocator may give pages that were small before. `None` where the system refuses; freed by [`unmap`].
pub(crate) fn map_zeros(layout: Layout) -> Option<NonNull<u8>> {
    // Not with AddressSanitizer, which forgets only what an allocator frees.
    #[cfg(all(unix, not(asan)))]
    {
        let len = layout.size().checked_next_multiple_of(PAGE)?;
        let (all, access) = (len.checked_add(layout.align())?, libc::PROT_READ | libc::PROT_WRITE);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping at any address.
        let mapped = unsafe { libc::mmap(std::ptr::null_mut(), all, access, flags, -1, 0) };
        if mapped == libc::MAP_FAILED {
            return None;
        }
        let before = mapped.align_offset(layout.align());
        // SAFETY: whole pages of the mapping before and after the `len` bytes that are kept.
        let start = unsafe {
            let start = mapped.byte_add(before);
            let after = all - before - len;
            for (edge, len) in [(mapped, before), (start.byte_add(len), after)] {
                if len > 0 {
                    libc::munmap(edge, len);
                }
            }
            start.cast::<u8>()
        };
        advise_huge_pages(start, layout.size());
        NonNull::new(start)
    }
    #[cfg(not(all(unix, not(asan))))]
    {
        // SAFETY: the caller's layout is not empty.
        let start = NonNull::new(unsafe { std::alloc::alloc(layout) })?;
        advise_huge_pages(start.as_ptr(), layout.size());
        // SAFETY: just allocated with this size.
        unsafe { start.write_bytes(0, layout.size()) };
        Some(start)
    }
}

/// Gives back what [`map_zeros`] returned.
///
/// # Safety
/// `start` came from it for this layout, and is not used any more.
pub(crate) unsafe fn unmap(start: NonNull<u8>, layout: Layout) {
    // SAFETY: the pages that `map_zeros` has kept.
    #[cfg(all(unix, not(asan)))]
    unsafe {
        libc::munmap(start.as_ptr().cast(), layout.size().next_multiple_of(PAGE));
    }
    // SAFETY: allocated by `map_zeros` with this layout.
    #[cfg(not(all(unix, not(asan))))]
    unsafe {
        std::alloc::dealloc(start.as_ptr(), layout);
    }
}

/// `len` zeros, called `what` in the error. Huge pages are asked for: a matrix that is read several rows at once needs more
/// small ones than the processor's table of addresses holds.
///
/// # Errors
/// As [`check`].
pub(crate) fn zeros(what: &'static str, len: usize) -> Result<Arc<[f32]>> {
    check::<f32>(what, len)?;
    let mut elements = Arc::<[f32]>::new_uninit_slice(len);
    let own = Arc::get_mut(&mut elements).expect("a new Arc has one owner");
    advise_huge_pages(own.as_mut_ptr().cast(), size_of_val(own));
    own.fill(MaybeUninit::new(0.0));
    // SAFETY: every element has been written.
    Ok(unsafe { elements.assume_init() })
}

/// An empty vector with room for `len` elements and `spare` more, unless these are few.
fn reserved<T>(what: &'static str, len: usize, spare: usize) -> Result<Vec<T>> {
    let (mut elements, bytes) = (Vec::new(), len.saturating_mul(size_of::<T>()));
    if spare > 0 && bytes < CHECKED {
        return Ok(elements);
    }
    let refused = |_| DeviceError::HostMemory { what, bytes };
    elements.try_reserve_exact(len.saturating_add(spare)).map_err(refused)?;
    Ok(elements)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_cannot_give_is_an_error_that_says_how_much_it_was() {
        for len in [usize::MAX, usize::MAX / 4, 1 << 60] {
            let error = vec("rows", len, 0.0_f32).unwrap_err().to_string();
            assert!(error.starts_with("cpu: not enough memory for rows ("), "{error}");
        }
        assert_eq!(vec("rows", 3, 7).unwrap(), [7; 3]);
        assert_eq!(vec("rows", CHECKED, 7_u8).unwrap(), [7; CHECKED]);
    }
}
