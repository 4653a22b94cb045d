//! Evaluation of every exit on labeled images: the numbers of `msdcam evaluate --json`, without its times.

use std::path::{Path, PathBuf};

use msdcam::dataset::{self, Dataset, Format, LabelMapping, LabelsBy, in_order};
use msdcam::error::{DeviceError, ErrorSource, RequestError};
use msdcam::evaluation::{Accuracy, Evaluation, ExitOutcome, ImageOutcome, ThresholdSearch, Thresholds};
use msdcam::{Classifier, Error, ExitPrediction, Model, Order, Result};
use serde::Serialize;

use crate::call::{Signals, Stop};
use crate::classify::check_thresholds;
use crate::explain::{check_labels, shifted};
use crate::images::Images;
use crate::runtime::Runtime;

/// Images with labels: those of files, or given ones.
pub enum Labeled<'a> {
    /// Folders, CIFAR files and photos.
    Files(FileSet),
    /// Images, and the class of each.
    Given(Images<'a>, Vec<usize>),
}

/// Which files, and how their labels are read: options of the command line.
pub struct FileSet {
    pub paths: Vec<PathBuf>,
    pub format: String,
    pub labels_by: String,
    pub limit: Option<usize>,
}

/// An image of a set, ready for the model.
pub struct Prepared {
    /// Name in messages.
    pub id: String,
    pub index: u64,
    pub label: Option<usize>,
    pub tensor: Result<Vec<f32>>,
}

/// Images that could not be used, and how many could.
#[derive(Default)]
pub struct Tally {
    pub used: usize,
    /// One line each.
    pub failed: Vec<String>,
}

/// How images stop early, if at all.
pub enum EarlyExit {
    No,
    /// At the thresholds, one for each exit.
    Thresholds(Vec<Option<f32>>),
    /// Within a mean of multiply-adds per image.
    Budget(f64),
}

/// The result of an evaluation; field names are keys of `msdcam evaluate --json`.
#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    evaluation: Evaluation,
    failed: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    early_exit: Option<EarlyExitResult>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label_mapping: Option<LabelMapping>,
    fit: String,
    device: String,
}

/// What early exit does; field names are keys of `msdcam evaluate --json`.
#[derive(Serialize)]
struct EarlyExitResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<f64>,
    thresholds: Thresholds,
    images: usize,
    left: Vec<u64>,
    #[serde(flatten)]
    accuracy: Accuracy,
    multiply_adds: f64,
    multiply_adds_all: u64,
}

impl FileSet {
    /// Lists the images; labels are classes of the model.
    ///
    /// # Errors
    /// When there are no images, or their labels do not match the model.
    pub fn open(&self, model: &Model) -> Result<Dataset> {
        let format = match self.format.as_str() {
            "auto" => Format::Auto,
            "cifar10" => Format::Cifar10,
            "cifar100" => Format::Cifar100,
            "folders" => Format::Folders,
            name => return Err(unknown("format", name, &["auto", "cifar10", "cifar100", "folders"])),
        };
        let labels_by = match self.labels_by.as_str() {
            "auto" => LabelsBy::Auto,
            "name" => LabelsBy::Name,
            "number" => LabelsBy::Number,
            "order" => LabelsBy::Order,
            "none" => LabelsBy::None,
            name => return Err(unknown("labels_by", name, &["auto", "name", "number", "order", "none"])),
        };
        let mut dataset = dataset::open(&self.paths, format)?;
        dataset.fit_labels(&model.labels, labels_by)?;
        match self.limit {
            Some(0) => return Err(Error::usage("limit 0: expected at least one image")),
            Some(limit) => dataset.truncate(limit),
            None => {}
        }
        Ok(dataset)
    }
}

/// The error of a name that is not one of `expected`.
pub fn unknown(what: &'static str, name: &str, expected: &[&str]) -> Error {
    let expected = expected.iter().map(|&name| name.into()).collect();
    RequestError::UnknownName { what, name: name.into(), expected }.into()
}

/// Calls `each` with groups of `batch` images of a set, read and prepared by `threads` threads meanwhile.
///
/// # Errors
/// Those of `each`; when a signal comes or every thread is refused.
pub fn prepared_groups(
    model: &Model,
    dataset: &Dataset,
    (batch, threads): (usize, usize),
    signals: &Signals,
    mut each: impl FnMut(Vec<Prepared>) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let prepare = |item: dataset::Item| Prepared {
        tensor: item.read().map(|held| model.prepare(&held.image).tensor),
        index: item.index as u64,
        label: item.label,
        id: item.id,
    };
    std::thread::scope(|scope| {
        let threads = threads.clamp(1, 16).min(dataset.len());
        let mut read = in_order(scope, threads, batch, dataset.items(), prepare).map_err(|refused| {
            Error::from(DeviceError::Threads { threads, source: ErrorSource::new(refused) })
        })?;
        loop {
            let group: Vec<Prepared> = read.by_ref().take(batch).collect();
            if group.is_empty() {
                return Ok(());
            }
            signals.check()?;
            each(group)?;
        }
    })
}

impl Tally {
    /// The inputs and labels of the images of a group that can be used, with their indices; the others are noted.
    pub fn usable(&mut self, group: Vec<Prepared>, is_labeled: bool) -> (Vec<f32>, Vec<usize>, Vec<u64>) {
        let (mut inputs, mut labels, mut indices) = (Vec::new(), Vec::new(), Vec::new());
        for Prepared { id, index, label, tensor } in group {
            let no_label = || Error::refused(Path::new(&id), "label", "the image has none");
            let label = if is_labeled { label.ok_or_else(no_label) } else { Ok(label.unwrap_or_default()) };
            match tensor.and_then(|tensor| Ok((tensor, label?))) {
                Ok((tensor, label)) => {
                    self.used += 1;
                    inputs.extend(tensor);
                    labels.push(label);
                    indices.push(index);
                }
                Err(error) => self.failed.push(error.to_string()),
            }
        }
        (inputs, labels, indices)
    }

    /// Checks that an image could be used.
    ///
    /// # Errors
    /// When none could: says why the first could not.
    pub fn check(&self, dataset: &Dataset) -> Result<()> {
        match self.failed.first() {
            Some(first) if self.used == 0 => {
                let cause = format!("none of {} can be used; the first: {first}", self.failed.len());
                Err(Error::refused(dataset.name(), "images", cause))
            }
            _ => Ok(()),
        }
    }
}

/// Evaluates `exits` on `images`: the result as JSON text, and a line for each image that could not be used.
///
/// # Errors
/// When the images have no labels or none can be used, the device fails, or a signal comes.
pub fn evaluate(
    (model, runtime): (&Model, &Runtime),
    images: &Labeled<'_>,
    (exits, early_exit): (&[usize], &EarlyExit),
    (batch, threads): (usize, usize),
    signals: &Signals,
) -> Result<(String, Vec<String>), Stop> {
    let mut held = runtime.runners(signals)?;
    let classifier = held.classifier(model, exits, Order::ByExit, batch)?;
    let work = classifier.multiply_adds();
    check_early_exit(early_exit, &work)?;
    let (mut outcomes, mut tally, mut mapping) = (Vec::new(), Tally::default(), None);
    match images {
        Labeled::Given(images, labels) => {
            let (len, mut first) = (model.input_shape().len(), 0);
            let count = images.count(len);
            check_labels(model, labels, count)?;
            if count == 0 {
                return Err(Error::usage("evaluate: no images").into());
            }
            images.batches(model, (classifier.capacity(), threads), signals, |inputs| {
                let labels = &labels[first..first + inputs.len() / len];
                add(classifier, inputs, labels, &mut outcomes).map_err(|error| shifted(error, first))?;
                first += labels.len();
                Ok(())
            })?;
        }
        Labeled::Files(files) => {
            let dataset = files.open(model)?;
            if dataset.classes().is_none() {
                // A path that cannot be read has no labels for that reason.
                if dataset.is_of_photos() {
                    dataset.item(0).read()?;
                }
                let none = "the images have none; expected a folder for each class, or a CIFAR file";
                let cause = dataset.why_unlabeled().unwrap_or(none);
                return Err(Error::refused(dataset.name(), "labels", cause).into());
            }
            let size = (classifier.capacity(), threads);
            prepared_groups(model, &dataset, size, signals, |group| {
                let (inputs, labels, _) = tally.usable(group, true);
                if !labels.is_empty() {
                    add(classifier, &inputs, &labels, &mut outcomes)?;
                }
                Ok(())
            })?;
            tally.check(&dataset)?;
            mapping = dataset.label_mapping().cloned();
        }
    }
    let report = Report {
        evaluation: Evaluation::new(&outcomes, exits, &model.labels, Some(&work)),
        failed: tally.failed.len(),
        early_exit: early_exit_result(early_exit, &outcomes, &work)?,
        label_mapping: mapping,
        fit: model.input.resize.to_string(),
        device: runtime.device.description(),
    };
    Ok((text(&report), tally.failed))
}

/// A report as JSON.
pub fn text(report: &impl Serialize) -> String {
    serde_json::to_string(report).expect("plain fields serialize to JSON")
}

/// Adds the outcomes of a batch.
fn add(
    classifier: &mut Classifier,
    inputs: &[f32],
    labels: &[usize],
    outcomes: &mut Vec<ImageOutcome>,
) -> Result<()> {
    for (exits, &label) in classifier.classify(inputs)?.iter().zip(labels) {
        let exit = |prediction: &ExitPrediction| {
            ExitOutcome::new(prediction.class, prediction.confidence(), prediction.rank(label))
        };
        outcomes.push(ImageOutcome { label, exits: exits.iter().map(exit).collect() });
    }
    Ok(())
}

fn check_early_exit(early_exit: &EarlyExit, work: &[u64]) -> Result<()> {
    match early_exit {
        EarlyExit::No => Ok(()),
        EarlyExit::Thresholds(thresholds) => check_thresholds(thresholds, work.len()),
        EarlyExit::Budget(budget) if budget.is_nan() || *budget < work[0] as f64 => Err(Error::usage(
            format!("budget {budget}: the first exit alone takes {} multiply-adds", work[0]),
        )),
        EarlyExit::Budget(_) => Ok(()),
    }
}

/// What early exit does to the images, of which every exit is known.
fn early_exit_result(
    early_exit: &EarlyExit,
    outcomes: &[ImageOutcome],
    work: &[u64],
) -> Result<Option<EarlyExitResult>> {
    let (thresholds, budget, step) = match early_exit {
        EarlyExit::No => return Ok(None),
        EarlyExit::Thresholds(thresholds) => (Thresholds(thresholds.clone()), None, 1),
        EarlyExit::Budget(budget) => {
            // Thresholds are determined on the images at even positions, and applied to the others.
            let search = ThresholdSearch::new(outcomes.iter().step_by(2).collect());
            (search.within(*budget, work).expect("the budget was checked"), Some(*budget), 2)
        }
    };
    let tested: Vec<&ImageOutcome> = outcomes.iter().skip(step - 1).step_by(step).collect();
    if tested.is_empty() {
        return Err(Error::usage(
            "budget: expected at least 2 images, as thresholds are determined on every second one",
        ));
    }
    let mut left = vec![0_u64; work.len()];
    let mut stopped = Vec::with_capacity(tested.len());
    for outcome in tested {
        let exit = thresholds.exit_of(outcome);
        left[exit] += 1;
        stopped.push(ImageOutcome { label: outcome.label, exits: [outcome.exits[exit]].into() });
    }
    let done: u64 = left.iter().zip(work).map(|(images, work)| images * work).sum();
    Ok(Some(EarlyExitResult {
        budget,
        images: stopped.len(),
        left,
        accuracy: Accuracy::new(&stopped, 0),
        multiply_adds: done as f64 / stopped.len() as f64,
        multiply_adds_all: work[work.len() - 1],
        thresholds,
    }))
}
