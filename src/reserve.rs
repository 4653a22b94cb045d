//! The program's allocator: the system's, with a reserve for small allocations.
//!
//! What grows with weights, pictures or batches is asked for fallibly, and refused memory becomes an error. Small
//! allocations on the way to that error take the reserve. Where there is nothing left, the program ends here, with
//! a line and the exit code of a device error: the standard library would abort, or wait for a lock that another
//! thread without memory holds.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Size of the reserve.
const RESERVE: Layout = match Layout::from_size_align(2 << 20, 16) {
    Ok(layout) => layout,
    Err(_) => unreachable!(),
};

/// Allocations up to this size, in bytes, may take the reserve: those of decoders, which ask for 128 KiB without a way to
/// refuse them, included.
const SMALL: usize = 256 << 10;

/// The system's allocator and a reserve, null if it is used up or was never there.
pub struct WithReserve(AtomicPtr<u8>);

impl WithReserve {
    /// Without a reserve at first.
    pub const fn new() -> WithReserve {
        WithReserve(AtomicPtr::new(null_mut()))
    }

    /// Sets memory aside.
    pub fn fill(&self) {
        // SAFETY: the layout has a size.
        let block = unsafe { System.alloc(RESERVE) };
        self.free(self.0.swap(block, Ordering::AcqRel));
    }

    /// Gives the reserve back to the system; whether there was one.
    fn release(&self) -> bool {
        self.free(self.0.swap(null_mut(), Ordering::AcqRel))
    }

    /// The block that `allocate` gives, which may take the reserve if it is small.
    fn allocated(&self, size: usize, allocate: impl Fn() -> *mut u8) -> *mut u8 {
        let mut block = allocate();
        if block.is_null() && size <= SMALL && self.release() {
            block = allocate();
        }
        if block.is_null() && size <= SMALL {
            end();
        }
        block
    }

    /// Frees a reserve; whether it was one.
    fn free(&self, block: *mut u8) -> bool {
        if block.is_null() {
            return false;
        }
        // SAFETY: `fill` allocated the block with this layout, and `swap` took it out for this caller alone.
        unsafe { System.dealloc(block, RESERVE) };
        true
    }
}

/// Makes threads share the system's allocator's arenas, one for each core: threads come and go here, and each would
/// otherwise leave the memory that it has freed in an arena of its own.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn share_arenas() {
    // SAFETY: a number is read, and one of the allocator's settings is made before there are other threads.
    unsafe {
        let cores = libc::sysconf(libc::_SC_NPROCESSORS_ONLN).clamp(2, 1024);
        libc::mallopt(libc::M_ARENA_MAX, cores as libc::c_int);
    }
}

/// Other allocators decide for themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn share_arenas() {}

/// Ends the process without memory, locks or destructors.
#[cfg(unix)]
fn end() {
    const LINE: &[u8] = b"error: not enough memory\n";
    const DEVICE_ERROR: i32 = 5;
    // SAFETY: the bytes are there; neither call allocates or comes back to this program.
    unsafe {
        libc::write(libc::STDERR_FILENO, LINE.as_ptr().cast(), LINE.len());
        libc::_exit(DEVICE_ERROR);
    }
}

/// This platform has no such call: the standard library ends the process.
#[cfg(not(unix))]
fn end() {}

// SAFETY: every call is forwarded to the system's allocator, with the caller's own arguments.
unsafe impl GlobalAlloc for WithReserve {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller upholds the contract, here and below.
        self.allocated(layout.size(), || unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as in `alloc`.
        self.allocated(layout.size(), || unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as in `alloc`; a block that could not be reallocated is still there.
        self.allocated(size, || unsafe { System.realloc(block, layout, size) })
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as in `alloc`.
        unsafe { System.dealloc(block, layout) }
    }
}
