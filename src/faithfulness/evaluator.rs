//! Measures given maps: runs the network on images changed by them, in batches.

use super::assessment::{Measures, RoadPoint};
use super::complexity::complexity;
use super::curve::{Curve, counts, exchange};
use super::ranking::most_important_first;
use super::road::{Removal, without};
use super::settings::{CurveSettings, RoadSettings, Settings};
use crate::engine::device::Device;
use crate::explain::Score;
use crate::explain::forward_batches::ForwardBatches;
use crate::model::Model;
use crate::util::parallel;
use crate::util::rng::{Normal, mix};
use crate::{Result, Shape};

/// A map to be measured, from wherever it comes.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The image's number in its data set, with which its noise is drawn.
    pub number: u64,
    /// The normalised image, (3, H, W).
    pub image: &'a [f32],
    /// (H, W) in [0, 1].
    pub heat: &'a [f32],
    /// The class that the map explains.
    pub class: usize,
}

/// What asks the network about images changed by maps.
pub struct Measurer {
    settings: Settings,
    image: Shape,
    threads: usize,
    runs: ForwardBatches,
}

impl Measurer {
    /// For maps of `exits`, ascending; a batch takes up to `max_memory` bytes. What needs no network
    /// runs on `threads` threads.
    ///
    /// # Errors
    /// When a setting makes no sense, one image takes more memory, or the device fails.
    pub fn new(
        model: &Model,
        exits: &[usize],
        settings: &Settings,
        device: &Device,
        (max_memory, threads): (usize, usize),
    ) -> Result<Measurer> {
        settings.check()?;
        Ok(Measurer {
            settings: settings.clone(),
            image: model.input_shape(),
            threads,
            runs: ForwardBatches::new(model, exits, device, max_memory, "faithfulness")?,
        })
    }

    /// Measures maps of exit `exit`, all but their coherency and agreement; `None` where a
    /// probability is not finite.
    ///
    /// # Errors
    /// When the device fails.
    ///
    /// # Panics
    /// When a subject's numbers are not those of an image and a map of the network's input.
    pub fn measure(&mut self, exit: usize, subjects: &[Subject]) -> Result<Vec<Option<Measures>>> {
        if subjects.is_empty() {
            return Ok(Vec::new());
        }
        let shape = self.image;
        let fit = |s: &Subject| s.image.len() == shape.len() && s.heat.len() == shape.plane();
        assert!(subjects.iter().all(fit), "images of {shape}");
        let whole =
            self.runs.logits(exit, subjects.len(), |i, out| out.copy_from_slice(subjects[i].image))?;
        let masked = self.runs.logits(exit, subjects.len(), |i, out| {
            mask(subjects[i].image, subjects[i].heat, self.settings.zero, out);
        })?;
        let scores = |logits: &[Vec<f32>]| -> Vec<f64> {
            let pairs = logits.iter().zip(subjects);
            pairs.map(|(logits, subject)| Score::Probability.of(logits, subject.class)).collect()
        };
        let (whole, masked) = (scores(&whole), scores(&masked));
        let curves = match self.settings.curves {
            Some(settings) => Some(self.curves(exit, subjects, &whole, settings)?),
            None => None,
        };
        let road = match self.settings.road.clone() {
            Some(settings) => Some(self.road(exit, subjects, &settings)?),
            None => None,
        };
        let measured = |i: usize| {
            let [deletion, insertion] = match &curves {
                Some(curves) => curves[i].clone().map(Some),
                None => [None, None],
            };
            Measures {
                confidence: whole[i],
                masked_confidence: masked[i],
                complexity: complexity(subjects[i].heat),
                coherency: None,
                deletion,
                insertion,
                road: road.as_ref().map_or(Vec::new(), |road| road[i].clone()),
                agreement: None,
            }
        };
        let measures = (0..subjects.len()).map(measured);
        Ok(measures.map(|measures| measures.all_finite().then_some(measures)).collect())
    }

    /// Deletion and insertion of each subject.
    fn curves(
        &mut self,
        exit: usize,
        subjects: &[Subject],
        whole: &[f64],
        settings: CurveSettings,
    ) -> Result<Vec<[Curve; 2]>> {
        let plane = self.image.plane();
        let counts = counts(plane, settings.steps);
        let Settings { ties, seed, zero, .. } = self.settings;
        struct Prepared {
            ranking: Vec<u32>,
            baselines: [Vec<f32>; 2],
        }
        let image = self.image;
        let prepared = parallel::map(self.threads, subjects, |subject| Prepared {
            ranking: most_important_first(subject.heat, ties, mix(seed ^ mix(subject.number))),
            baselines: [settings.deletion, settings.insertion].map(|b| b.of(subject.image, image, zero)),
        });
        // Nothing deleted, or all inserted, is the image itself.
        let points = counts.len() - 1;
        let logits = self.runs.logits(exit, subjects.len() * 2 * points, |i, out| {
            let (job, insert, point) = (i / (2 * points), i / points % 2, i % points);
            let Prepared { ranking, baselines: [deleted, blank] } = &prepared[job];
            match insert {
                0 => exchange(subjects[job].image, deleted, &ranking[..counts[point + 1]], plane, out),
                _ => exchange(blank, subjects[job].image, &ranking[..counts[point]], plane, out),
            }
        })?;
        let fractions: Vec<f64> = counts.iter().map(|&count| count as f64 / plane as f64).collect();
        let curve = |((subject, whole), logits): ((&Subject, &f64), &[Vec<f32>])| {
            let mut scores = logits.iter().map(|logits| Score::Probability.of(logits, subject.class));
            let whole = [*whole];
            let deletion: Vec<f64> = whole.into_iter().chain(scores.by_ref().take(points)).collect();
            let insertion = scores.chain(whole).collect();
            [deletion, insertion].map(|scores| Curve { fractions: fractions.clone(), scores })
        };
        Ok(subjects.iter().zip(whole).zip(logits.chunks_exact(2 * points)).map(curve).collect())
    }

    /// ROAD of each subject.
    fn road(
        &mut self,
        exit: usize,
        subjects: &[Subject],
        settings: &RoadSettings,
    ) -> Result<Vec<Vec<RoadPoint>>> {
        let Settings { ties, seed, .. } = self.settings;
        let image = self.image;
        let prepared = parallel::map(self.threads, subjects, |subject| {
            let seed = mix(seed ^ mix(subject.number));
            let mut normal = Normal::new(seed);
            let noise: Vec<f32> = (0..image.len()).map(|_| (settings.noise * normal.next()) as f32).collect();
            (most_important_first(subject.heat, ties, seed), noise)
        });
        let removals = [Removal::MostRelevantFirst, Removal::LeastRelevantFirst];
        let percentiles = || settings.percentiles.iter().flat_map(|&p| removals.map(|removal| (removal, p)));
        let all: Vec<_> =
            (0..subjects.len()).flat_map(|job| percentiles().map(move |what| (job, what))).collect();
        let mut scores = Vec::with_capacity(all.len());
        // No more than one batch of images is held.
        for some in all.chunks(self.runs.capacity()) {
            let images = parallel::map(self.threads, some, |&(job, what)| {
                let (ranking, noise) = &prepared[job];
                without(subjects[job].image, image, ranking, what, noise)
            });
            let logits = self.runs.logits(exit, some.len(), |i, out| out.copy_from_slice(&images[i]))?;
            scores.extend(
                some.iter().zip(&logits).map(|((job, _), l)| Score::Probability.of(l, subjects[*job].class)),
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

/// Writes `image` times `heat`, where `zero` counts as zero.
pub(crate) fn mask(image: &[f32], heat: &[f32], zero: [f32; 3], out: &mut [f32]) {
    let plane = heat.len();
    let channels = image.chunks_exact(plane).zip(zero);
    for (out, (image, zero)) in out.chunks_exact_mut(plane).zip(channels) {
        for ((out, x), m) in out.iter_mut().zip(image).zip(heat) {
            *out = zero + m * (x - zero);
        }
    }
}

impl Measures {
    fn all_finite(&self) -> bool {
        let curves = self.deletion.iter().chain(&self.insertion).flat_map(|curve| &curve.scores);
        let road = self.road.iter().flat_map(|p| [&p.most_relevant_first, &p.least_relevant_first]);
        let rest = [&self.confidence, &self.masked_confidence, &self.complexity];
        curves.chain(road).chain(rest).all(|x| x.is_finite())
    }
}
