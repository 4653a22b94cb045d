//! Evaluation of the maps of a request: explains images and evaluates the maps.

use super::adcc::coherency;
use super::map_evaluator::{MapEvaluator, MapSample, mask};
use super::metrics::{Agreement, MapEvaluation};
use super::saliency::SaliencyMap;
use super::settings::Settings;
use super::similarity::{SALIENT_SHARE, center_shift, salient_iou, spearman};
use crate::Result;
use crate::engine::device::Device;
use crate::engine::session::Session;
use crate::error::RequestError;
use crate::explain::{ExplainRequest, Explainer, Explanation, Method, Progress, Taps, Target};
use crate::imaging::heatmap::MapStatus;
use crate::model::Model;

/// Evaluator of the maps of an [`ExplainRequest`].
pub struct FaithfulnessEvaluator {
    zero: [f32; 3],
    /// The requested exits. The explainer also runs the last exit, for the agreement.
    exits: Vec<usize>,
    methods: Vec<Method>,
    explainer: Explainer,
    evaluator: MapEvaluator,
    /// Of the evaluator's runs.
    progress: Progress,
    /// Explainers of masked images for coherency, one for each exit and method, exits first; empty where
    /// coherency is skipped.
    coherency_explainers: Vec<Explainer>,
}

impl FaithfulnessEvaluator {
    /// An evaluator for batches of up to `batch` images. Work outside of the model runs on `threads`
    /// threads.
    ///
    /// # Errors
    /// As [`Explainer::new`] and [`MapEvaluator::new`]; and when `request` fuses maps, names taps, or has
    /// several classes per exit.
    pub fn new(
        model: &Model,
        request: &ExplainRequest,
        settings: &Settings,
        device: &Device,
        batch: usize,
        threads: usize,
    ) -> Result<FaithfulnessEvaluator> {
        if request.fusion.is_some() || request.taps != Taps::Exit || request.target.ranks() != 1 {
            return Err(RequestError::SeveralMaps.into());
        }
        let mut evaluator =
            MapEvaluator::new(model, &request.exits, settings, device, request.max_memory, threads)?;
        let progress = Progress::default();
        evaluator.follow(&progress);
        let mut all = request.clone();
        let last = model.exits.len();
        if !all.exits.contains(&last) {
            all.exits.push(last);
        }
        let methods: Vec<Method> = request.methods().collect();
        let of_row = |exit: usize, method: Method| {
            let one =
                ExplainRequest { exits: vec![exit], target: Target::Label, ..of_method(request, method) };
            Explainer::new(model, &one, device, batch)
        };
        let rows = request.exits.iter().flat_map(|&exit| methods.iter().map(move |&method| (exit, method)));
        let rows = rows.filter(|_| settings.coherency);
        Ok(FaithfulnessEvaluator {
            zero: settings.zero,
            exits: request.exits.clone(),
            explainer: Explainer::new(model, &all, device, batch)?,
            evaluator,
            progress,
            coherency_explainers: rows.map(|(exit, method)| of_row(exit, method)).collect::<Result<_>>()?,
            methods,
        })
    }

    /// The session that makes the maps.
    pub fn session(&self) -> &dyn Session {
        self.explainer.session()
    }

    /// Stops an evaluation before its next run, as [`Progress::stop`] does; for another thread. The evaluator is not to
    /// be used afterwards.
    pub fn stopper(&self) -> impl Fn() + Send + Sync + use<> {
        let explainers = self.coherency_explainers.iter().chain([&self.explainer]);
        let all: Vec<Progress> = explainers.map(Explainer::progress).chain([self.progress.clone()]).collect();
        move || all.iter().for_each(Progress::stop)
    }

    /// Explains normalized images, (N, 3, H, W), and evaluates the maps: for each image, a row for each
    /// exit and method, exits first. `labels` is as for [`Explainer::explain_labeled`]; `indices` are the images'
    /// indices in their data set, which seed noise and ties.
    ///
    /// # Errors
    /// As [`Explainer::explain_labeled`]; [`RequestError::Stopped`] after a call of [`FaithfulnessEvaluator::stopper`].
    ///
    /// # Panics
    /// When the number of indices is not that of images.
    pub fn evaluate(
        &mut self,
        images: &[f32],
        labels: &[usize],
        indices: &[u64],
    ) -> Result<Vec<Vec<MapEvaluation>>> {
        assert_eq!(images.len() / self.explainer.image().len(), indices.len(), "images and indices");
        let explanations = self.explainer.explain_labeled(images, labels)?;
        let mut table: Vec<Vec<MapEvaluation>> = explanations.iter().map(|found| self.rows(found)).collect();
        let len = images.len() / indices.len();
        for row in 0..self.exits.len() * self.methods.len() {
            let mut samples = Vec::with_capacity(indices.len());
            for ((image, &index), rows) in images.chunks_exact(len).zip(indices).zip(&table) {
                let MapEvaluation { target: class, status, saliency, .. } = &rows[row];
                if *status == MapStatus::Ok {
                    let heatmap = &saliency.heatmap.values;
                    samples.push(MapSample { index, image, heatmap, class: *class });
                }
            }
            let metrics = self.evaluator.evaluate(self.exits[row / self.methods.len()], &samples)?;
            self.progress.check()?;
            let coherencies = match self.coherency_explainers.get_mut(row) {
                Some(explainer) => coherencies(explainer, &samples, self.zero)?,
                None => vec![None; samples.len()],
            };
            let mut measured = metrics.into_iter().zip(coherencies);
            let last = explanations.iter().map(|found| found.last().expect("a request has an exit"));
            for (rows, last) in table.iter_mut().zip(last) {
                let evaluation = &mut rows[row];
                if evaluation.status != MapStatus::Ok {
                    continue;
                }
                let (metrics, coherency) = measured.next().expect("one for each sample");
                let Some(mut metrics) = metrics else {
                    evaluation.status = MapStatus::Nonfinite;
                    continue;
                };
                metrics.coherency = coherency;
                let of_last = &SaliencyMap::all(last)[row % self.methods.len()];
                let same_class = evaluation.target == last.target;
                metrics.agreement = agreement(&evaluation.saliency, of_last, same_class);
                evaluation.metrics = Some(metrics);
            }
        }
        Ok(table)
    }

    /// The rows of an image, without metrics.
    fn rows(&self, explanations: &[Explanation]) -> Vec<MapEvaluation> {
        let requested =
            explanations.iter().filter(|explanation| self.exits.contains(&explanation.prediction.exit));
        let of_exit = |explanation: &Explanation| {
            let (exit, target, class) =
                (explanation.prediction.exit, explanation.target, explanation.prediction.class);
            let evaluation = |(saliency, &method): (SaliencyMap, &Method)| {
                let status = saliency.heatmap.status;
                MapEvaluation { exit, method, target, class, saliency, status, metrics: None }
            };
            SaliencyMap::all(explanation).into_iter().zip(&self.methods).map(evaluation).collect::<Vec<_>>()
        };
        requested.flat_map(of_exit).collect()
    }
}

/// Coherency of each sample: `explainer` explains the masked images.
fn coherencies(explainer: &mut Explainer, samples: &[MapSample], zero: [f32; 3]) -> Result<Vec<Option<f64>>> {
    if samples.is_empty() {
        return Ok(Vec::new());
    }
    let len = samples[0].image.len();
    let mut masked = vec![0.0; samples.len() * len];
    for (sample, out) in samples.iter().zip(masked.chunks_exact_mut(len)) {
        mask(sample.image, sample.heatmap, zero, out);
    }
    let classes: Vec<usize> = samples.iter().map(|sample| sample.class).collect();
    let explanations = explainer.explain_labeled(&masked, &classes)?;
    let of_sample = |(sample, found): (&MapSample, &Vec<Explanation>)| {
        let heatmap = &SaliencyMap::all(&found[0])[0].heatmap;
        if heatmap.status == MapStatus::Ok { coherency(sample.heatmap, &heatmap.values) } else { None }
    };
    Ok(samples.iter().zip(&explanations).map(of_sample).collect())
}

/// Agreement of a map with the last exit's; `None` where that map is not usable.
fn agreement(map: &SaliencyMap, of_last: &SaliencyMap, same_class: bool) -> Option<Agreement> {
    let (a, b) = (&map.heatmap.values, &of_last.heatmap.values);
    if of_last.heatmap.status != MapStatus::Ok {
        return None;
    }
    Some(Agreement {
        same_class,
        spearman: spearman(a, b)?,
        iou: salient_iou(a, b, SALIENT_SHARE)?,
        center_shift: center_shift(a, b, map.heatmap.width)?,
    })
}

/// `request` with `method` as its only method.
fn of_method(request: &ExplainRequest, method: Method) -> ExplainRequest {
    let (maps, pixels) = match method {
        Method::Map(map) => (vec![map], Vec::new()),
        Method::Pixels(pixels) => (Vec::new(), vec![pixels]),
    };
    ExplainRequest { maps, pixels, ..request.clone() }
}
