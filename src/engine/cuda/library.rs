//! Whether cudarc can be called at all. It panics where libcuda is missing or lacks a symbol, so
//! this asks first.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use libloading::Library;

use crate::{Error, Result};

/// The driver's names in the order in which cudarc tries them, as far as they occur.
const NAMES: [&str; 2] = ["libcuda.so", "libcuda.so.1"];

/// Every driver function that the device calls, through cudarc.
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

/// Whether there is a driver at all, usable or not.
pub(super) fn is_there() -> bool {
    // SAFETY: the driver's initialisers do nothing but set it up.
    NAMES.iter().any(|name| unsafe { Library::new(*name) }.is_ok())
}

/// # Errors
/// [`Error::Device`] that says what was looked for: no libcuda, or one that lacks a function.
pub(super) fn check() -> Result<()> {
    // SAFETY: the driver's initialisers do nothing but set it up.
    let found =
        NAMES.iter().find_map(|name| unsafe { Library::new(*name) }.ok().map(|library| (name, library)));
    let Some((name, library)) = found else {
        return Err(Error::device(format!(
            "cuda: no NVIDIA driver: looked for {} on the loader's path",
            NAMES.join(" and ")
        )));
    };
    // SAFETY: only whether there is such a symbol is asked.
    let has = |symbol: &str| unsafe { library.get::<*const ()>(symbol.as_bytes()) }.is_ok();
    match SYMBOLS.iter().find(|symbol| !has(symbol)) {
        Some(missing) => {
            Err(Error::device(format!("cuda: {name} lacks {missing}: not a usable NVIDIA driver")))
        }
        None => Ok(()),
    }
}

/// Calls `f`; a panic (cudarc's way to say that something of the driver is missing) becomes an error.
///
/// # Errors
/// Those of `f`, and [`Error::Device`] for a panic.
pub(super) fn without_panic<T>(f: impl FnOnce() -> Result<T>) -> Result<T> {
    static HOOK: Mutex<()> = Mutex::new(());
    let result = {
        let _one_at_a_time = HOOK.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| ()));
        let result = catch_unwind(AssertUnwindSafe(f));
        std::panic::set_hook(hook);
        result
    };
    result.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()));
        let text = text.unwrap_or_else(|| "it panicked".into());
        Err(Error::device(format!("cuda: {}", text.lines().next().unwrap_or_default())))
    })
}
