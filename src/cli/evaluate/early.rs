//! Images that really leave early: what that saves.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::dataset::Dataset;
use crate::evaluation::{Accuracy, Outcome, Thresholds, Walk};
use crate::explain::Classifier;
use crate::{Error, Result};
use serde::Serialize;

use super::pass;
use super::pass::Passed;
use crate::cli::images;
use crate::cli::model::LoadedModel;
use crate::cli::timings::Timings;
use crate::cli::values::probability;

/// When images leave.
#[derive(Debug)]
pub enum Rule {
    /// At these thresholds.
    Thresholds(Thresholds),
    /// At those that keep the mean multiply-adds below this, on the images at even positions.
    Budget(f64),
}

/// What early exit gave.
#[derive(Debug, Serialize)]
pub struct EarlyExit {
    /// The mean multiply-adds asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<f64>,
    /// How sure each exit had to be.
    pub thresholds: Thresholds,
    /// Images that ran so.
    pub images: usize,
    /// How many left at each exit.
    pub left: Vec<u64>,
    /// How many of them were right, in percent.
    #[serde(flatten)]
    pub accuracy: Accuracy,
    /// Mean multiply-adds of an image: as it left, and through all exits.
    pub multiply_adds: f64,
    pub multiply_adds_all: u64,
    /// Mean milliseconds of an image in the network, in batches: as it left, and through all
    /// exits, measured in turn.
    pub milliseconds: f64,
    pub milliseconds_all: f64,
    /// Whether each image got the class that its exit gives when everything is computed.
    pub same_predictions: bool,
}

/// The rule asked for: `early_exit` is a probability or a file, `budget` a mean of multiply-adds.
///
/// # Errors
/// When it cannot be followed with exits of this work.
pub fn rule(early_exit: Option<&str>, budget: Option<f64>, work: &[u64]) -> Result<Option<Rule>> {
    if let Some(budget) = budget {
        return match work[0] as f64 {
            first if budget < first => Err(Error::usage(format!(
                "--budget {budget}: an image that leaves at the first exit takes {first} already"
            ))),
            _ => Ok(Some(Rule::Budget(budget))),
        };
    }
    let Some(text) = early_exit else { return Ok(None) };
    let thresholds = match probability(text) {
        Ok(p) => Thresholds::same(p, work.len()),
        // What reads as a number is meant as one.
        Err(cause) if text.parse::<f32>().is_ok() => {
            return Err(Error::usage(format!("--early-exit {text}: {cause}")));
        }
        Err(_) => read(Path::new(text), work.len())?,
    };
    Ok(Some(Rule::Thresholds(thresholds)))
}

fn read(file: &Path, exits: usize) -> Result<Thresholds> {
    let refused = |place: &str, cause: String| Error::refused(file, place, cause);
    let text = std::fs::read_to_string(file).map_err(|e| refused("file", format!("cannot read: {e}")))?;
    let thresholds: Thresholds = serde_json::from_str(&text)
        .map_err(|e| refused("thresholds", format!("expected a JSON list of numbers and null: {e}")))?;
    if thresholds.0.len() != exits {
        return Err(refused("thresholds", format!("{} for {exits} exits", thresholds.0.len())));
    }
    Ok(thresholds)
}

/// Multiply-adds as a number, with k, M or G after it if you like.
pub fn work(text: &str) -> Result<f64, String> {
    let (number, unit) = match text.char_indices().last() {
        Some((at, 'k')) => (&text[..at], 1e3),
        Some((at, 'M')) => (&text[..at], 1e6),
        Some((at, 'G')) => (&text[..at], 1e9),
        _ => (text, 1.0),
    };
    let work = number.parse::<f64>().ok().map(|number| number * unit);
    work.filter(|work| work.is_finite() && *work > 0.0).ok_or("expected a number such as 5e7 or 50M".into())
}

/// Runs the images again and lets them leave by `rule`.
///
/// # Errors
/// When the device fails, or a data set is too small for a budget.
pub fn run(
    model: &LoadedModel,
    dataset: &Dataset,
    explainer: &mut Classifier,
    passed: &Passed,
    rule: &Rule,
) -> Result<EarlyExit> {
    let work = explainer.multiply_adds();
    let (thresholds, every) = match rule {
        Rule::Thresholds(thresholds) => (thresholds.clone(), 1),
        Rule::Budget(budget) => {
            let walk = Walk::new(passed.outcomes.iter().step_by(2).collect());
            (walk.within(*budget, &work).expect("checked before the work began"), 2)
        }
    };
    // With a budget those at even positions have shown the thresholds.
    let tested = || (every - 1..passed.outcomes.len()).step_by(every);
    if tested().next().is_none() {
        return Err(Error::usage("--budget: one image is too few, thresholds are found on other images"));
    }
    let positions: Vec<usize> = tested().map(|i| passed.positions[i]).collect();
    let before = explainer.session().multiply_adds_done();
    let mut measured = Measured::default();
    let timings = Timings::default();
    let items = positions.iter().map(|&i| dataset.item(i));
    pass::each_group(model, items, explainer.capacity(), &timings, |(_, photos)| {
        images::answer_group(photos, |inputs, labels| measured.batch(explainer, &thresholds, inputs, labels))
            .map(|_| ())
    })?;
    let all = work[work.len() - 1];
    let done = explainer.session().multiply_adds_done() - before - measured.outcomes.len() as u64 * all;
    Ok(measured.summary(rule, thresholds, tested().map(|i| &passed.outcomes[i]), (done, all)))
}

/// What a run with early exit has shown so far.
#[derive(Debug, Default)]
struct Measured {
    /// The last exit of each image: its position and what it said.
    outcomes: Vec<(usize, Outcome)>,
    early: Duration,
    full: Duration,
}

impl Measured {
    /// Runs a batch to the end and with early exit, one after the other, so that both meet the
    /// same machine.
    fn batch(
        &mut self,
        explainer: &mut Classifier,
        thresholds: &Thresholds,
        inputs: &[f32],
        labels: &[Option<usize>],
    ) -> Result<Vec<Vec<()>>> {
        let start = Instant::now();
        explainer.explain(inputs, None)?;
        let middle = Instant::now();
        let answers = explainer.explain_early_exit(inputs, None, &thresholds.0)?;
        self.full += middle - start;
        self.early += middle.elapsed();
        for (exits, label) in answers.iter().zip(labels) {
            let last = exits.len() - 1;
            let outcome = pass::said(&exits[last..], *label);
            self.outcomes.push((last, Outcome { label: label.unwrap_or_default(), exits: outcome.into() }));
        }
        Ok(vec![Vec::new(); labels.len()])
    }

    /// All of it; `full` is what every exit said when nothing left early.
    fn summary<'a>(
        self,
        rule: &Rule,
        thresholds: Thresholds,
        full: impl Iterator<Item = &'a Outcome>,
        (done, all): (u64, u64),
    ) -> EarlyExit {
        let mut left = vec![0; thresholds.0.len()];
        self.outcomes.iter().for_each(|(exit, _)| left[*exit] += 1);
        let same = |(full, (exit, early)): (&Outcome, &(usize, Outcome))| {
            thresholds.leaves_at(full) == *exit && full.exits[*exit] == early.exits[0]
        };
        let same_predictions = full.zip(&self.outcomes).all(same);
        let outcomes: Vec<Outcome> = self.outcomes.into_iter().map(|(_, outcome)| outcome).collect();
        let images = outcomes.len();
        let mean = |time: Duration| time.as_secs_f64() * 1e3 / images as f64;
        EarlyExit {
            budget: if let Rule::Budget(budget) = rule { Some(*budget) } else { None },
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
