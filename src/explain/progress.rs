//! Progress of an explanation that takes many runs of the model, and the means to stop it from another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::Result;
use crate::error::RequestError;

/// The progress of an [`super::Explainer`]; a clone is of the same one.
///
/// Score-CAM, Ablation-CAM, SmoothGrad, integrated gradients and smoothing run the model many times for an image. A
/// thread that shows their progress, or stops them, has a clone:
///
/// ```
/// # fn main() -> msdcam::Result<()> {
/// use msdcam::{Device, DeviceChoice, ExplainRequest, Explainer, Model};
///
/// let model = Model::pretrained()?;
/// let request = ExplainRequest { exits: vec![1], ..ExplainRequest::new(&model, &["smooth-grad".parse()?]) };
/// let mut explainer = Explainer::new(&model, &request, &Device::open(DeviceChoice::Cpu, 1)?, 1)?;
/// let progress = explainer.progress();
/// explainer.explain(&[0.5; 3 * 32 * 32])?;
/// assert_eq!(progress.runs(), (50, 50));
/// progress.stop(); // usually from another thread
/// let stopped = explainer.explain(&[0.5; 3 * 32 * 32]).unwrap_err();
/// assert_eq!(stopped.to_string(), "stopped after 0 of 50 runs");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<State>);

#[derive(Debug, Default)]
struct State {
    done: AtomicUsize,
    planned: AtomicUsize,
    stopped: AtomicBool,
}

impl Progress {
    /// Images that the model has run on for the current batch besides the batch itself, and how many it will have at
    /// the end; (0, 0) for methods that need none.
    pub fn runs(&self) -> (usize, usize) {
        (self.0.done.load(Ordering::Relaxed), self.0.planned.load(Ordering::Relaxed))
    }

    /// Ends the explanation before its next run, and every later one, with [`RequestError::Stopped`]. What takes a
    /// single run is not stopped.
    pub fn stop(&self) {
        self.0.stopped.store(true, Ordering::Relaxed);
    }

    /// Takes back [`Progress::stop`].
    pub fn resume(&self) {
        self.0.stopped.store(false, Ordering::Relaxed);
    }

    /// Begins a batch that will take `planned` runs.
    pub(crate) fn begin(&self, planned: usize) {
        self.0.done.store(0, Ordering::Relaxed);
        self.0.planned.store(planned, Ordering::Relaxed);
    }

    /// Called before each run.
    ///
    /// # Errors
    /// When the explanation is to stop.
    pub(crate) fn check(&self) -> Result<()> {
        if self.0.stopped.load(Ordering::Relaxed) {
            let (done, planned) = self.runs();
            return Err(RequestError::Stopped { done, planned }.into());
        }
        Ok(())
    }

    /// Counts `runs` that were made.
    pub(crate) fn advance(&self, runs: usize) {
        self.0.done.fetch_add(runs, Ordering::Relaxed);
    }
}
