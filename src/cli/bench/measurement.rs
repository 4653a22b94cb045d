//! Timed computations: forward pass and Grad-CAM of some exits, in interleaved bursts.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::Result;
use crate::engine::plan::Order;
use crate::engine::session::Session;
use crate::explain::{Classifier, ExplainRequest, Explainer};
use indicatif::ProgressBar;

use crate::cli::model::LoadedModel;

/// Measured rounds, in each of which all measurements take one turn.
pub const ROUNDS: u32 = 10;

/// A computation that is timed.
pub enum Subject {
    Forward(Classifier),
    GradCam(Box<Explainer>),
}

impl Subject {
    pub fn new(model: &LoadedModel, exits: Vec<usize>, maps: bool, batch: usize) -> Result<Subject> {
        if !maps {
            let classifier = Classifier::new(model, &exits, Order::Depth, &model.device, batch)?;
            return Ok(Subject::Forward(classifier));
        }
        let request = ExplainRequest { exits, ..ExplainRequest::grad_cam(model) };
        Ok(Subject::GradCam(Box::new(Explainer::new(model, &request, &model.device, batch)?)))
    }

    /// Starts a batch.
    fn submit(&mut self, input: &[f32]) -> Result<()> {
        match self {
            Subject::Forward(classifier) => classifier.submit(input),
            Subject::GradCam(explainer) => explainer.submit(input, &[]),
        }
    }

    /// Waits for the oldest batch and looks at all of its results.
    fn wait(&mut self) -> Result<()> {
        match self {
            Subject::Forward(classifier) => {
                let predictions = classifier.wait()?;
                (0..predictions.len()).flat_map(|image| predictions.image(image)).for_each(|prediction| {
                    black_box(prediction);
                });
            }
            Subject::GradCam(explainer) => {
                let explanations = explainer.wait()?;
                let all = (0..explanations.len()).flat_map(|image| explanations.image(image));
                all.for_each(|explanation| {
                    black_box(explanation.prediction);
                    explanation.maps().for_each(|map| drop(black_box(map)));
                });
            }
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        match self {
            Subject::Forward(classifier) => classifier.is_full(),
            Subject::GradCam(explainer) => explainer.is_full(),
        }
    }

    fn run(&mut self, input: &[f32]) -> Result<()> {
        self.submit(input)?;
        self.wait()
    }

    pub fn session(&mut self) -> &mut dyn Session {
        match self {
            Subject::Forward(classifier) => classifier.session_mut(),
            Subject::GradCam(explainer) => explainer.session_mut(),
        }
    }
}

/// A subject with its times.
pub struct Measurement {
    pub subject: Subject,
    /// Wall time of each run, seconds.
    pub times: Vec<f64>,
    /// Batches that ran with others in flight, and the wall time of all of them, seconds.
    pub overlapped: (usize, f64),
    pub device_ms: Option<f64>,
}

impl Measurement {
    pub fn new(subject: Subject) -> Measurement {
        Measurement { subject, times: Vec::new(), overlapped: (0, 0.0), device_ms: None }
    }

    /// Runs until `time` is over, at least once, after a first, unmeasured run that warms the caches. Where a
    /// device overlaps batches, half of the time is for runs of which it does.
    fn burst(&mut self, input: &[f32], time: Duration) -> Result<()> {
        let time = if self.subject.session().depth() == 1 {
            time
        } else {
            self.overlap(input, time / 2)?;
            time / 2
        };
        let start = Instant::now();
        self.subject.run(input)?;
        loop {
            let before = Instant::now();
            self.subject.run(input)?;
            self.times.push(before.elapsed().as_secs_f64());
            if start.elapsed() >= time {
                return Ok(());
            }
        }
    }

    /// Runs batches until `time` is over, at least one, of which as many are in flight as there is room for.
    fn overlap(&mut self, input: &[f32], time: Duration) -> Result<()> {
        self.subject.run(input)?;
        let (start, mut submitted, mut done) = (Instant::now(), 0, 0);
        while submitted == 0 || start.elapsed() < time {
            self.subject.submit(input)?;
            submitted += 1;
            if self.subject.is_full() {
                self.subject.wait()?;
                done += 1;
            }
        }
        while done < submitted {
            self.subject.wait()?;
            done += 1;
        }
        self.overlapped.0 += done;
        self.overlapped.1 += start.elapsed().as_secs_f64();
        Ok(())
    }

    /// The times in ascending order.
    pub fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.times.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

/// Measures all subjects in rounds for about `seconds`.
///
/// # Errors
/// When the device fails.
pub fn measure(
    measurements: &mut [Measurement],
    input: &[f32],
    seconds: f64,
    bar: &ProgressBar,
) -> Result<()> {
    let start = Instant::now();
    let total = Duration::from_secs_f64(seconds);
    // The first round is not measured: it raises the clock frequency and touches the memory.
    let burst = total / (ROUNDS + 1) / measurements.len() as u32;
    for round in 0..=ROUNDS {
        for measurement in measurements.iter_mut() {
            measurement.burst(input, burst)?;
            if round == 0 {
                measurement.times.clear();
                measurement.overlapped = (0, 0.0);
            }
            bar.inc(1);
        }
        // A model too slow for the total duration still gets one measured round.
        if round > 0 && start.elapsed() >= total {
            break;
        }
    }
    bar.finish_and_clear();
    Ok(())
}
