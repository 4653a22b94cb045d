//! Explanation of selected images only: every image is classified, those that `--select` matches
//! are explained.

use crate::Result;
use crate::engine::plan::Order;
use crate::evaluation::{ExitOutcome, ImageOutcome};
use crate::explain::{Classifier, ExitPrediction, Explainer, Explanation};

use crate::cli::images;
use crate::cli::images::Photo;
use crate::cli::model::LoadedModel;
use crate::cli::run::ResolvedSelection;

/// The result of the model for one image.
#[derive(Debug)]
pub enum ModelResult {
    /// Explanations, by exit, then by rank.
    Explained(Vec<Explanation>),
    /// Predictions of an image that was not selected.
    NotSelected(Vec<ExitPrediction>),
}

/// A classifier and the selection that its predictions decide.
pub struct SelectedOnly<'a> {
    classifier: Classifier,
    selection: ResolvedSelection<'a>,
}

impl<'a> SelectedOnly<'a> {
    /// Plans the classifier for batches of up to `batch` images.
    ///
    /// # Errors
    /// When the device fails.
    pub fn new(
        model: &LoadedModel,
        selection: ResolvedSelection<'a>,
        exits: &[usize],
        batch: usize,
    ) -> Result<Self> {
        let classifier = Classifier::new(&model.model, exits, Order::Depth, &model.device, batch)?;
        Ok(SelectedOnly { classifier, selection })
    }

    /// Classifies `photos` and explains the selected ones.
    ///
    /// # Errors
    /// When the device fails.
    pub fn explain(
        &mut self,
        photos: Vec<Result<Photo>>,
        explainer: &mut Explainer,
    ) -> Result<Vec<Result<(Photo, ModelResult)>>> {
        let results = images::run_group(photos, |inputs, _| self.classifier.classify(inputs))?;
        let is_selected = |photo: &Photo, predictions: &[ExitPrediction]| {
            photo.label.is_some_and(|label| self.selection.matches(&outcome(label, predictions)))
        };
        let mut selected = Vec::new();
        let mut places = Vec::with_capacity(results.len());
        for result in results {
            places.push(match result {
                Ok((photo, predictions)) if is_selected(&photo, &predictions) => {
                    selected.push(Ok(photo));
                    Ok(None)
                }
                Ok((photo, predictions)) => Ok(Some((photo, ModelResult::NotSelected(predictions)))),
                Err(error) => Err(error),
            });
        }
        let explained = images::explain_group(selected, explainer)?;
        let mut explained = explained.into_iter();
        let mut next = || {
            let (photo, explanations) = explained.next().expect("one result for each selected photo")?;
            Ok((photo, ModelResult::Explained(explanations)))
        };
        Ok(places.into_iter().map(|place| place.and_then(|done| done.map_or_else(&mut next, Ok))).collect())
    }
}

/// The predictions for an image of class `label`, as a selection judges them.
fn outcome(label: usize, predictions: &[ExitPrediction]) -> ImageOutcome {
    let exit = |prediction: &ExitPrediction| ExitOutcome {
        class: prediction.class as u32,
        probability: prediction.probabilities[prediction.class],
        label_rank: prediction.rank(label) as u32,
    };
    ImageOutcome { label, exits: predictions.iter().map(exit).collect() }
}
