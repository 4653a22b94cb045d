//! Cascading randomization (Adebayo et al. 2018, arXiv 1810.03292): a sanity check that reinitializes
//! layers from the output to the input and compares the maps with those of the trained model.
//!
//! A map that stays similar does not depend on what the model learned; it may only show the edges of the
//! image.

use super::saliency::SaliencyMap;
use super::similarity::spearman;
use super::ssim::structural_similarity;
use crate::engine::device::Device;
use crate::error::RequestError;
use crate::explain::{ExplainRequest, Explainer, Explanation, Target};
use crate::imaging::heatmap::MapStatus;
use crate::model::{LayerGroup, Model};
use crate::{Error, Result};

/// Similarity of a method's maps of the trained model and of the model after a step of the cascade,
/// averaged over the images; 1 for equal maps. Field names are JSON keys.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct CascadeSimilarity {
    /// The exit, from 1.
    pub exit: usize,
    /// The method's name.
    pub method: &'static str,
    /// Number of reinitialized layer groups, of which `stage` is the last.
    pub drawn: usize,
    /// Name of the last reinitialized layer group: see [`LayerGroup::name`].
    pub stage: String,
    /// Compared images.
    pub images: usize,
    /// Images left out because one of the maps is constant or not finite.
    pub left_out: usize,
    /// Spearman's correlation of the signed maps.
    pub spearman_signed: Option<f64>,
    /// Spearman's correlation of the magnitudes.
    pub spearman_absolute: Option<f64>,
    /// Structural similarity of the signed maps, each divided by its largest magnitude.
    pub ssim_signed: Option<f64>,
    /// Structural similarity of the magnitudes.
    pub ssim_absolute: Option<f64>,
}

/// Configuration of the check.
pub struct CascadingRandomization<'a> {
    /// The trained model.
    pub model: &'a Model,
    /// Exits and methods. Every map explains the class that the trained model's map explains.
    pub request: &'a ExplainRequest,
    /// Device that runs the models.
    pub device: &'a Device,
    /// Images per batch.
    pub batch: usize,
    /// Seed of the random weights.
    pub seed: u64,
}

impl CascadingRandomization<'_> {
    /// Number of models that [`CascadingRandomization::run`] makes.
    pub fn models(&self) -> usize {
        // A head, and a block for each exit up to it.
        self.request.exits.iter().fold(0, |sum: usize, exit| sum.saturating_add(*exit).saturating_add(1))
    }

    /// The similarities for each exit, step and method on normalized images, (N, 3, H, W); `labels` is as
    /// for [`Explainer::explain_labeled`]. After each batch, `progress` is called with the count of models that are
    /// done; its error ends the check.
    ///
    /// # Errors
    /// As [`Explainer::new`] and [`Explainer::explain_labeled`], and those of `progress`.
    pub fn run<E: From<Error>>(
        &self,
        images: &[f32],
        labels: &[usize],
        mut progress: impl FnMut(usize) -> Result<(), E>,
    ) -> Result<Vec<CascadeSimilarity>, E> {
        // Signed maps are compared.
        let request = ExplainRequest { signed: true, ..self.request.clone() };
        let mut explainer = Explainer::new(self.model, &request, self.device, self.batch)?;
        let shape = self.model.input_shape();
        if images.is_empty() || !images.len().is_multiple_of(shape.len()) {
            return Err(Error::from(RequestError::ElementCount { given: images.len(), shape }).into());
        }
        let (count, len) = (images.len() / shape.len(), self.batch.saturating_mul(shape.len()));
        if request.target == Target::Label && !labels.is_empty() && labels.len() != count {
            let error = RequestError::LabelCount { given: labels.len(), images: count };
            return Err(Error::from(error).into());
        }
        let mut trained = Vec::with_capacity(count);
        for images in images.chunks(len) {
            let first = trained.len();
            let labels = labels.get(first..).unwrap_or_default();
            let labels = &labels[..labels.len().min(self.batch)];
            let found = explainer.explain_labeled(images, labels);
            trained.append(&mut found.map_err(|error| shifted(error, first))?);
            progress(0)?;
        }
        let (mut all, mut models) = (Vec::new(), 0);
        for (at, &exit) in self.request.exits.iter().enumerate() {
            let before: Vec<&Explanation> = trained.iter().map(|explanations| &explanations[at]).collect();
            let classes: Vec<usize> = before.iter().map(|explanation| explanation.target).collect();
            let request = ExplainRequest { exits: vec![exit], target: Target::Label, ..request.clone() };
            let groups: Vec<LayerGroup> = LayerGroup::cascade(exit).collect();
            for drawn in 1..=groups.len() {
                let model = self.model.reinitialized(&groups[..drawn], self.seed);
                let mut explainer = Explainer::new(&model, &request, self.device, self.batch)?;
                let mut compared = Vec::new();
                let batches = before.chunks(self.batch).zip(classes.chunks(self.batch));
                for (images, (before, classes)) in images.chunks(len).zip(batches) {
                    let after = explainer.explain_labeled(images, classes)?;
                    let pairs = before.iter().zip(&after);
                    compared.extend(pairs.map(|(before, after)| compare_all(before, &after[0])));
                    progress(models)?;
                }
                let mut found = similarities(&before, &compared);
                for similarity in &mut found {
                    (similarity.drawn, similarity.stage) = (drawn, groups[drawn - 1].name());
                }
                all.extend(found);
                models += 1;
                progress(models)?;
            }
        }
        Ok(all)
    }
}

/// An error about an image of a batch, for the images of which `first` is the batch's first.
fn shifted(error: Error, first: usize) -> Error {
    match error {
        Error::Request(RequestError::NonFinite { image, element, value }) => {
            RequestError::NonFinite { image: first + image, element, value }.into()
        }
        other => other,
    }
}

/// What [`compare`] finds for each method's maps of one image, `before` and `after` reinitialization.
fn compare_all(before: &Explanation, after: &Explanation) -> Vec<Option<[Option<f64>; 4]>> {
    let pairs = SaliencyMap::all(before).into_iter().zip(SaliencyMap::all(after));
    pairs.map(|(before, after)| compare(&before, &after)).collect()
}

/// Similarity of each method's maps of the same images, from [`compare_all`] of each.
fn similarities(before: &[&Explanation], images: &[Vec<Option<[Option<f64>; 4]>>]) -> Vec<CascadeSimilarity> {
    let methods = before[0].maps.iter().map(|map| map.method.name());
    let methods = methods.chain(before[0].pixels.iter().map(|pixels| pixels.method.name()));
    methods
        .enumerate()
        .map(|(i, method)| {
            let compared: Vec<[Option<f64>; 4]> = images.iter().filter_map(|methods| methods[i]).collect();
            let mean = |of: usize| {
                let values: Vec<f64> = compared.iter().filter_map(|values| values[of]).collect();
                (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
            };
            CascadeSimilarity {
                exit: before[0].prediction.exit,
                method,
                drawn: 0,
                stage: String::new(),
                images: compared.len(),
                left_out: before.len() - compared.len(),
                spearman_signed: mean(0),
                spearman_absolute: mean(1),
                ssim_signed: mean(2),
                ssim_absolute: mean(3),
            }
        })
        .collect()
}

/// Spearman's correlation, signed and absolute, and SSIM, signed and absolute; `None` where the magnitude
/// of a map is constant or a map is not finite.
fn compare(a: &SaliencyMap, b: &SaliencyMap) -> Option<[Option<f64>; 4]> {
    if [a, b].iter().any(|saliency| saliency.heatmap.status == MapStatus::Nonfinite) {
        return None;
    }
    let size = (a.heatmap.height, a.heatmap.width);
    let signed = [a, b].map(|saliency| scaled(&saliency.signed));
    let absolute = [&signed[0], &signed[1]].map(|map| map.iter().map(|x| x.abs()).collect::<Vec<_>>());
    let spearman_absolute = spearman(&absolute[0], &absolute[1])?;
    Some([
        spearman(&signed[0], &signed[1]),
        Some(spearman_absolute),
        structural_similarity(&signed[0], &signed[1], size, 2.0),
        structural_similarity(&absolute[0], &absolute[1], size, 1.0),
    ])
}

/// The map divided by its largest magnitude.
fn scaled(map: &[f32]) -> Vec<f32> {
    let largest = map.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
    if largest > 0.0 { map.iter().map(|x| x / largest).collect() } else { map.to_vec() }
}
