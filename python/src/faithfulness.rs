//! Faithfulness of maps over images: the numbers of `msdcam faithfulness --json`.

use msdcam::faithfulness::{
    Baseline, CascadeSimilarity, CascadingRandomization, CurveSettings, FaithfulnessEvaluator, MapEvaluation,
    MetricAccumulator, MetricSummary, RoadSettings, Settings, Ties,
};
use msdcam::{Error, ExplainRequest, Model, Result, Target};
use pyo3::prelude::*;
use serde::Serialize;

use crate::call::{Signals, Stop, watched};
use crate::evaluate::{Labeled, Tally, prepared_groups, text, unknown};
use crate::explain::{check_labels, shifted};
use crate::request::{TargetArgument, exits, is_slow, methods};
use crate::runtime::Runtime;

/// Images of a batch: the results do not depend on it.
const BATCH: usize = 16;

/// The settings of the metrics, as a dictionary.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct MetricArguments {
    exits: Option<Vec<usize>>,
    methods: Vec<String>,
    target: TargetArgument,
    skip: Vec<String>,
    steps: Option<usize>,
    baseline: Option<String>,
    mask_space: String,
    ties: String,
    percentiles: Vec<f64>,
    road_noise: f64,
    seed: u64,
    max_memory: usize,
    /// Images of the randomization check; 0 for none.
    randomize: usize,
}

impl MetricArguments {
    fn request(&self, model: &Model) -> Result<ExplainRequest> {
        let target = self.target.target(model)?;
        if let Target::Top(n) = target {
            let text = format!("target 'top{n}': faithfulness is measured for one class per exit");
            return Err(Error::usage(text));
        }
        let request = ExplainRequest {
            exits: exits(self.exits.clone(), model),
            target,
            max_memory: self.max_memory,
            ..ExplainRequest::new(model, &methods(&self.methods)?)
        };
        request.check(model)?;
        Ok(request)
    }

    fn settings(&self, model: &Model) -> Result<Settings> {
        let skippable = ["curves", "road", "coherency"];
        if let Some(name) = self.skip.iter().find(|name| !skippable.contains(&name.as_str())) {
            return Err(unknown("skip", name, &skippable));
        }
        let is_computed = |metric: &str| !self.skip.iter().any(|skipped| skipped == metric);
        let zero = match self.mask_space.as_str() {
            "image" => model.input.normalized(0.0),
            "input" => [0.0; 3],
            name => return Err(unknown("mask_space", name, &["image", "input"])),
        };
        let baseline = self.baseline.as_deref().map(str::parse::<Baseline>).transpose()?;
        let settings = Settings {
            zero,
            curves: is_computed("curves").then(|| CurveSettings {
                steps: self.steps.unwrap_or(model.input.height),
                deletion: baseline.unwrap_or(Baseline::Zero),
                insertion: baseline.unwrap_or(Baseline::Blur),
            }),
            road: is_computed("road")
                .then(|| RoadSettings { percentiles: self.percentiles.clone(), noise: self.road_noise }),
            coherency: is_computed("coherency"),
            ties: self.ties.parse::<Ties>()?,
            seed: self.seed,
        };
        settings.check()?;
        Ok(settings)
    }
}

/// The result; `rows` and `randomisation` are those of `msdcam faithfulness --json`.
#[derive(Serialize)]
struct Report<'a> {
    images: usize,
    failed: usize,
    methods: &'a [String],
    exits: &'a [usize],
    class: String,
    score: &'static str,
    fit: String,
    device: String,
    rows: Vec<MetricSummary>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    randomisation: Vec<CascadeSimilarity>,
}

/// The metrics so far.
#[derive(Default)]
struct Measured {
    /// For each exit and method, exits first.
    rows: Vec<(usize, &'static str, MetricAccumulator)>,
    /// The first images and their labels, for the randomization check.
    sample: (Vec<f32>, Vec<usize>),
}

impl Measured {
    fn add(&mut self, evaluations: &[MapEvaluation]) {
        if self.rows.is_empty() {
            let row = |e: &MapEvaluation| (e.exit, e.method.name(), MetricAccumulator::default());
            self.rows = evaluations.iter().map(row).collect();
        }
        for ((.., row), evaluation) in self.rows.iter_mut().zip(evaluations) {
            row.add(evaluation);
        }
    }

    /// Adds images to the sample until it has `most`.
    fn sample(&mut self, inputs: &[f32], labels: &[usize], (len, most): (usize, usize)) {
        let missing = most.saturating_sub(self.sample.0.len() / len).min(inputs.len() / len);
        self.sample.0.extend(&inputs[..missing * len]);
        self.sample.1.extend(labels.iter().take(missing));
    }
}

/// Measures the maps of `images`: the result as JSON text, and a line for each image that could not be used.
///
/// # Errors
/// When the settings do not fit the model, no image can be used, the device fails, or a signal comes.
pub fn faithfulness(
    (model, runtime): (&Model, &Runtime),
    images: &Labeled<'_>,
    arguments: &MetricArguments,
    threads: usize,
    signals: &Signals,
) -> Result<(String, Vec<String>), Stop> {
    let (request, settings) = (arguments.request(model)?, arguments.settings(model)?);
    let is_label = request.target == Target::Label;
    let (len, mut tally, mut measured) = (model.input_shape().len(), Tally::default(), Measured::default());
    // Its explainers take turns with those of other calls on the device's threads.
    let make =
        |batch| FaithfulnessEvaluator::new(model, &request, &settings, &runtime.device, batch, threads);
    match images {
        Labeled::Given(images, labels) => {
            let (count, mut first) = (images.count(len), 0);
            if is_label || !labels.is_empty() {
                check_labels(model, labels, count)?;
            }
            if count == 0 {
                return Err(Error::usage("faithfulness: no images").into());
            }
            let batch = BATCH.min(count);
            let mut evaluator = make(batch)?;
            let stop = evaluator.stopper();
            images.batches(model, (batch, threads), signals, |inputs| {
                let n = inputs.len() / len;
                let indices: Vec<u64> = (first as u64..).take(n).collect();
                let labels = if is_label { &labels[first..first + n] } else { &[] };
                measured.sample(inputs, labels, (len, arguments.randomize));
                let found = watched(signals, &stop, || {
                    evaluator.evaluate(inputs, labels, &indices).map_err(|error| shifted(error, first))
                })?;
                found.iter().for_each(|rows| measured.add(rows));
                tally.used += n;
                first += n;
                Ok(())
            })?;
        }
        Labeled::Files(files) => {
            let dataset = files.open(model)?;
            let batch = BATCH.min(dataset.len());
            let mut evaluator = make(batch)?;
            let stop = evaluator.stopper();
            prepared_groups(model, &dataset, (batch, threads), signals, |group| {
                let (inputs, labels, indices) = tally.usable(group, is_label);
                if !indices.is_empty() {
                    measured.sample(&inputs, &labels, (len, arguments.randomize));
                    let found = watched(signals, &stop, || evaluator.evaluate(&inputs, &labels, &indices))?;
                    found.iter().for_each(|rows| measured.add(rows));
                }
                Ok(())
            })?;
            tally.check(&dataset)?;
        }
    }
    let mut randomization = Vec::new();
    if arguments.randomize > 0 {
        signals.check()?;
        let (images, labels) = &measured.sample;
        let cascade = CascadingRandomization {
            model,
            request: &request,
            device: &runtime.device,
            // Methods with many runs take long: between two images a signal is heard.
            batch: if is_slow(&request) { 1 } else { BATCH.min(arguments.randomize) },
            seed: settings.seed,
        };
        randomization = cascade.run(images, labels, |_| signals.check())?;
    }
    let report = Report {
        images: tally.used,
        failed: tally.failed.len(),
        methods: &arguments.methods,
        exits: &request.exits,
        class: request.target.name(&model.labels),
        score: request.score.name(),
        fit: model.input.resize.to_string(),
        device: runtime.device.description(),
        rows: measured.rows.iter().map(|(exit, method, row)| row.summary(method, *exit)).collect(),
        randomisation: randomization,
    };
    Ok((text(&report), tally.failed))
}
