//! Evaluation of given maps: runs the model on images that the maps mask or perturb, in batches.

use super::adcc::complexity;
use super::curve::{Curve, replace_pixels, step_counts};
use super::metrics::{Metrics, RoadPoint};
use super::ranking::most_important_first;
use super::road::{Removal, remove_and_impute};
use super::settings::{CurveSettings, RoadSettings, Settings};
use crate::engine::device::Device;
use crate::explain::check_class;
use crate::explain::forward_batches::ForwardBatches;
use crate::explain::{Progress, Score};
use crate::model::Model;
use crate::util::parallel;
use crate::util::rng::{Normal, mix};
use crate::{Result, Shape};

/// A map to evaluate, with its image and class. It may come from any method or tool.
#[derive(Debug, Clone, Copy)]
pub struct MapSample<'a> {
    /// The image's index in its data set, which seeds its noise and ties.
    pub index: u64,
    /// The normalized image, (3, H, W).
    pub image: &'a [f32],
    /// The heatmap, (H, W) in [0, 1].
    pub heatmap: &'a [f32],
    /// The class that the map explains.
    pub class: usize,
}

/// Evaluator of given maps.
pub struct MapEvaluator {
    settings: Settings,
    image: Shape,
    classes: usize,
    threads: usize,
    runs: ForwardBatches,
}

impl MapEvaluator {
    /// An evaluator of maps of `exits`, ascending. A batch takes up to `max_memory` bytes; work outside of
    /// the model runs on `threads` threads.
    ///
    /// # Errors
    /// When a setting is invalid, the model lacks an exit, one image takes more than `max_memory`, or the device
    /// fails.
    pub fn new(
        model: &Model,
        exits: &[usize],
        settings: &Settings,
        device: &Device,
        max_memory: usize,
        threads: usize,
    ) -> Result<MapEvaluator> {
        settings.check()?;
        let runs = ForwardBatches::new(model, exits, device, max_memory, "faithfulness")?;
        Ok(MapEvaluator {
            settings: settings.clone(),
            image: model.input_shape(),
            classes: model.classes(),
            threads,
            runs,
        })
    }

    /// From now on, `progress` counts and stops the runs.
    pub(super) fn follow(&mut self, progress: &Progress) {
        self.runs.follow(progress);
    }

    /// Evaluates maps of exit `exit`: all metrics except coherency and agreement, which need more maps.
    /// `None` where a probability is not finite.
    ///
    /// # Errors
    /// When the exit is not one of the evaluator's, a class not one of the model's, or the device fails.
    ///
    /// # Panics
    /// When an image or a heatmap does not have the size of the model's input.
    pub fn evaluate(&mut self, exit: usize, samples: &[MapSample]) -> Result<Vec<Option<Metrics>>> {
        if samples.is_empty() {
            return Ok(Vec::new());
        }
        let shape = self.image;
        let fit = |s: &MapSample| s.image.len() == shape.len() && s.heatmap.len() == shape.plane();
        assert!(samples.iter().all(fit), "expected images and heatmaps of {shape}");
        samples.iter().try_for_each(|sample| check_class(sample.class, self.classes))?;
        let original =
            self.runs.logits(exit, samples.len(), |i, out| out.copy_from_slice(samples[i].image))?;
        let masked = self.runs.logits(exit, samples.len(), |i, out| {
            mask(samples[i].image, samples[i].heatmap, self.settings.zero, out);
        })?;
        let scores = |logits: &[Vec<f32>]| -> Vec<f64> {
            let pairs = logits.iter().zip(samples);
            pairs.map(|(logits, sample)| Score::Probability.of(logits, sample.class)).collect()
        };
        let (original, masked) = (scores(&original), scores(&masked));
        let curves = match self.settings.curves {
            Some(settings) => Some(self.curves(exit, samples, &original, settings)?),
            None => None,
        };
        let road = match self.settings.road.clone() {
            Some(settings) => Some(self.road(exit, samples, &settings)?),
            None => None,
        };
        let metrics = |i: usize| {
            let [deletion, insertion] = match &curves {
                Some(curves) => curves[i].clone().map(Some),
                None => [None, None],
            };
            Metrics {
                confidence: original[i],
                masked_confidence: masked[i],
                complexity: complexity(samples[i].heatmap),
                coherency: None,
                deletion,
                insertion,
                road: road.as_ref().map_or(Vec::new(), |road| road[i].clone()),
                agreement: None,
            }
        };
        let metrics = (0..samples.len()).map(metrics);
        Ok(metrics.map(|metrics| metrics.all_finite().then_some(metrics)).collect())
    }

    /// Deletion and insertion curve of each sample. `original` holds the probabilities of the images.
    fn curves(
        &mut self,
        exit: usize,
        samples: &[MapSample],
        original: &[f64],
        settings: CurveSettings,
    ) -> Result<Vec<[Curve; 2]>> {
        let plane = self.image.plane();
        let counts = step_counts(plane, settings.steps);
        let Settings { ties, seed, zero, .. } = self.settings;
        struct Prepared {
            ranking: Vec<u32>,
            baselines: [Vec<f32>; 2],
        }
        let image = self.image;
        let prepared = parallel::map(self.threads, samples, |sample| Prepared {
            ranking: most_important_first(sample.heatmap, ties, mix(seed ^ mix(sample.index))),
            baselines: [settings.deletion, settings.insertion].map(|b| b.of(sample.image, image, zero)),
        });
        // The image itself, with nothing deleted or everything inserted, has run already.
        let points = counts.len() - 1;
        let logits = self.runs.logits(exit, samples.len() * 2 * points, |i, out| {
            let (at, insertion, point) = (i / (2 * points), i / points % 2, i % points);
            let Prepared { ranking, baselines: [deleted, blank] } = &prepared[at];
            match insertion {
                0 => replace_pixels(samples[at].image, deleted, &ranking[..counts[point + 1]], plane, out),
                _ => replace_pixels(blank, samples[at].image, &ranking[..counts[point]], plane, out),
            }
        })?;
        let fractions: Vec<f64> = counts.iter().map(|&count| count as f64 / plane as f64).collect();
        let curve = |((sample, original), logits): ((&MapSample, &f64), &[Vec<f32>])| {
            let mut scores = logits.iter().map(|logits| Score::Probability.of(logits, sample.class));
            let original = [*original];
            let deletion: Vec<f64> = original.into_iter().chain(scores.by_ref().take(points)).collect();
            let insertion = scores.chain(original).collect();
            [deletion, insertion].map(|scores| Curve { fractions: fractions.clone(), scores })
        };
        Ok(samples.iter().zip(original).zip(logits.chunks_exact(2 * points)).map(curve).collect())
    }

    /// ROAD of each sample, at each percentile.
    fn road(
        &mut self,
        exit: usize,
        samples: &[MapSample],
        settings: &RoadSettings,
    ) -> Result<Vec<Vec<RoadPoint>>> {
        let Settings { ties, seed, .. } = self.settings;
        let image = self.image;
        let prepared = parallel::map(self.threads, samples, |sample| {
            let seed = mix(seed ^ mix(sample.index));
            let mut normal = Normal::new(seed);
            let noise: Vec<f32> = (0..image.len()).map(|_| (settings.noise * normal.next()) as f32).collect();
            (most_important_first(sample.heatmap, ties, seed), noise)
        });
        let removals = [Removal::MostRelevantFirst, Removal::LeastRelevantFirst];
        let of_sample =
            |at| settings.percentiles.iter().flat_map(move |&p| removals.map(|removal| (at, removal, p)));
        let all: Vec<_> = (0..samples.len()).flat_map(of_sample).collect();
        let mut scores = Vec::with_capacity(all.len());
        // Holds at most one batch of images.
        for chunk in all.chunks(self.runs.capacity()) {
            let images = parallel::map(self.threads, chunk, |&(at, removal, percentile)| {
                let (ranking, noise) = &prepared[at];
                remove_and_impute(samples[at].image, image, ranking, removal, percentile, noise)
            });
            let logits = self.runs.logits(exit, chunk.len(), |i, out| out.copy_from_slice(&images[i]))?;
            scores.extend(
                chunk.iter().zip(&logits).map(|((at, ..), l)| Score::Probability.of(l, samples[*at].class)),
            );
        }
        let points = |scores: &[f64]| {
            let pairs = settings.percentiles.iter().zip(scores.as_chunks().0);
            pairs
                .map(|(&percentile, &[most_relevant_first, least_relevant_first])| RoadPoint {
                    percentile,
                    most_relevant_first,
                    least_relevant_first,
                })
                .collect()
        };
        Ok(scores.chunks_exact(2 * settings.percentiles.len()).map(points).collect())
    }
}

/// Writes `image`, (3, H, W), multiplied by `heatmap`, (H, W), to `out`: zero + M (x - zero), with the
/// zero of each channel.
pub(super) fn mask(image: &[f32], heatmap: &[f32], zero: [f32; 3], out: &mut [f32]) {
    let plane = heatmap.len();
    let channels = image.chunks_exact(plane).zip(zero);
    for (out, (image, zero)) in out.chunks_exact_mut(plane).zip(channels) {
        for ((out, x), m) in out.iter_mut().zip(image).zip(heatmap) {
            *out = zero + m * (x - zero);
        }
    }
}
