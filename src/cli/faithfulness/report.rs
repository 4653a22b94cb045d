//! Report of a run: the metrics and the settings that they depend on.

use crate::explain::ExplainRequest;
use crate::faithfulness::{CascadeSimilarity, MetricSummary, Settings};
use serde::Serialize;

use super::args::Args;
use super::measured::Measured;
use super::objects::Objects;
use crate::cli::model::LoadedModel;

/// Metrics and settings of a run. Field names are JSON keys: `--json` prints the report, and
/// `faithfulness.json` holds `about`.
#[derive(Debug, Serialize)]
pub struct FaithfulnessReport {
    pub about: RunMetadata,
    /// For each exit and method, exits first: the metrics.
    pub rows: Vec<MetricSummary>,
    /// Cascading randomization: the similarities for each exit, step and method.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub randomisation: Vec<CascadeSimilarity>,
}

/// Model, images and settings of a run.
#[derive(Debug, Serialize)]
pub struct RunMetadata {
    version: &'static str,
    /// Measured images.
    pub images: usize,
    /// Images that could not be used; no metric includes them.
    pub failed: usize,
    pub methods: Vec<&'static str>,
    pub exits: Vec<usize>,
    /// The explained class.
    pub class: String,
    score: &'static str,
    pub settings: serde_json::Value,
    /// How photos were brought to the input: `--fit`.
    fit: String,
    weights: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_sha256: Option<String>,
    device: String,
}

impl FaithfulnessReport {
    /// The report of a run.
    pub fn new(
        args: &Args,
        model: &LoadedModel,
        request: &ExplainRequest,
        settings: &Settings,
        objects: Option<Objects>,
        measured: Measured,
        randomization: Vec<CascadeSimilarity>,
    ) -> FaithfulnessReport {
        let Measured { tally, rows, .. } = measured;
        let mut recorded = args.settings.to_json(settings);
        if let Some(objects) = objects {
            recorded["pointing"] = objects.to_json();
        }
        FaithfulnessReport {
            about: RunMetadata {
                version: env!("CARGO_PKG_VERSION"),
                images: tally.images() - tally.failed(),
                failed: tally.failed(),
                methods: args.methods.iter().map(|method| method.name()).collect(),
                exits: request.exits.clone(),
                class: request.target.name(&model.labels),
                score: request.score.name(),
                settings: recorded,
                fit: model.input.resize.to_string(),
                weights: model.weights.clone(),
                source_sha256: model.source_sha256().map(String::from),
                device: model.device.description(),
            },
            randomisation: randomization,
            rows: rows.iter().map(|(exit, method, metrics)| metrics.summary(method, *exit)).collect(),
        }
    }

    /// The report as one line of JSON.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("plain fields serialize to JSON")
    }
}
