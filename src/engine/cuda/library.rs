//! Probe of the NVIDIA driver library. cudarc loads libcuda on the first call and panics where the library
//! or one of its functions is missing, so both are checked before that.

use std::ffi::c_int;

use libloading::Library;

use super::error::unavailable;
use crate::Result;

/// File names of the driver library on Linux, in the order in which cudarc tries them.
const NAMES: [&str; 2] = ["libcuda.so", "libcuda.so.1"];

/// Every driver function that is called, through cudarc.
const SYMBOLS: [&str; 49] = [
    "cuCtxGetCurrent",
    "cuCtxSetCurrent",
    "cuCtxSynchronize",
    "cuDeviceGet",
    "cuDeviceGetAttribute",
    "cuDeviceGetCount",
    "cuDeviceGetName",
    "cuDevicePrimaryCtxRelease_v2",
    "cuDevicePrimaryCtxRetain",
    "cuDeviceTotalMem_v2",
    "cuEventCreate",
    "cuEventDestroy_v2",
    "cuEventElapsedTime",
    "cuEventQuery",
    "cuEventRecord",
    "cuEventSynchronize",
    "cuFuncGetAttribute",
    "cuGetErrorName",
    "cuGetErrorString",
    "cuGraphDestroy",
    "cuGraphExecDestroy",
    "cuGraphInstantiateWithFlags",
    "cuGraphLaunch",
    "cuGraphUpload",
    "cuInit",
    "cuLaunchKernel",
    "cuMemAllocAsync",
    "cuMemAlloc_v2",
    "cuMemFreeAsync",
    "cuMemFreeHost",
    "cuMemFree_v2",
    "cuMemGetInfo_v2",
    "cuMemHostAlloc",
    "cuMemcpyDtoHAsync_v2",
    "cuMemcpyDtoH_v2",
    "cuMemcpyHtoDAsync_v2",
    "cuMemcpyHtoD_v2",
    "cuMemsetD32Async",
    "cuMemsetD8Async",
    "cuMemsetD8_v2",
    "cuModuleGetFunction",
    "cuModuleLoadData",
    "cuModuleUnload",
    "cuStreamBeginCapture_v2",
    "cuStreamCreate",
    "cuStreamDestroy_v2",
    "cuStreamEndCapture",
    "cuStreamSynchronize",
    "cuStreamWaitEvent",
];

/// The driver library, usable or not, with its file name.
fn load() -> Option<(&'static str, Library)> {
    // SAFETY: the driver library's initializers have no preconditions.
    NAMES.iter().find_map(|name| unsafe { Library::new(*name) }.ok().map(|library| (*name, library)))
}

/// Whether this machine has a driver library, usable or not.
pub(super) fn is_there() -> bool {
    load().is_some()
}

/// The newest version (major, minor) of CUDA that the driver supports; `None` where it does not tell.
pub(super) fn version() -> Option<(i32, i32)> {
    let (_, library) = load()?;
    // SAFETY: the type is that of the driver's header, unchanged since CUDA 2.2.
    let version =
        unsafe { library.get::<unsafe extern "C" fn(*mut c_int) -> c_int>(b"cuDriverGetVersion") }.ok()?;
    let mut number = 0;
    // SAFETY: the pointer is to an integer of this function; the call needs no initialization.
    let code = unsafe { version(&mut number) };
    (code == 0 && number > 0).then_some((number / 1000, number % 1000 / 10))
}

/// Checks that the driver library and all of its functions in use can be loaded.
///
/// # Errors
/// [`crate::Error::Device`] that names the missing library or function.
pub(super) fn check() -> Result<()> {
    let Some((name, library)) = load() else {
        return Err(unavailable(format!(
            "no NVIDIA driver: looked for {} on the loader's path",
            NAMES.join(" and ")
        )));
    };
    // SAFETY: the symbol is not used, only looked up.
    let has = |symbol: &str| unsafe { library.get::<*const ()>(symbol.as_bytes()) }.is_ok();
    match SYMBOLS.iter().find(|symbol| !has(symbol)) {
        Some(missing) => Err(unavailable(format!("{name} lacks {missing}: not a usable NVIDIA driver"))),
        None => Ok(()),
    }
}
