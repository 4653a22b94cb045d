//! Every image through the network once, every exit answering.

use crate::dataset::{Dataset, Item};
use crate::evaluation::{ExitOutcome, Outcome};
use crate::explain::{Classifier, ExitPrediction};
use crate::{Error, Result};

use super::report_failure;
use crate::cli::exit_status::Tally;
use crate::cli::images::Group;
use crate::cli::model::LoadedModel;
use crate::cli::timings::{Stage, Timings};
use crate::cli::{images, output};

/// What the exits said about all images.
#[derive(Debug, Default)]
pub struct Passed {
    /// What they said about each image that could be used.
    pub outcomes: Vec<Outcome>,
    /// Where in the data set each of those is.
    pub positions: Vec<usize>,
    /// The inputs of the first batch, to measure with.
    pub sample: Vec<f32>,
    pub tally: Tally,
}

impl Passed {
    /// Each usable image's id and what was said about it.
    pub fn rows<'a>(&'a self, dataset: &'a Dataset) -> impl Iterator<Item = (String, &'a Outcome)> {
        self.positions.iter().map(|&i| dataset.item(i).id).zip(&self.outcomes)
    }

    /// Says on standard error how many images failed, and which.
    pub fn note_failures(&self) {
        if let Some(summary) = self.tally.summary() {
            output::note(&summary);
        }
    }
}

/// Runs every exit on every image.
///
/// # Errors
/// When the device fails. An image that cannot be read, or has no label, only counts as failed.
pub fn all_exits(
    model: &LoadedModel,
    dataset: &Dataset,
    explainer: &mut Classifier,
    timings: &Timings,
) -> Result<Passed> {
    let mut passed = Passed::default();
    each_group(model, dataset.items(), explainer.capacity(), timings, |(items, photos)| {
        let answered = images::answer_group(photos, |inputs, labels| {
            if passed.sample.is_empty() {
                passed.sample = inputs.to_vec();
            }
            let answers = timings.time(Stage::Run, || explainer.explain(inputs, None))?;
            Ok(answers.iter().zip(labels).map(|(exits, label)| said(exits, *label)).collect())
        })?;
        for (item, answered) in items.iter().zip(answered) {
            passed.tally.count(&item.id, &answered);
            match answered {
                Ok((_, exits)) => {
                    passed.positions.push(passed.tally.images() - 1);
                    let label = item.label.expect("others have failed");
                    passed.outcomes.push(Outcome { label, exits: exits.into() });
                }
                Err(error) => report_failure(&error),
            }
        }
        Ok(())
    })?;
    Ok(passed)
}

/// Reads `items`, and gives `work` one batch after another, with a bar.
pub fn each_group(
    model: &LoadedModel,
    items: impl ExactSizeIterator<Item = Item> + Send,
    batch: usize,
    timings: &Timings,
    mut work: impl FnMut(Group) -> Result<()>,
) -> Result<()> {
    let bar = images::progress(model, items.len());
    std::thread::scope(|scope| {
        for (items, photos) in images::groups(scope, model, items, batch, None, timings) {
            let photos = items.iter().zip(photos).map(|(item, photo)| labelled(item, photo)).collect();
            let images = items.len() as u64;
            bar.suspend(|| work((items, photos)))?;
            bar.inc(images);
        }
        Ok(())
    })?;
    bar.finish_and_clear();
    Ok(())
}

/// A photo without a label is of no use here.
fn labelled<T>(item: &Item, photo: Result<T>) -> Result<T> {
    match item.label {
        Some(_) => photo,
        None => Err(Error::refused(item.file(), "label", "the image has none")),
    }
}

/// What the exits said about an image that shows `label`.
pub fn said(exits: &[ExitPrediction], label: Option<usize>) -> Vec<ExitOutcome> {
    let exit = |answer: &ExitPrediction| {
        let rank = label.map_or(usize::MAX, |label| answer.rank(label));
        ExitOutcome::new(answer.class, answer.probabilities[answer.class], rank)
    };
    exits.iter().map(exit).collect()
}
