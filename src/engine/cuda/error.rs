//! Errors of the CUDA driver, as one line.

use cudarc::driver::DriverError;
use cudarc::driver::sys::CUresult;

use crate::Error;
use crate::error::DeviceError;

/// Converts the driver's error in `what` into [`Error::Device`].
pub(super) fn driver(what: &str) -> impl Fn(DriverError) -> Error + use<'_> {
    move |error| {
        let (code, reason) = (error.0 as i32, describe(error));
        DeviceError::Call { call: what.into(), code, reason }.into()
    }
}

/// The error of a GPU, or something that it needs, that is not available.
pub(super) fn unavailable(reason: impl Into<String>) -> Error {
    DeviceError::Unavailable { what: "cuda".into(), reason: reason.into() }.into()
}

/// The error of a plan that exceeds a limit of the kernels.
pub(super) fn unsupported(reason: String) -> Error {
    DeviceError::Unsupported { device: "cuda", reason }.into()
}

/// Whether the device is out of memory.
pub(super) fn is_out_of_memory(error: DriverError) -> bool {
    error.0 == CUresult::CUDA_ERROR_OUT_OF_MEMORY
}

/// The driver's description and name of an error.
pub(super) fn describe(error: DriverError) -> String {
    let text = |text: Result<&std::ffi::CStr, _>| text.ok().map(|text| text.to_string_lossy().into_owned());
    match (text(error.error_string()), text(error.error_name())) {
        (Some(words), Some(name)) => format!("{words} ({name})"),
        _ => format!("{:?}", error.0),
    }
}
