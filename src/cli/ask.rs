//! The network, asked in the fastest way that answers: what a [`ExplainRequest`] wants to know about images,
//! as findings.

use crate::engine::plan::Order;
use crate::explain::{
    Classifier, ExplainRequest, Explainer, Explanation, Fusion, MapMethod, Question, Score, Smoothing, Taps,
    Target,
};
use crate::{Error, Result};

use super::model::LoadedModel;

/// A study, planned and loaded.
pub struct Asker {
    way: Way,
    target: Target,
    /// (H, W) of the network's input.
    input: (usize, usize),
}

enum Way {
    /// Grad-CAM at each exit's own tap, and no more.
    Classifier(Classifier),
    /// Everything else.
    Explainer(Box<Explainer>),
}

impl Asker {
    /// Plans `study` for up to `batch` images at a time.
    ///
    /// # Errors
    /// When the network cannot be asked this, or the device fails.
    pub fn new(model: &LoadedModel, study: &ExplainRequest, batch: usize) -> Result<Asker> {
        let (network, device) = (&model.network, &model.device);
        let way = if is_plain(study) {
            let question = Question { exits: study.exits.clone(), maps: true, order: Order::Depth };
            Way::Classifier(Classifier::new(network, &question, device, batch)?)
        } else {
            Way::Explainer(Box::new(Explainer::new(network, study, device, batch)?))
        };
        Ok(Asker { way, target: study.target, input: (model.input(), model.input()) })
    }

    /// What the device had to do differently than asked.
    pub fn notes(&self) -> &[String] {
        match &self.way {
            Way::Classifier(explainer) => explainer.session().notes(),
            Way::Explainer(examiner) => examiner.session().notes(),
        }
    }

    /// What is found in normalised images, (N, 3, H, W): for each, its findings by exit, then by
    /// rank. `labels` has a class for each image of which one is known; [`Target::Label`] needs all.
    ///
    /// # Errors
    /// When a label is needed and not there, or the device fails.
    pub fn ask(&mut self, images: &[f32], labels: &[Option<usize>]) -> Result<Vec<Vec<Explanation>>> {
        let labels: Vec<usize> = match self.target {
            Target::Label => {
                let known: Option<_> = labels.iter().copied().collect();
                known.ok_or_else(|| Error::usage("class 'label': an image has no label"))?
            }
            _ => Vec::new(),
        };
        let input = self.input;
        match &mut self.way {
            Way::Explainer(examiner) => examiner.examine(images, &labels),
            Way::Classifier(explainer) => {
                let answers = match self.target {
                    Target::Label => explainer.explain_each(images, &labels)?,
                    Target::Class(class) => explainer.explain(images, Some(class))?,
                    _ => explainer.explain(images, None)?,
                };
                let found =
                    |answers: Vec<_>| answers.into_iter().map(|a| Explanation::of(a, input)).collect();
                Ok(answers.into_iter().map(found).collect())
            }
        }
    }
}

/// Whether `study` is what an [`Classifier`] answers.
fn is_plain(study: &ExplainRequest) -> bool {
    let ExplainRequest { taps, maps, pixels, target, score, fusion, smoothing, .. } = study;
    let asks_plainly = maps == &[MapMethod::GradCam] && pixels.is_empty() && *taps == Taps::Exit;
    let target_is_given = matches!(target, Target::Predicted | Target::Label | Target::Class(_));
    asks_plainly
        && target_is_given
        && (*score, *fusion, *smoothing) == (Score::Logit, None::<Fusion>, Smoothing::None)
}
