//! Launch of the kernel on a stream, behind or beside the launch before.

use std::ffi::c_void;

use cudarc::driver::sys::{
    CUlaunchAttribute, CUlaunchAttributeID as Attribute, CUlaunchAttributeValue, CUlaunchConfig,
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
pub(super) unsafe fn launch(
    level: &CudaFunction,
    stream: &CudaStream,
    grid: &Grid,
    argument: &Launch,
    edges: Edges,
) -> Result<(), DriverError> {
    stream.context().bind_to_thread()?;
    // All bytes of the value exist before one of its fields is set.
    let mut value = CUlaunchAttributeValue { pad: [0; 64] };
    value.programmaticStreamSerializationAllowed = 1;
    let id = Attribute::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
    let mut attribute = CUlaunchAttribute { id, pad: [0; 4], value };
    let config = CUlaunchConfig {
        gridDimX: grid.blocks,
        gridDimY: 1,
        gridDimZ: 1,
        blockDimX: THREADS,
        blockDimY: 1,
        blockDimZ: 1,
        sharedMemBytes: grid.shared,
        hStream: stream.cu_stream(),
        attrs: &mut attribute,
        numAttrs: u32::from(edges == Edges::Programmatic),
    };
    let mut arguments = [std::ptr::from_ref(argument).cast_mut().cast::<c_void>()];
    // SAFETY: the argument has the layout of the kernel's parameter (a test compares the two) and is copied by the
    // call, as are the configuration and its attribute; the caller vouches for its addresses.
    unsafe {
        sys::cuLaunchKernelEx(&config, level.cu_function(), arguments.as_mut_ptr(), std::ptr::null_mut())
            .result()
    }
}
