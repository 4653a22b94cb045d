//! Early exit on a data set: the savings, measured.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::dataset::Dataset;
use crate::evaluation::{Accuracy, ImageOutcome, ThresholdSearch, Thresholds};
use crate::explain::Classifier;
use crate::util::input_file;
use crate::{Error, Result};
use serde::Serialize;

use super::predictions;
use super::predictions::Predictions;
use crate::cli::images;
use crate::cli::model::LoadedModel;
use crate::cli::timings::Timings;
use crate::cli::values::probability;

/// Rule that decides where images stop.
#[derive(Debug)]
pub enum EarlyExitRule {
    /// Given thresholds.
    Thresholds(Thresholds),
    /// Maximum mean multiply-adds per image; the images at even positions determine the thresholds.
    Budget(f64),
}

/// Result of early exit. Field names are JSON keys.
#[derive(Debug, Serialize)]
pub struct EarlyExitResult {
    /// The requested mean multiply-adds per image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<f64>,
    /// Confidence thresholds of the exits.
    pub thresholds: Thresholds,
    /// Images that were run with early exit.
    pub images: usize,
    /// Images that stopped at each exit.
    pub left: Vec<u64>,
    /// Their accuracy.
    #[serde(flatten)]
    pub accuracy: Accuracy,
    /// Mean multiply-adds per image with early exit.
    pub multiply_adds: f64,
    /// Multiply-adds per image through all exits.
    pub multiply_adds_all: u64,
    /// Mean milliseconds per image in the model, in batches, with early exit.
    pub milliseconds: f64,
    /// Mean milliseconds per image through all exits, measured alternately with early exit.
    pub milliseconds_all: f64,
    /// Whether each image stopped at the same exit with the same prediction as when all exits are computed.
    pub same_predictions: bool,
}

/// The requested rule: `early_exit` is a threshold or a file, `budget` a mean of multiply-adds per image.
/// `work` holds the multiply-adds of an image that stops at each exit.
///
/// # Errors
/// When the value is invalid, the file cannot be used, or the first exit exceeds the budget.
pub fn rule(early_exit: Option<&str>, budget: Option<f64>, work: &[u64]) -> Result<Option<EarlyExitRule>> {
    if let Some(budget) = budget {
        return match work[0] as f64 {
            first if budget < first => Err(Error::usage(format!(
                "--budget {budget}: the first exit alone takes {first} multiply-adds"
            ))),
            _ => Ok(Some(EarlyExitRule::Budget(budget))),
        };
    }
    let Some(text) = early_exit else { return Ok(None) };
    let thresholds = match probability(text) {
        Ok(p) => Thresholds::uniform(p, work.len()),
        // A number is never a file name.
        Err(cause) if text.parse::<f32>().is_ok() => {
            return Err(Error::usage(format!("--early-exit {text}: {cause}")));
        }
        Err(_) => read_thresholds(Path::new(text), work.len())?,
    };
    Ok(Some(EarlyExitRule::Thresholds(thresholds)))
}

/// Reads a file of thresholds.
///
/// # Errors
/// When it cannot be read, or is not a list of a share or null for each of `exits` exits.
pub fn read_thresholds(file: &Path, exits: usize) -> Result<Thresholds> {
    let refused = |place: &str, cause: String| Error::refused(file, place, cause);
    let text = input_file::read_text(file, input_file::TEXT)?;
    let thresholds: Thresholds = serde_json::from_str(&text)
        .map_err(|e| refused("thresholds", format!("expected a JSON list of numbers or null: {e}")))?;
    if thresholds.0.len() != exits {
        return Err(refused(
            "thresholds",
            format!("expected one for each of {exits} exits, found {}", thresholds.0.len()),
        ));
    }
    match thresholds.0.iter().flatten().find(|p| !(0.0..=1.0).contains(*p)) {
        Some(p) => Err(refused("thresholds", format!("{p}: expected numbers from 0 to 1, or null"))),
        None => Ok(thresholds),
    }
}

/// Parses a number of multiply-adds with an optional suffix k, M or G.
pub fn multiply_adds(text: &str) -> Result<f64, String> {
    let (number, unit) = match text.char_indices().last() {
        Some((at, 'k')) => (&text[..at], 1e3),
        Some((at, 'M')) => (&text[..at], 1e6),
        Some((at, 'G')) => (&text[..at], 1e9),
        _ => (text, 1.0),
    };
    let work = number.parse::<f64>().ok().map(|number| number * unit);
    work.filter(|work| work.is_finite() && *work > 0.0).ok_or("expected a number such as 5e7 or 50M".into())
}

/// Runs the images again with early exit by `rule`.
///
/// # Errors
/// When the device fails, or the data set is too small for a budget.
pub fn run(
    model: &LoadedModel,
    dataset: &Dataset,
    classifier: &mut Classifier,
    full: &Predictions,
    rule: &EarlyExitRule,
) -> Result<EarlyExitResult> {
    let work = classifier.multiply_adds();
    let (thresholds, step) = match rule {
        EarlyExitRule::Thresholds(thresholds) => (thresholds.clone(), 1),
        EarlyExitRule::Budget(budget) => {
            let search = ThresholdSearch::new(full.outcomes.iter().step_by(2).collect());
            (search.within(*budget, &work).expect("`rule` has checked the budget"), 2)
        }
    };
    // A budget is tested on the images at odd positions.
    let tested = || (step - 1..full.outcomes.len()).step_by(step);
    if tested().next().is_none() {
        return Err(Error::usage(
            "--budget: expected at least 2 images, as thresholds are determined on every second one",
        ));
    }
    let positions: Vec<usize> = tested().map(|i| full.positions[i]).collect();
    let before = classifier.session().multiply_adds_done();
    let mut runs = EarlyExitRuns::default();
    let timings = Timings::default();
    let items = positions.iter().map(|&i| dataset.item(i));
    predictions::for_each_group(model, items, classifier.capacity(), &timings, |(_, photos)| {
        images::run_group(photos, |inputs, labels| runs.batch(classifier, &thresholds, inputs, labels))
            .map(|_| ())
    })?;
    let all = work[work.len() - 1];
    let done = classifier.session().multiply_adds_done() - before - runs.outcomes.len() as u64 * all;
    Ok(runs.result(rule, thresholds, tested().map(|i| &full.outcomes[i]), (done, all)))
}

/// Early-exit runs so far.
#[derive(Debug, Default)]
struct EarlyExitRuns {
    /// For each image, the position of the exit where it stopped, and that exit's prediction.
    outcomes: Vec<(usize, ImageOutcome)>,
    /// Total time with early exit.
    early: Duration,
    /// Total time through all exits.
    full: Duration,
}

impl EarlyExitRuns {
    /// Runs a batch through all exits and with early exit, alternately, so that other load on the machine
    /// affects both equally.
    fn batch(
        &mut self,
        classifier: &mut Classifier,
        thresholds: &Thresholds,
        inputs: &[f32],
        labels: &[Option<usize>],
    ) -> Result<Vec<Vec<()>>> {
        let start = Instant::now();
        classifier.classify(inputs)?;
        let middle = Instant::now();
        let predictions = classifier.classify_early_exit(inputs, &thresholds.0)?;
        self.full += middle - start;
        self.early += middle.elapsed();
        for (exits, label) in predictions.iter().zip(labels) {
            let last = exits.len() - 1;
            let outcome = predictions::exit_outcomes(&exits[last..], *label);
            self.outcomes
                .push((last, ImageOutcome { label: label.unwrap_or_default(), exits: outcome.into() }));
        }
        Ok(vec![Vec::new(); labels.len()])
    }

    /// The result; `full` holds the predictions of all exits.
    fn result<'a>(
        self,
        rule: &EarlyExitRule,
        thresholds: Thresholds,
        full: impl Iterator<Item = &'a ImageOutcome>,
        (done, all): (u64, u64),
    ) -> EarlyExitResult {
        let mut left = vec![0; thresholds.0.len()];
        self.outcomes.iter().for_each(|(exit, _)| left[*exit] += 1);
        let same = |(full, (exit, early)): (&ImageOutcome, &(usize, ImageOutcome))| {
            thresholds.exit_of(full) == *exit && full.exits[*exit] == early.exits[0]
        };
        let same_predictions = full.zip(&self.outcomes).all(same);
        let outcomes: Vec<ImageOutcome> = self.outcomes.into_iter().map(|(_, outcome)| outcome).collect();
        let images = outcomes.len();
        let mean = |time: Duration| time.as_secs_f64() * 1e3 / images as f64;
        EarlyExitResult {
            budget: if let EarlyExitRule::Budget(budget) = rule { Some(*budget) } else { None },
            images,
            left,
            accuracy: Accuracy::new(&outcomes, 0),
            multiply_adds: done as f64 / images as f64,
            multiply_adds_all: all,
            milliseconds: mean(self.early),
            milliseconds_all: mean(self.full),
            same_predictions,
            thresholds,
        }
    }
}
