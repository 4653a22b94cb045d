//! Calls of the library from Python: without the GIL, with an ear for Ctrl-C, and with panics as errors.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::errors;

/// Time between two looks at the signals: short for a person, long beside the time that the GIL takes.
pub const PATIENCE: Duration = Duration::from_millis(100);

/// Why a call ended without a result.
pub enum Stop {
    /// An error of the library.
    Error(msdcam::Error),
    /// A Python exception, such as `KeyboardInterrupt`.
    Python(PyErr),
    /// A panic, which is a mistake in the library.
    Panic(String),
}

impl From<msdcam::Error> for Stop {
    fn from(error: msdcam::Error) -> Stop {
        Stop::Error(error)
    }
}

impl From<PyErr> for Stop {
    fn from(error: PyErr) -> Stop {
        Stop::Python(error)
    }
}

impl Stop {
    /// The exception for it.
    pub fn into_python(self, py: Python<'_>) -> PyErr {
        match self {
            Stop::Error(error) => errors::exception(py, &error),
            Stop::Python(error) => error,
            Stop::Panic(message) => {
                PyRuntimeError::new_err(format!("internal error: {message}; please report"))
            }
        }
    }
}

/// The signals of a call.
pub struct Signals {
    next: Cell<Instant>,
}

impl Signals {
    /// Runs Python's signal handlers, at most every [`PATIENCE`]. On another thread than the main one, and while the
    /// interpreter ends, it does nothing.
    ///
    /// # Errors
    /// The exception of a handler: `KeyboardInterrupt` after Ctrl-C.
    pub fn check(&self) -> Result<(), Stop> {
        let now = Instant::now();
        if now < self.next.get() {
            return Ok(());
        }
        self.next.set(now + PATIENCE);
        Ok(Python::try_attach(|py| py.check_signals()).unwrap_or(Ok(()))?)
    }
}

/// Calls `work` without the GIL.
///
/// # Errors
/// Those of `work`; a panic of it is a [`Stop::Panic`].
pub fn detached<R: Send>(
    py: Python<'_>,
    work: impl FnOnce(&Signals) -> Result<R, Stop> + Send,
) -> Result<R, Stop> {
    py.detach(|| {
        let signals = Signals { next: Cell::new(Instant::now() + PATIENCE) };
        catch_unwind(AssertUnwindSafe(|| work(&signals)))
            .unwrap_or_else(|panic| Err(Stop::Panic(message(&*panic))))
    })
}

/// Message and place of the last panic.
static LAST_PANIC: Mutex<Option<String>> = Mutex::new(None);

/// From now on, panics of this module print nothing: their messages are kept for the exceptions.
///
/// The hook belongs to the copy of the standard library inside this module, so that no other module's is changed.
pub fn keep_panic_messages() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(|place| format!(" ({}:{})", place.file(), place.line()));
        let text = text_of(panic.payload()) + &place.unwrap_or_default();
        let mut last = LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner);
        // A panic of a thread of a pool makes its caller panic: the first says what happened.
        if last.is_none() {
            *last = Some(text);
        }
    }));
}

/// The message of a panic that was caught.
fn message(payload: &(dyn Any + Send)) -> String {
    let kept = LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner).take();
    kept.unwrap_or_else(|| text_of(payload))
}

fn text_of(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").split_whitespace().collect::<Vec<_>>().join(" ")
}
