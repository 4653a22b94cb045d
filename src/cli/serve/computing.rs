//! The explanations of photos: computed one at a time, and kept for what is asked of them next.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::DeviceError;
use crate::explain::{ExplainRequest, Explainer, Explanation, Method, Progress};
use crate::util::panic;
use crate::{Error, Result};

use super::kept::{Kept, Limits};
use super::models::ServedModel;
use super::photos::HeldPhoto;

/// Explainers that are kept, of all models: each holds the buffers of a batch.
const EXPLAINERS: Limits = Limits { number: 6, bytes: 1 << 30 };
/// Explained photos that are kept.
const RESULTS: Limits = Limits { number: 32, bytes: 256 << 20 };
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

impl Computed {
    /// Memory that it takes.
    fn bytes(&self) -> usize {
        let elements = |explanation: &Explanation| {
            let Explanation { prediction, maps, fused, pixels, .. } = explanation;
            let maps = maps
                .iter()
                .map(|map| map.weights.len() + map.signed.len() + map.map.len() + map.heatmap.values.len());
            let fused = fused.iter().map(|map| map.heatmap.values.len());
            let pixels = pixels.iter().map(|pixels| pixels.values.len());
            let all = maps.chain(fused).chain(pixels).sum::<usize>();
            all + prediction.logits.len() + prediction.probabilities.len()
        };
        size_of::<f32>() * self.explanations.iter().map(elements).sum::<usize>()
    }
}

/// Memory of an explainer of `request`, on the host and on the device together: at most that, where a method has plans
/// of its own.
fn bytes_of(explainer: &Explainer, request: &ExplainRequest) -> usize {
    let own = if request.methods().any(Method::takes_many_runs) { request.max_memory } else { 0 };
    let session = explainer.session();
    let plan = session.plan();
    // Inputs and outputs are on both.
    let elements = 2 * plan.input_len() + 2 * plan.output_len() + plan.work_len();
    own.saturating_add(session.capacity() * size_of::<f32>() * elements)
}

/// What is computed: photo, model and settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub photo: u64,
    pub model: usize,
    pub settings: String,
}

/// The device, which computes one explanation at a time.
pub struct Computing {
    /// `None` while a task uses them.
    explainers: Mutex<Option<Explainers>>,
    free: Condvar,
    results: Mutex<Kept<Key, Arc<Computed>>>,
}

/// By the position of the model and the request.
type Explainers = Kept<(usize, ExplainRequest), Explainer>;

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
        Computing::within(EXPLAINERS, RESULTS)
    }

    fn within(explainers: Limits, results: Limits) -> Computing {
        Computing {
            explainers: Mutex::new(Some(Kept::new(explainers))),
            free: Condvar::new(),
            results: Mutex::new(Kept::new(results)),
        }
    }

    /// What was computed for `key`, if it is still there.
    pub fn known(&self, key: &Key) -> Option<Arc<Computed>> {
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        results.find(key).cloned()
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
        let of = (key.model, request.clone());
        // Not among them while it computes.
        let mut explainer = match explainers.take(&of) {
            Some(known) => known,
            None => {
                let loaded = &model.loaded;
                let make = || panic::catch(|| Explainer::new(&loaded.model, request, &loaded.device, 1));
                match make().map_err(|text| internal(&text))? {
                    Err(Error::Device(DeviceError::OutOfMemory { .. })) if !explainers.is_empty() => {
                        explainers.clear();
                        make().map_err(|text| internal(&text))??
                    }
                    made => made?,
                }
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
        let bytes = bytes_of(&explainer, request);
        explainers.put(of, explainer, bytes);
        task.check()?;
        let explanations = found?.pop().ok_or_else(|| internal("no explanation"))?;
        let computed = Arc::new(Computed { explanations, time });
        // Before another task has the device, which may be about to compute the same.
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        results.put(key, Arc::clone(&computed), computed.bytes());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::serve::photos::Photos;

    #[test]
    fn results_and_explainers_are_limited_by_their_bytes() {
        let models = [ServedModel::built_in().unwrap()];
        let sample = include_bytes!("../../../weights/samples/chelsea.png");
        let photo = Photos::new().add("chelsea.png", sample, &models).unwrap();
        let ask = |computing: &Computing, exit: usize| {
            let request =
                ExplainRequest { exits: vec![exit], ..ExplainRequest::grad_cam(&models[0].loaded.model) };
            let key = Key { photo: photo.id, model: 0, settings: exit.to_string() };
            computing.explain(key.clone(), &models[0], &request, &photo, &Task::default()).unwrap();
            key
        };
        let kept = |computing: &Computing, keys: &[Key]| {
            let explainers = computing.lock().as_ref().unwrap().bytes();
            (keys.iter().map(|key| computing.known(key).is_some()).collect::<Vec<_>>(), explainers)
        };
        let ample = Computing::new();
        let first = [ask(&ample, 1)];
        let (known, explainer) = kept(&ample, &first);
        let results = ample.results.lock().unwrap().bytes();
        // At least the input and its gradients, and the heatmap; at most a few of them.
        let heatmap = 4 * 32 * 32;
        assert_eq!(known, [true]);
        assert!((heatmap..4 * heatmap).contains(&results), "{results} bytes of a result");
        assert!((6 * heatmap..1 << 28).contains(&explainer), "{explainer} bytes of an explainer");
        let both = [ask(&ample, 1), ask(&ample, 2)];
        let (known, explainers) = kept(&ample, &both);
        assert_eq!(known, [true, true]);
        assert!(explainers > explainer, "{explainers} bytes of two explainers");
        let narrow = Computing::within(
            Limits { number: 6, bytes: explainers - 1 },
            Limits { number: 32, bytes: 2 * results - 1 },
        );
        let both = [ask(&narrow, 1), ask(&narrow, 2)];
        assert_eq!(kept(&narrow, &both), (vec![false, true], explainers - explainer));
    }
}
