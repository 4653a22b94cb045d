//! Report of `msdcam evaluate`.

use crate::Result;
use crate::dataset::{Dataset, LabelMapping};
use crate::evaluation::Evaluation;
use crate::explain::Classifier;
use serde::Serialize;

use super::early_exit::EarlyExitResult;
use super::predictions::Predictions;
use super::timing;
use crate::cli::model::LoadedModel;

/// Evaluation, early exit, model and device of a run: the fields of [`Evaluation`] and these. Field names
/// are the JSON keys of `--json` and `evaluation.json`.
#[derive(Debug, Serialize)]
pub struct EvaluationReport {
    #[serde(flatten)]
    pub evaluation: Evaluation,
    /// Images that could not be used; no result includes them.
    failed: usize,
    /// Result of `--early-exit` or `--budget`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_exit: Option<EarlyExitResult>,
    /// Which class each folder or class of a CIFAR file was taken for.
    #[serde(skip_serializing_if = "Option::is_none")]
    label_mapping: Option<LabelMapping>,
    /// How photos were brought to the input: `--fit`.
    fit: String,
    /// Weights file.
    weights: String,
    /// SHA-256 of the checkpoint that the weights come from, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    source_sha256: Option<String>,
    /// Device that the times were measured on.
    device: String,
}

impl EvaluationReport {
    /// Evaluates the predictions for `exits` and times the exits.
    ///
    /// # Errors
    /// When the device fails.
    pub fn new(
        model: &LoadedModel,
        classifier: &mut Classifier,
        exits: &[usize],
        dataset: &Dataset,
        predictions: &Predictions,
    ) -> Result<EvaluationReport> {
        let work = classifier.multiply_adds();
        let mut evaluation = Evaluation::new(&predictions.outcomes, exits, &model.labels, Some(&work));
        let times = timing::milliseconds(classifier, &predictions.sample)?;
        for (exit, &time) in evaluation.exits.iter_mut().zip(&times) {
            exit.milliseconds = Some(time);
        }
        if let Some(budgeted) = &mut evaluation.budgeted {
            budgeted.set_milliseconds(&times);
        }
        Ok(EvaluationReport {
            evaluation,
            failed: predictions.tally.failed(),
            early_exit: None,
            label_mapping: dataset.label_mapping().cloned(),
            fit: model.input.resize.to_string(),
            weights: model.weights.clone(),
            source_sha256: model.source_sha256().map(String::from),
            device: model.device.description(),
        })
    }

    /// The report as one line of JSON.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("plain fields serialize to JSON")
    }
}
