//! What a process needs to run a model: its device, and the explainers and classifiers of recent requests.
//!
//! Threads do not exist in a child that `fork` made, and locks may be held there for ever. A [`Runtimes`] therefore
//! notes the process that made it; in a child it is forgotten, never joined or dropped, and another one is made at
//! the first use. The model's weights are shared with the parent, as only read.

use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::ThreadId;

use msdcam::error::DeviceError;
use msdcam::{
    Classifier, Device, DeviceChoice, DeviceOptions, Error, ExplainRequest, Explainer, Model, Order,
};
use pyo3::exceptions::PyRuntimeError;

use crate::call::{PATIENCE, Signals, Stop};
use crate::explain::Columns;

/// Most runners of a runtime: each holds the buffers of its batches.
const MOST_RUNNERS: usize = 4;

/// The process that first used CUDA here; 0 if none did.
static CUDA_PROCESS: AtomicU32 = AtomicU32::new(0);

/// The runtime of this process, for one model.
pub struct Runtimes {
    options: DeviceOptions,
    current: AtomicPtr<Runtime>,
}

/// The device of one process, and the runners on it.
pub struct Runtime {
    process: u32,
    pub device: Device,
    runners: Mutex<Shelf>,
    free: Condvar,
    /// The panic after which nothing of this is to be used.
    broken: OnceLock<String>,
}

/// The runners of a runtime, or who has them.
enum Shelf {
    Free(Runners),
    /// A call on this thread uses them.
    Taken(ThreadId),
}

/// An explainer or classifier, ready for further batches.
pub enum Runner {
    Explainer { request: Box<ExplainRequest>, batch: usize, explainer: Box<Explainer>, columns: Columns },
    Classifier { exits: Vec<usize>, order: Order, batch: usize, classifier: Box<Classifier> },
}

/// Recent runners, the last used one last.
#[derive(Default)]
pub struct Runners(Vec<Runner>);

/// The runners of a runtime, for one call.
pub struct Held<'a> {
    runtime: &'a Runtime,
    runners: Runners,
}

impl Runtimes {
    /// Opens the device. If `auto` opened the CPU although there is an NVIDIA driver, also says why.
    ///
    /// # Errors
    /// When the device is not available; when a GPU is asked for in a child of a process that used one.
    pub fn open(options: DeviceOptions) -> Result<(Runtimes, Option<Error>), Error> {
        if options.choice != DeviceChoice::Cpu {
            refuse_in_child()?;
        }
        let (runtime, gpu_error) = Runtime::open(&options)?;
        // The choice is settled: a child gets the same kind of device.
        let choice = match (&runtime.device, options.choice) {
            (Device::Cpu(_), _) => DeviceChoice::Cpu,
            (Device::Cuda(_), DeviceChoice::Cuda(ordinal)) => DeviceChoice::Cuda(ordinal),
            (Device::Cuda(_), _) => DeviceChoice::Cuda(0),
        };
        let current = AtomicPtr::new(Box::into_raw(Box::new(runtime)));
        Ok((Runtimes { options: DeviceOptions { choice, ..options }, current }, gpu_error))
    }

    /// The device: the CPU, or a GPU by its index.
    pub fn choice(&self) -> DeviceChoice {
        self.options.choice
    }

    /// The runtime of this process.
    ///
    /// # Errors
    /// When this process was forked and its device cannot be opened; after a panic.
    pub fn current(&self) -> Result<&Runtime, Stop> {
        let known = self.current.load(Ordering::Acquire);
        // SAFETY: the pointer is of a box that is only freed when `self` is dropped, in the process that made it.
        let mut runtime = unsafe { &*known };
        if runtime.process != std::process::id() {
            if self.options.choice != DeviceChoice::Cpu {
                refuse_in_child()?;
            }
            let made = Box::into_raw(Box::new(Runtime::open(&self.options)?.0));
            match self.current.compare_exchange(known, made, Ordering::AcqRel, Ordering::Acquire) {
                // The parent's is forgotten: its threads are not here to be joined.
                // SAFETY: as above; `made` was a box until now.
                Ok(_) => runtime = unsafe { &*made },
                Err(other) => {
                    // SAFETY: nobody else has seen `made`; `other` is another thread's of this process.
                    drop(unsafe { Box::from_raw(made) });
                    // SAFETY: as above.
                    runtime = unsafe { &*other };
                }
            }
        }
        match runtime.broken.get() {
            Some(message) => {
                Err(Stop::Panic(format!("the model cannot be used after a panic, load it again: {message}")))
            }
            None => Ok(runtime),
        }
    }
}

impl Drop for Runtimes {
    fn drop(&mut self) {
        let runtime = *self.current.get_mut();
        // SAFETY: as in `current`.
        let is_of_parent = unsafe { (*runtime).process } != std::process::id();
        if !is_of_parent {
            // SAFETY: it was a box, and nothing borrows `self` any more.
            drop(unsafe { Box::from_raw(runtime) });
        }
    }
}

/// An error if a parent of this process used CUDA: its contexts do not survive a fork.
fn refuse_in_child() -> Result<(), Error> {
    match CUDA_PROCESS.load(Ordering::Relaxed) {
        0 => Ok(()),
        process if process == std::process::id() => Ok(()),
        parent => {
            let reason = format!(
                "process {} was forked from process {parent}, which had used the GPU; \
                 start it with the method 'spawn' or 'forkserver', or load the model on device=\"cpu\"",
                std::process::id()
            );
            Err(DeviceError::Unavailable { what: "cuda".into(), reason }.into())
        }
    }
}

impl Runtime {
    fn open(options: &DeviceOptions) -> Result<(Runtime, Option<Error>), Error> {
        let (device, gpu_error) = Device::with_options(options)?;
        let process = std::process::id();
        if let Device::Cuda(_) = device {
            CUDA_PROCESS.store(process, Ordering::Relaxed);
        }
        let runners = Mutex::new(Shelf::Free(Runners::default()));
        let runtime = Runtime { process, device, runners, free: Condvar::new(), broken: OnceLock::new() };
        Ok((runtime, gpu_error))
    }

    /// The runners, once no other call has them.
    ///
    /// # Errors
    /// When a signal comes while this waits; when a call on this thread has them, whose signal handler or finalizer
    /// this is: to wait for it would be for ever.
    pub fn runners(&self, signals: &Signals) -> Result<Held<'_>, Stop> {
        let thread = std::thread::current().id();
        loop {
            let mut shelf = self.lock();
            match *shelf {
                Shelf::Free(_) => {}
                Shelf::Taken(holder) if holder == thread => {
                    let text = "the model is in use by this thread: a signal handler or finalizer cannot call it \
                                while it computes; load another model for them";
                    return Err(PyRuntimeError::new_err(text).into());
                }
                Shelf::Taken(_) => {
                    shelf = self.free.wait_timeout(shelf, PATIENCE).unwrap_or_else(PoisonError::into_inner).0;
                }
            }
            if let Shelf::Free(runners) = &mut *shelf {
                let runners = std::mem::take(runners);
                *shelf = Shelf::Taken(thread);
                return Ok(Held { runtime: self, runners });
            }
            drop(shelf);
            signals.check()?;
        }
    }

    /// Notes that a panic left things in disorder.
    pub fn break_off(&self, message: &str) {
        let _ = self.broken.set(message.into());
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.runners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let runners = std::mem::take(&mut self.runners);
        let runners = if std::thread::panicking() {
            // Its runners may be in disorder, and dropping them may panic again.
            std::mem::forget(runners);
            Runners::default()
        } else {
            runners
        };
        *self.runtime.lock() = Shelf::Free(runners);
        self.runtime.free.notify_one();
    }
}

impl Held<'_> {
    /// The explainer of `request` for batches of up to `batch` images.
    ///
    /// # Errors
    /// As [`Explainer::new`].
    pub fn explainer(
        &mut self,
        model: &Model,
        request: &ExplainRequest,
        batch: usize,
    ) -> Result<(&mut Explainer, &Columns), Error> {
        let is_it = |runner: &Runner| match runner {
            Runner::Explainer { request: known, batch: size, .. } => (&**known, *size) == (request, batch),
            Runner::Classifier { .. } => false,
        };
        let device = &self.runtime.device;
        let runner = self.runners.get(is_it, || {
            let columns = Columns::new(model, request)?;
            let explainer = Box::new(Explainer::new(model, request, device, batch)?);
            Ok(Runner::Explainer { request: Box::new(request.clone()), batch, explainer, columns })
        })?;
        match runner {
            Runner::Explainer { explainer, columns, .. } => Ok((explainer, columns)),
            Runner::Classifier { .. } => unreachable!("an explainer was asked for"),
        }
    }

    /// The classifier of `exits` for batches of up to `batch` images.
    ///
    /// # Errors
    /// As [`Classifier::new`].
    pub fn classifier(
        &mut self,
        model: &Model,
        exits: &[usize],
        order: Order,
        batch: usize,
    ) -> Result<&mut Classifier, Error> {
        let is_it = |runner: &Runner| match runner {
            Runner::Classifier { exits: known, order: its, batch: size, .. } => {
                (&known[..], *its, *size) == (exits, order, batch)
            }
            Runner::Explainer { .. } => false,
        };
        let device = &self.runtime.device;
        let runner = self.runners.get(is_it, || {
            let classifier = Box::new(Classifier::new(model, exits, order, device, batch)?);
            Ok(Runner::Classifier { exits: exits.into(), order, batch, classifier })
        })?;
        match runner {
            Runner::Classifier { classifier, .. } => Ok(classifier),
            Runner::Explainer { .. } => unreachable!("a classifier was asked for"),
        }
    }
}

impl Runners {
    /// The runner that `is_it`, or a new one; the one that was not used for longest makes room.
    fn get(
        &mut self,
        is_it: impl Fn(&Runner) -> bool,
        make: impl FnOnce() -> Result<Runner, Error>,
    ) -> Result<&mut Runner, Error> {
        let runner = match self.0.iter().position(is_it) {
            Some(at) => self.0.remove(at),
            None => {
                // Its memory is free before the new one takes some.
                if self.0.len() >= MOST_RUNNERS {
                    self.0.remove(0);
                }
                make()?
            }
        };
        self.0.push(runner);
        Ok(self.0.last_mut().expect("it was just added"))
    }
}
