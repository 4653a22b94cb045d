//! Two steps where only some images get pictures: what the exits say of all, then maps of the selected.

use crate::Result;
use crate::engine::plan::Order;
use crate::evaluation::{ExitOutcome, ImageOutcome};
use crate::explain::{Classifier, ExitPrediction, Explainer, Explanation};

use crate::cli::images;
use crate::cli::images::Photo;
use crate::cli::model::Model;
use crate::cli::run::ResolvedSelection;

/// What is known of an image.
#[derive(Debug)]
pub enum Seen {
    /// By exit, then by rank.
    Explained(Vec<Explanation>),
    /// It was not selected.
    PassedOver(Vec<ExitPrediction>),
}

/// A network that is asked for classes only, and what they decide.
pub struct Choosing<'a> {
    classifier: Classifier,
    chooser: ResolvedSelection<'a>,
}

impl<'a> Choosing<'a> {
    /// Plans the first step for up to `batch` images at a time.
    ///
    /// # Errors
    /// When the device fails.
    pub fn new(model: &Model, chooser: ResolvedSelection<'a>, exits: &[usize], batch: usize) -> Result<Self> {
        let classifier = Classifier::new(&model.network, exits, Order::Depth, &model.device, batch)?;
        Ok(Choosing { classifier, chooser })
    }

    /// What is known of each of `photos`.
    ///
    /// # Errors
    /// When the device fails.
    pub fn ask(
        &mut self,
        photos: Vec<Result<Photo>>,
        explainer: &mut Explainer,
    ) -> Result<Vec<Result<(Photo, Seen)>>> {
        let answered = images::answer_group(photos, |inputs, _| self.classifier.classify(inputs))?;
        let is_chosen = |photo: &Photo, answers: &[ExitPrediction]| {
            photo.label.is_some_and(|label| self.chooser.matches(&outcome(label, answers)))
        };
        let mut chosen = Vec::new();
        let mut places = Vec::with_capacity(answered.len());
        for answered in answered {
            places.push(match answered {
                Ok((photo, answers)) if is_chosen(&photo, &answers) => {
                    chosen.push(Ok(photo));
                    Ok(None)
                }
                Ok((photo, answers)) => Ok(Some((photo, Seen::PassedOver(answers)))),
                Err(error) => Err(error),
            });
        }
        let explained = images::explain_group(chosen, explainer)?;
        let mut explained = explained.into_iter();
        let mut next = || {
            let (photo, findings) = explained.next().expect("one for each that was chosen")?;
            Ok((photo, Seen::Explained(findings)))
        };
        Ok(places.into_iter().map(|place| place.and_then(|seen| seen.map_or_else(&mut next, Ok))).collect())
    }
}

/// What the exits said about an image of class `label`.
fn outcome(label: usize, answers: &[ExitPrediction]) -> ImageOutcome {
    let exit = |answer: &ExitPrediction| ExitOutcome {
        class: answer.class as u32,
        probability: answer.probabilities[answer.class],
        label_rank: answer.rank(label) as u32,
    };
    ImageOutcome { label, exits: answers.iter().map(exit).collect() }
}
