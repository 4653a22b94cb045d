//! Launches of the kernels on a stream, behind or beside the launch before.

use std::ffi::c_void;

use cudarc::driver::sys::{
    CUdeviceptr, CUlaunchAttribute, CUlaunchAttributeID as Attribute, CUlaunchAttributeValue, CUlaunchConfig,
};
use cudarc::driver::{CudaFunction, CudaStream, DriverError, sys};

use super::abi::{Launch, THREADS};
use super::program::Grid;
use super::variant::Edges;

/// Launches `level` for `grid`. With programmatic `edges` its blocks may start before the launch before it in the stream,
/// which must be a launch too, has ended; the kernel waits for that itself.
///
/// # Safety
/// The addresses in `argument` must be of memory that lives until the launch, or the last replay of the graph that it is
/// captured into, has ended.
pub(super) unsafe fn launch_level(
    level: &CudaFunction,
    stream: &CudaStream,
    grid: &Grid,
    argument: &Launch,
    edges: Edges,
) -> Result<(), DriverError> {
    let mut arguments = [std::ptr::from_ref(argument).cast_mut().cast()];
    // SAFETY: the argument has the layout of the kernel's parameter (a test compares the two); the caller vouches for
    // its addresses.
    unsafe { launch(level, stream, [grid.blocks, grid.shared], &mut arguments, edges) }
}

/// Launches `transfer` of `count` elements.
///
/// # Safety
/// Both arrays must be of pinned or of the device's memory, aligned to 16 bytes, and live as for [`launch_level`].
pub(super) unsafe fn launch_transfer(
    transfer: &CudaFunction,
    stream: &CudaStream,
    from: CUdeviceptr,
    to: CUdeviceptr,
    count: usize,
    edges: Edges,
) -> Result<(), DriverError> {
    /// Elements of a block, in vectors of four; and most blocks: enough to keep the link busy.
    const ELEMENTS: usize = 4 * THREADS as usize;
    const MAX_BLOCKS: usize = 128;
    let (mut from, mut to, mut count) = (from, to, count as u32);
    let blocks = (count as usize).div_ceil(ELEMENTS).clamp(1, MAX_BLOCKS) as u32;
    let mut arguments = [(&raw mut from).cast(), (&raw mut to).cast(), (&raw mut count).cast()];
    // SAFETY: the arguments are those of the kernel; the caller vouches for the addresses.
    unsafe { launch(transfer, stream, [blocks, 0], &mut arguments, edges) }
}

/// Launches `kernel` with this number of blocks, and of bytes of shared memory for each.
///
/// # Safety
/// The arguments must be those of the kernel, and their addresses of memory that lives until the launch has ended.
unsafe fn launch(
    kernel: &CudaFunction,
    stream: &CudaStream,
    [blocks, shared]: [u32; 2],
    arguments: &mut [*mut c_void],
    edges: Edges,
) -> Result<(), DriverError> {
    stream.context().bind_to_thread()?;
    // All bytes of the value exist before one of its fields is set.
    let mut value = CUlaunchAttributeValue { pad: [0; 64] };
    value.programmaticStreamSerializationAllowed = 1;
    let id = Attribute::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
    let mut attribute = CUlaunchAttribute { id, pad: [0; 4], value };
    let config = CUlaunchConfig {
        gridDimX: blocks,
        gridDimY: 1,
        gridDimZ: 1,
        blockDimX: THREADS,
        blockDimY: 1,
        blockDimZ: 1,
        sharedMemBytes: shared,
        hStream: stream.cu_stream(),
        attrs: &mut attribute,
        numAttrs: u32::from(edges == Edges::Programmatic),
    };
    // SAFETY: the arguments, the configuration and its attribute are copied by the call; the caller vouches for the
    // arguments.
    unsafe {
        sys::cuLaunchKernelEx(&config, kernel.cu_function(), arguments.as_mut_ptr(), std::ptr::null_mut())
            .result()
    }
}
