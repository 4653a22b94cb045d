//! Allocations that the system may refuse: an error where the standard library would end the process.
//!
//! What grows with weights, pictures or batches is asked for here. The standard library ends the process where a
//! small allocation fails, so a large one is refused unless it leaves room for those that follow.

use std::mem::MaybeUninit;
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
    reserved::<u8>(what, len.saturating_mul(size_of::<T>()), LEFT).map(drop)
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

/// As [`vec`], for a function that cannot return an error.
///
/// # Panics
/// When the system has too little memory.
pub(crate) fn vec_or_panic<T: Clone>(what: &'static str, len: usize, value: T) -> Vec<T> {
    vec(what, len, value).unwrap_or_else(|error| panic!("{error}"))
}

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
