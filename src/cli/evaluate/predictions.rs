//! Predictions of every exit for every image.

use std::path::Path;

use crate::dataset::{Dataset, Item};
use crate::evaluation::{ExitOutcome, ImageOutcome};
use crate::explain::{Classifier, ExitPrediction};
use crate::{Error, Result};

use crate::cli::exit_counts::NonfinitePredictions;
use crate::cli::exit_status::Tally;
use crate::cli::images::{Finished, Group, InFlight};
use crate::cli::isolation::isolated;
use crate::cli::model::LoadedModel;
use crate::cli::timings::{Stage, Timings};
use crate::cli::{images, output};

/// Predictions of all exits for all usable images.
#[derive(Debug, Default)]
pub struct Predictions {
    /// The predictions for each usable image.
    pub outcomes: Vec<ImageOutcome>,
    /// The index of each of these images in the data set.
    pub positions: Vec<usize>,
    /// Inputs of the first batch, for timing.
    pub sample: Vec<f32>,
    /// Usable and failed images.
    pub tally: Tally,
    nonfinite: NonfinitePredictions,
}

impl Predictions {
    /// Id and predictions of each usable image.
    pub fn rows<'a>(&'a self, dataset: &'a Dataset) -> impl Iterator<Item = (String, &'a ImageOutcome)> {
        self.positions.iter().map(|&i| dataset.item(i).id).zip(&self.outcomes)
    }

    /// Adds a group of images, in the order of the data set.
    fn add(&mut self, (items, results): Finished<ExitPrediction>) {
        for (item, result) in items.iter().zip(results) {
            let outcome = isolated(item, || {
                let (photo, exits) = result?;
                self.nonfinite.count(&exits);
                let label = item.label.expect("an image without a label has failed");
                Ok(ImageOutcome { label, exits: exit_outcomes(&exits, photo.label).into() })
            });
            self.tally.count(&item.id, &outcome);
            match outcome {
                Ok(outcome) => {
                    self.positions.push(self.tally.images() - 1);
                    self.outcomes.push(outcome);
                }
                Err(error) => output::error(&error),
            }
        }
    }

    /// Reports predictions of scores that are not finite, and the number and names of the failed images, on standard
    /// error.
    pub fn note_failures(&self) {
        for note in [self.nonfinite.note(), self.tally.summary()].into_iter().flatten() {
            output::note(&note);
        }
    }
}

/// Runs every exit on every image.
///
/// # Errors
/// When the device fails. An image that cannot be read or has no label only counts as failed.
pub fn all_exits(
    model: &LoadedModel,
    dataset: &Dataset,
    classifier: &mut Classifier,
    timings: &Timings,
) -> Result<Predictions> {
    let (mut predictions, mut in_flight) = (Predictions::default(), InFlight::default());
    for_each_group(model, dataset.items(), classifier.capacity(), timings, |group| {
        if predictions.sample.is_empty() {
            predictions.sample = images::inputs(&group.1);
        }
        let finished = timings.time(Stage::Run, || in_flight.push(group, classifier))?;
        finished.into_iter().for_each(|group| predictions.add(group));
        Ok(())
    })?;
    let finished = timings.time(Stage::Run, || in_flight.drain(classifier))?;
    finished.into_iter().for_each(|group| predictions.add(group));
    Ok(predictions)
}

/// Reads `items` and calls `work` for one batch after another, with a progress bar.
pub fn for_each_group(
    model: &LoadedModel,
    items: impl ExactSizeIterator<Item = Item> + Send,
    batch: usize,
    timings: &Timings,
    mut work: impl FnMut(Group) -> Result<()>,
) -> Result<()> {
    let bar = images::progress(model, items.len());
    std::thread::scope(|scope| -> Result<()> {
        for (items, photos) in
            images::groups(scope, model, items, batch, images::ViewSides::default(), timings)?
        {
            let photos = items.iter().zip(photos).map(|(item, photo)| require_label(item, photo)).collect();
            let images = items.len() as u64;
            bar.suspend(|| work((items, photos)))?;
            bar.inc(images);
        }
        Ok(())
    })?;
    bar.finish_and_clear();
    Ok(())
}

/// Rejects a photo without a label.
fn require_label<T>(item: &Item, photo: Result<T>) -> Result<T> {
    match item.label {
        None if photo.is_ok() => Err(Error::refused(Path::new(&item.id), "label", "the image has none")),
        _ => photo,
    }
}

/// Outcomes of the exits for an image with label `label`.
pub fn exit_outcomes(exits: &[ExitPrediction], label: Option<usize>) -> Vec<ExitOutcome> {
    let exit = |prediction: &ExitPrediction| {
        let rank = label.map_or(usize::MAX, |label| prediction.rank(label));
        ExitOutcome::new(prediction.class, prediction.probabilities[prediction.class], rank)
    };
    exits.iter().map(exit).collect()
}
