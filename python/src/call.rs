//! Calls of the library from Python: without the GIL, with an ear for Ctrl-C, and with panics as errors.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use msdcam::error::{DeviceError, ErrorSource};
use pyo3::exceptions::{PyMemoryError, PyRuntimeError};
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
    /// A panic of a function that cannot return the error that the system has too little memory.
    Memory(String),
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
            Stop::Memory(message) => PyMemoryError::new_err(message),
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
/// Those of `work`; a panic of it is a [`Stop::Panic`] or a [`Stop::Memory`].
pub fn detached<R: Send>(
    py: Python<'_>,
    work: impl FnOnce(&Signals) -> Result<R, Stop> + Send,
) -> Result<R, Stop> {
    py.detach(|| {
        let signals = Signals { next: Cell::new(Instant::now() + PATIENCE) };
        catch_unwind(AssertUnwindSafe(|| work(&signals))).unwrap_or_else(|panic| Err(of_panic(&*panic)))
    })
}

/// Calls `work` on another thread while this one runs Python's signal handlers. After the exception of a handler, `stop`
/// is called, on which `work` is to end soon.
///
/// # Errors
/// Those of `work`; the exception of a handler; when the system refuses the thread.
///
/// # Panics
/// When `work` does.
pub fn watched<R: Send, E: Into<Stop> + Send>(
    signals: &Signals,
    stop: impl Fn(),
    work: impl FnOnce() -> Result<R, E> + Send,
) -> Result<R, Stop> {
    std::thread::scope(|scope| {
        let (done, is_done) = mpsc::channel();
        let worker = std::thread::Builder::new().spawn_scoped(scope, move || {
            // Dropped at the end, also that of a panic.
            let _done: mpsc::Sender<()> = done;
            work()
        });
        let worker = worker.map_err(|refused| {
            msdcam::Error::from(DeviceError::Threads { threads: 1, source: ErrorSource::new(refused) })
        })?;
        let mut heard = Ok(());
        while heard.is_ok() && is_done.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            heard = signals.check();
        }
        if heard.is_err() {
            stop();
        }
        let result = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        heard.and_then(|()| result.map_err(Into::into))
    })
}

/// A panic that was caught: [`Stop::Memory`] where it is for want of memory, which is no mistake.
fn of_panic(payload: &(dyn Any + Send)) -> Stop {
    let text = message(payload);
    match text.starts_with(NO_MEMORY) {
        // Without the place.
        true => Stop::Memory(text.split_once(" (src/").map_or(&*text, |(text, _)| text).into()),
        false => Stop::Panic(text),
    }
}

/// How the text of [`DeviceError::HostMemory`] begins.
const NO_MEMORY: &str = "cpu: not enough memory for ";

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
