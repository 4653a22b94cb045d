//! The explanations of photos: computed one at a time, and kept for what is asked of them next.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::DeviceError;
use crate::explain::{ExplainRequest, Explainer, Explanation, Progress};
use crate::util::panic;
use crate::{Error, Result};

use super::models::ServedModel;
use super::photos::HeldPhoto;

/// Explainers that are kept, of all models: each holds the buffers of a batch.
const MOST_EXPLAINERS: usize = 6;
/// Explained photos that are kept.
const MOST_RESULTS: usize = 32;
/// Time for one explanation.
pub const LONGEST: Duration = Duration::from_secs(600);

/// An explained photo.
#[derive(Debug)]
pub struct Computed {
    /// One for each exit.
    pub explanations: Vec<Explanation>,
    /// Time of the computation.
    pub time: Duration,
}

/// What is computed: photo, model and settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub photo: u64,
    pub model: usize,
    pub settings: String,
}

/// The device, which computes one explanation at a time.
#[derive(Default)]
pub struct Computing {
    /// `None` while a task uses them. The last used one last.
    explainers: Mutex<Option<Explainers>>,
    free: Condvar,
    /// The last used one last.
    results: Mutex<VecDeque<(Key, Arc<Computed>)>>,
}

type Explainers = Vec<(usize, ExplainRequest, Explainer)>;

/// An explanation under way, for the thread that waits for it.
#[derive(Debug, Default)]
pub struct Task {
    is_cancelled: AtomicBool,
    /// While it computes.
    progress: Mutex<Option<Progress>>,
}

impl Task {
    /// Ends it as soon as possible.
    pub fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::SeqCst);
        // Under the lock, so that the next task, which may have the same explainer, is not stopped.
        self.progress().iter().for_each(Progress::stop);
    }

    /// Whether it computes, and does not wait for the device any more.
    pub fn is_computing(&self) -> bool {
        self.progress().is_some()
    }

    /// Runs that were made, and that are needed; (0, 0) before they begin.
    pub fn runs(&self) -> (usize, usize) {
        self.progress().as_ref().map_or((0, 0), Progress::runs)
    }

    fn check(&self) -> Result<()> {
        match self.is_cancelled.load(Ordering::SeqCst) {
            true => Err(Error::usage("cancelled")),
            false => Ok(()),
        }
    }

    fn progress(&self) -> MutexGuard<'_, Option<Progress>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Computing {
    /// A device that is free.
    pub fn new() -> Computing {
        Computing { explainers: Mutex::new(Some(Vec::new())), ..Computing::default() }
    }

    /// What was computed for `key`, if it is still there.
    pub fn known(&self, key: &Key) -> Option<Arc<Computed>> {
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        let at = results.iter().position(|(known, _)| known == key)?;
        let found = results.remove(at)?;
        results.push_back(found.clone());
        Some(found.1)
    }

    /// Explains `photo` by `request`, once the device is free.
    ///
    /// # Errors
    /// When the request is invalid, the task is cancelled, or the device fails.
    pub fn explain(
        &self,
        key: Key,
        model: &ServedModel,
        request: &ExplainRequest,
        photo: &HeldPhoto,
        task: &Task,
    ) -> Result<Arc<Computed>> {
        let input = photo.of(key.model)?.photo.input();
        let mut held = self.explainers(task)?;
        // Another task may have computed it meanwhile.
        if let Some(known) = self.known(&key) {
            return Ok(known);
        }
        let explainers = held.explainers.as_mut().expect("until it is dropped");
        let known = explainers.iter().position(|(of, known, _)| (*of, known) == (key.model, request));
        // Not among them while it computes.
        let (_, _, mut explainer) = match known {
            Some(at) => explainers.remove(at),
            None => {
                if explainers.len() >= MOST_EXPLAINERS {
                    explainers.remove(0);
                }
                let loaded = &model.loaded;
                let make = || panic::catch(|| Explainer::new(&loaded.model, request, &loaded.device, 1));
                let made = match make().map_err(|text| internal(&text))? {
                    Err(Error::Device(DeviceError::OutOfMemory { .. })) if !explainers.is_empty() => {
                        explainers.clear();
                        make().map_err(|text| internal(&text))??
                    }
                    made => made?,
                };
                (key.model, request.clone(), made)
            }
        };
        let progress = explainer.progress();
        progress.resume();
        *task.progress() = Some(progress);
        let start = Instant::now();
        let found = match task.check() {
            Ok(()) => panic::catch(|| explainer.explain(input)).map_err(|text| internal(&text)),
            Err(cancelled) => Ok(Err(cancelled)),
        };
        let time = start.elapsed();
        *task.progress() = None;
        // Not after a panic.
        let found = found?;
        explainers.push((key.model, request.clone(), explainer));
        task.check()?;
        let explanations = found?.pop().ok_or_else(|| internal("no explanation"))?;
        let computed = Arc::new(Computed { explanations, time });
        // Before another task has the device, which may be about to compute the same.
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        results.push_back((key, computed.clone()));
        if results.len() > MOST_RESULTS {
            results.pop_front();
        }
        Ok(computed)
    }

    /// The explainers, once no other task has them.
    fn explainers(&self, task: &Task) -> Result<Held<'_>> {
        let mut explainers = self.lock();
        loop {
            task.check()?;
            if let Some(explainers) = explainers.take() {
                return Ok(Held { computing: self, explainers: Some(explainers) });
            }
            let waited = self.free.wait_timeout(explainers, Duration::from_millis(20));
            explainers = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Explainers>> {
        self.explainers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The explainers, for one task.
struct Held<'a> {
    computing: &'a Computing,
    explainers: Option<Explainers>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        *self.computing.lock() = self.explainers.take();
        self.computing.free.notify_one();
    }
}

/// The error of a fault of the program, such as a panic.
pub fn internal(text: &str) -> Error {
    Error::device(format!("internal error: {text}"))
}
