//! Everything that was measured, with what it depends on.

use crate::explain::ExplainRequest;
use crate::faithfulness::{Settings, Similarity, Summary};
use serde::Serialize;

use super::Args;
use super::objects::Objects;
use super::run::Measured;
use crate::cli::model::LoadedModel;

/// Its JSON form is what `--json` prints, and without the rows what `manifest.json` holds.
#[derive(Debug, Serialize)]
pub struct Report {
    pub about: About,
    /// For each exit, each method's numbers.
    pub rows: Vec<Summary>,
    /// For each exit, stage and method, how alike the maps are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub randomisation: Vec<Similarity>,
}

/// How the numbers were made.
#[derive(Debug, Serialize)]
pub struct About {
    program: &'static str,
    version: &'static str,
    /// Images that were measured, and those that could not be used and are in no number.
    pub images: usize,
    pub failed: usize,
    pub methods: Vec<&'static str>,
    pub exits: Vec<usize>,
    /// The class that is explained.
    pub class: String,
    score: &'static str,
    pub settings: serde_json::Value,
    weights: String,
    source_sha256: String,
    device: String,
}

impl Report {
    /// The report of a run.
    pub fn new(
        args: &Args,
        model: &LoadedModel,
        study: &ExplainRequest,
        settings: &Settings,
        objects: Option<Objects>,
        measured: Measured,
        randomisation: Vec<Similarity>,
    ) -> Report {
        let Measured { tally, rows, .. } = measured;
        let mut about = args.settings.about(settings);
        if let Some(objects) = objects {
            about["pointing"] = objects.about();
        }
        Report {
            about: About {
                program: "msdcam",
                version: env!("CARGO_PKG_VERSION"),
                images: tally.images() - tally.failed(),
                failed: tally.failed(),
                methods: args.methods.iter().map(|method| method.name()).collect(),
                exits: study.exits.clone(),
                class: study.target.name(&model.labels),
                score: study.score.name(),
                settings: about,
                weights: model.weights.clone(),
                source_sha256: model.source_sha256.clone(),
                device: model.device.description(),
            },
            randomisation,
            rows: rows.iter().map(|(exit, method, tally)| tally.summary(method, *exit)).collect(),
        }
    }

    /// As one line of JSON.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("plain fields have a JSON form")
    }
}
