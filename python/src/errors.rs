//! Python exceptions for the library's errors; their classes are in `msdcam/errors.py`.

use std::error::Error as _;
use std::io;

use msdcam::{Error, RequestError};
use pyo3::exceptions::{PyIndexError, PyMemoryError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;

/// The exception for `error`, with the same one line of text.
pub fn exception(py: Python<'_>, error: &Error) -> PyErr {
    let text = error.to_string();
    match error {
        Error::Request(RequestError::UnknownExit { .. } | RequestError::UnknownClass { .. }) => {
            PyIndexError::new_err(text)
        }
        Error::Refused { file, .. } | Error::Write { file, .. } => {
            let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
            let is_missing = source.is_some_and(|source| source.kind() == io::ErrorKind::NotFound);
            let exception = of_package(py, if is_missing { "MissingFileError" } else { "FileError" }, text);
            let value = exception.value(py);
            let code = source.and_then(io::Error::raw_os_error);
            // What OSError has of its own; its text stays the one line.
            let _ = value.setattr("filename", file);
            let _ = code.map_or(Ok(()), |code| value.setattr("errno", code));
            exception
        }
        Error::Device(_) => device(py, text),
        _ => PyValueError::new_err(text),
    }
}

/// `msdcam.DeviceError`.
pub fn device(py: Python<'_>, text: String) -> PyErr {
    of_package(py, "DeviceError", text)
}

/// `MemoryError` for `bytes` of `what`.
pub fn memory(what: &str, bytes: usize) -> PyErr {
    PyMemoryError::new_err(format!("{what}: not enough memory ({} MiB)", bytes >> 20))
}

/// An exception of a class of `msdcam.errors`.
fn of_package(py: Python<'_>, class: &str, text: String) -> PyErr {
    let made = py.import("msdcam.errors").and_then(|module| module.getattr(class)?.call1((&text,)));
    made.map_or_else(|_| PyRuntimeError::new_err(text), PyErr::from_value)
}
