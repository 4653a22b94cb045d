//! The cascading randomisation check (Adebayo et al. 2018, arXiv 1810.03292): does a map change
//! when the network forgets what it learned?
//!
//! A map that stays alike though the weights are drawn anew says nothing about what the network
//! learned; it may be about the image's edges.

use super::saliency::Saliency;
use super::{similarity, ssim};
use crate::Result;
use crate::engine::device::Device;
use crate::explain::{ExplainRequest, Explainer, Explanation, Target};
use crate::imaging::heatmap::MapStatus;
use crate::model::{LayerGroup, Model};

/// How alike a method's maps are before and after a stage of the cascade, in the mean over the
/// images; 1 for equal maps.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Similarity {
    /// The exit, from 1.
    pub exit: usize,
    /// The method's name.
    pub method: &'static str,
    /// How many stages are drawn anew; the last of them is `stage`.
    pub drawn: usize,
    /// The stage that is drawn anew besides those before it.
    pub stage: String,
    /// Images compared.
    pub images: usize,
    /// Images left out because one of the maps is the same everywhere or not finite.
    pub left_out: usize,
    /// Spearman's correlation of the maps before their ReLU.
    pub spearman_signed: Option<f64>,
    /// The same of their magnitudes.
    pub spearman_absolute: Option<f64>,
    /// Structural similarity of the maps before their ReLU, each divided by its largest magnitude.
    pub ssim_signed: Option<f64>,
    /// The same of their magnitudes.
    pub ssim_absolute: Option<f64>,
}

/// What the check is about and how it is made.
pub struct Cascade<'a> {
    /// The trained model.
    pub model: &'a Model,
    /// The exits and methods; the class is the one that the trained network's maps explain.
    pub study: &'a ExplainRequest,
    /// Where it runs.
    pub device: &'a Device,
    /// Images in a batch.
    pub batch: usize,
    /// The same seed draws the same weights.
    pub seed: u64,
}

impl Cascade<'_> {
    /// How many networks [`Cascade::run`] draws.
    pub fn networks(&self) -> usize {
        self.study.exits.iter().map(|&exit| LayerGroup::cascade(exit).len()).sum()
    }

    /// The similarities of every exit, stage and method on normalised images, (N, 3, H, W); `labels`
    /// as for [`Explainer::explain_labeled`]. `done` is called after each network.
    ///
    /// # Errors
    /// As [`Explainer::new`] and [`Explainer::explain_labeled`].
    pub fn run(&self, images: &[f32], labels: &[usize], mut done: impl FnMut()) -> Result<Vec<Similarity>> {
        let request = ExplainRequest { signed: true, ..self.study.clone() };
        let mut examiner = Explainer::new(self.model, &request, self.device, self.batch)?;
        let trained = examiner.explain_labeled(images, labels)?;
        let mut all = Vec::new();
        for (at, &exit) in self.study.exits.iter().enumerate() {
            let before: Vec<&Explanation> = trained.iter().map(|findings| &findings[at]).collect();
            let classes: Vec<usize> = before.iter().map(|finding| finding.target).collect();
            let study = ExplainRequest { exits: vec![exit], target: Target::Label, ..request.clone() };
            let stages = LayerGroup::cascade(exit);
            for drawn in 1..=stages.len() {
                let model = self.model.reinitialized(&stages[..drawn], self.seed);
                let mut examiner = Explainer::new(&model, &study, self.device, self.batch)?;
                let after = examiner.explain_labeled(images, &classes)?;
                let after: Vec<&Explanation> = after.iter().map(|findings| &findings[0]).collect();
                let mut found = similarities(&before, &after);
                for similarity in &mut found {
                    (similarity.drawn, similarity.stage) = (drawn, stages[drawn - 1].name());
                }
                all.extend(found);
                done();
            }
        }
        Ok(all)
    }
}

/// The similarity of each method's maps of the same images, `before` and `after`.
fn similarities(before: &[&Explanation], after: &[&Explanation]) -> Vec<Similarity> {
    let methods = before[0].maps.iter().map(|map| map.method.name());
    let methods = methods.chain(before[0].pixels.iter().map(|pixels| pixels.method.name()));
    let maps = |findings: &[&Explanation]| findings.iter().map(|f| Saliency::all(f)).collect::<Vec<_>>();
    let (before_maps, after_maps) = (maps(before), maps(after));
    methods
        .enumerate()
        .map(|(i, method)| {
            let pairs = before_maps.iter().zip(&after_maps).map(|(a, b)| (&a[i], &b[i]));
            let alike: Vec<[Option<f64>; 4]> = pairs.filter_map(|(a, b)| compare(a, b)).collect();
            let mean = |of: usize| {
                let numbers: Vec<f64> = alike.iter().filter_map(|numbers| numbers[of]).collect();
                (!numbers.is_empty()).then(|| numbers.iter().sum::<f64>() / numbers.len() as f64)
            };
            Similarity {
                exit: before[0].prediction.exit,
                method,
                drawn: 0,
                stage: String::new(),
                images: alike.len(),
                left_out: before.len() - alike.len(),
                spearman_signed: mean(0),
                spearman_absolute: mean(1),
                ssim_signed: mean(2),
                ssim_absolute: mean(3),
            }
        })
        .collect()
}

/// Spearman signed and absolute, SSIM signed and absolute; `None` where a map is the same
/// everywhere, signs apart, or not finite.
fn compare(a: &Saliency, b: &Saliency) -> Option<[Option<f64>; 4]> {
    if [a, b].iter().any(|saliency| saliency.heat.status == MapStatus::Nonfinite) {
        return None;
    }
    let size = (a.heat.height, a.heat.width);
    let signed = [a, b].map(|saliency| scaled(&saliency.signed));
    let absolute = [&signed[0], &signed[1]].map(|map| map.iter().map(|x| x.abs()).collect::<Vec<_>>());
    let of_absolute = similarity::spearman(&absolute[0], &absolute[1])?;
    Some([
        similarity::spearman(&signed[0], &signed[1]),
        Some(of_absolute),
        ssim::ssim(&signed[0], &signed[1], size, 2.0),
        ssim::ssim(&absolute[0], &absolute[1], size, 1.0),
    ])
}

/// Divided by the largest magnitude.
fn scaled(map: &[f32]) -> Vec<f32> {
    let largest = map.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    if largest > 0.0 { map.iter().map(|x| x / largest).collect() } else { map.to_vec() }
}
