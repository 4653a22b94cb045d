//! Accumulation of the metrics of one method and exit over the images.

use std::collections::BTreeMap;

use super::curve::Curve;
use super::metrics::{MapEvaluation, Metrics};
use super::pointing::Pointing;
use super::road::road_combined;
use super::summary::{AgreementSummary, MeanCurve, MetricSummary, PointingSummary, RoadMean};
use crate::imaging::heatmap::MapStatus;

/// A running mean; elements are summed in the order of the images.
#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    sum: f64,
    count: usize,
}

impl Mean {
    fn add(&mut self, x: f64) {
        self.sum += x;
        self.count += 1;
    }

    fn value(self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

/// Running means of the metrics of one method and exit; see [`MetricSummary`].
#[derive(Debug, Clone, Default)]
pub struct MetricAccumulator {
    /// Unmeasured images: empty, constant and nonfinite maps.
    statuses: [usize; 3],
    confidence: Mean,
    drop: Mean,
    absolute_drop: Mean,
    increase: Mean,
    gain: Mean,
    complexity: Mean,
    coherency: Mean,
    adcc: Mean,
    /// Areas under the deletion and the insertion curve.
    areas: [Mean; 2],
    /// Deletion and insertion.
    curves: [CurveSum; 2],
    /// Percentile, MoRF and LeRF.
    road: Vec<(f64, Mean, Mean)>,
    same_class: Mean,
    spearman: Mean,
    iou: Mean,
    center_shift: Mean,
    /// Whether objects are given.
    has_objects: bool,
    without_object: usize,
    /// Hit rate of each class.
    hits: BTreeMap<usize, Mean>,
    energy: Mean,
    object_share: Mean,
}

#[derive(Debug, Clone, Default)]
struct CurveSum {
    fractions: Vec<f64>,
    scores: Vec<Mean>,
}

impl CurveSum {
    fn add(&mut self, curve: &Curve) {
        self.fractions.clone_from(&curve.fractions);
        self.scores.resize(curve.scores.len(), Mean::default());
        self.scores.iter_mut().zip(&curve.scores).for_each(|(sum, &score)| sum.add(score));
    }

    fn mean(&self) -> Option<MeanCurve> {
        let scores: Vec<f64> = self.scores.iter().filter_map(|sum| sum.value()).collect();
        (!scores.is_empty()).then(|| MeanCurve { fractions: self.fractions.clone(), scores })
    }
}

impl MetricAccumulator {
    /// Adds the map of an image.
    pub fn add(&mut self, evaluation: &MapEvaluation) {
        match (evaluation.status, &evaluation.metrics) {
            (_, Some(metrics)) => self.add_metrics(metrics),
            (MapStatus::Empty, None) => self.statuses[0] += 1,
            (MapStatus::Constant, None) => self.statuses[1] += 1,
            (MapStatus::Ok | MapStatus::Nonfinite, None) => self.statuses[2] += 1,
        }
    }

    fn add_metrics(&mut self, metrics: &Metrics) {
        self.confidence.add(metrics.confidence);
        self.drop.add(metrics.drop());
        self.absolute_drop.add(metrics.absolute_drop());
        self.increase.add(f64::from(u8::from(metrics.increases())));
        self.gain.add(metrics.gain());
        self.complexity.add(metrics.complexity);
        metrics.coherency.iter().for_each(|&coherency| self.coherency.add(coherency));
        metrics.adcc().iter().for_each(|&adcc| self.adcc.add(adcc));
        for (i, curve) in [&metrics.deletion, &metrics.insertion].into_iter().enumerate() {
            if let Some(curve) = curve {
                self.areas[i].add(curve.area());
                self.curves[i].add(curve);
            }
        }
        self.road.resize(metrics.road.len(), Default::default());
        for ((percentile, most, least), point) in self.road.iter_mut().zip(&metrics.road) {
            *percentile = point.percentile;
            most.add(point.most_relevant_first);
            least.add(point.least_relevant_first);
        }
        if let Some(agreement) = metrics.agreement {
            self.same_class.add(f64::from(u8::from(agreement.same_class)));
            self.spearman.add(agreement.spearman);
            self.iou.add(agreement.iou);
            self.center_shift.add(agreement.center_shift);
        }
    }

    /// Adds the pointing games of a measured map of class `class`; `None` where the image has no object of
    /// the class.
    pub fn add_pointing(&mut self, class: usize, pointing: Option<Pointing>) {
        self.has_objects = true;
        let Some(pointing) = pointing else {
            self.without_object += 1;
            return;
        };
        self.hits.entry(class).or_default().add(f64::from(u8::from(pointing.hit)));
        self.energy.add(pointing.energy);
        self.object_share.add(pointing.object_share);
    }

    /// The means over the images added so far.
    pub fn summary(&self, method: &'static str, exit: usize) -> MetricSummary {
        let road_curve: Vec<RoadMean> = self.road_curve();
        let mean = |of: fn(&RoadMean) -> f64| {
            let points = road_curve.len();
            (points > 0).then(|| road_curve.iter().map(of).sum::<f64>() / points as f64)
        };
        let [empty, constant, nonfinite] = self.statuses;
        MetricSummary {
            method,
            exit,
            images: self.confidence.count,
            empty,
            constant,
            nonfinite,
            confidence: self.confidence.value(),
            average_drop: self.drop.value(),
            absolute_drop: self.absolute_drop.value(),
            increase: self.increase.value(),
            average_gain: self.gain.value(),
            complexity: self.complexity.value(),
            coherency: self.coherency.value(),
            coherency_images: self.coherency.count,
            adcc: self.adcc.value(),
            deletion: self.areas[0].value(),
            insertion: self.areas[1].value(),
            road_morf: mean(|p| p.morf),
            road_lerf: mean(|p| p.lerf),
            road: mean(|p| p.combined),
            agreement: AgreementSummary {
                images: self.spearman.count,
                same_class: self.same_class.value(),
                spearman: self.spearman.value(),
                iou: self.iou.value(),
                shift: self.center_shift.value(),
            },
            pointing: self.has_objects.then(|| self.pointing()),
            deletion_curve: self.curves[0].mean(),
            insertion_curve: self.curves[1].mean(),
            road_curve,
        }
    }

    fn road_curve(&self) -> Vec<RoadMean> {
        let point = |(percentile, most, least): &(f64, Mean, Mean)| {
            let (morf, lerf) = (most.value()?, least.value()?);
            Some(RoadMean { percentile: *percentile, morf, lerf, combined: road_combined(morf, lerf) })
        };
        self.road.iter().filter_map(point).collect()
    }

    fn pointing(&self) -> PointingSummary {
        let (mut by_class, mut all) = (Mean::default(), Mean::default());
        for hits in self.hits.values() {
            by_class.add(hits.sum / hits.count as f64);
            all = Mean { sum: all.sum + hits.sum, count: all.count + hits.count };
        }
        PointingSummary {
            images: all.count,
            without_object: self.without_object,
            pointing_game: by_class.value(),
            hits: all.value(),
            energy: self.energy.value(),
            object_share: self.object_share.value(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::{MapMethod, Method};
    use crate::faithfulness::{Agreement, RoadPoint, SaliencyMap};
    use crate::imaging::heatmap::Heatmap;

    fn evaluation(status: MapStatus, drop: f64, coherency: Option<f64>) -> MapEvaluation {
        let point = |percentile, most_relevant_first| RoadPoint {
            percentile,
            most_relevant_first,
            least_relevant_first: 1.0,
        };
        let curve = |last: f64| Some(Curve { fractions: vec![0.0, 1.0], scores: vec![1.0, last] });
        let metrics = Metrics {
            confidence: 1.0,
            masked_confidence: 1.0 - drop,
            complexity: 0.5,
            coherency,
            deletion: curve(drop),
            insertion: None,
            road: vec![point(20.0, drop), point(80.0, 0.0)],
            agreement: coherency.map(|spearman| Agreement {
                same_class: drop > 0.0,
                spearman,
                iou: 0.5,
                center_shift: 2.0,
            }),
        };
        MapEvaluation {
            exit: 3,
            method: Method::Map(MapMethod::GradCam),
            target: 1,
            class: 1,
            saliency: SaliencyMap {
                heatmap: Heatmap::new(&[0.0, 1.0], (1, 2), (1, 2)),
                signed: vec![0.0; 2],
            },
            status,
            metrics: (status == MapStatus::Ok).then_some(metrics),
        }
    }

    #[test]
    fn averages_measured_images_and_counts_the_others() {
        let mut accumulator = MetricAccumulator::default();
        accumulator.add(&evaluation(MapStatus::Ok, 0.5, Some(1.0)));
        accumulator.add(&evaluation(MapStatus::Empty, 0.0, None));
        accumulator.add(&evaluation(MapStatus::Ok, 0.0, None));
        accumulator.add(&evaluation(MapStatus::Nonfinite, 0.0, None));
        let found = accumulator.summary("grad-cam", 3);
        assert_eq!((found.images, found.empty, found.constant, found.nonfinite), (2, 1, 0, 1));
        assert_eq!((found.average_drop, found.deletion), (Some(0.25), Some((0.75 + 0.5) / 2.0)));
        assert_eq!((found.coherency, found.coherency_images), (Some(1.0), 1));
        // 3 / (1 / 1 + 1 / 0.5 + 1 / 0.5); the other image has none.
        assert_eq!(found.adcc, Some(0.6));
        assert_eq!((found.agreement.images, found.agreement.same_class), (1, Some(1.0)));
        assert_eq!(found.road_curve.iter().map(|p| p.morf).collect::<Vec<_>>(), [0.25, 0.0]);
        assert_eq!((found.road_morf, found.road_lerf, found.road), (Some(0.125), Some(1.0), Some(0.4375)));
        assert_eq!((found.insertion, found.pointing), (None, None));
        assert_eq!(found.deletion_curve.unwrap().scores, [1.0, 0.25]);
    }

    #[test]
    fn without_images_every_mean_is_null() {
        let found = MetricAccumulator::default().summary("grad-cam", 1);
        let text = serde_json::to_string(&found).unwrap();
        assert!(text.contains("\"average_drop\":null") && text.contains("\"road_curve\":[]"), "{text}");
    }

    #[test]
    fn the_pointing_game_averages_over_classes() {
        let mut accumulator = MetricAccumulator::default();
        let pointing = |hit| Some(Pointing { hit, energy: 0.5, object_share: 0.25 });
        for (class, hit) in [(0, true), (0, true), (0, true), (0, false), (7, false)] {
            accumulator.add_pointing(class, pointing(hit));
        }
        accumulator.add_pointing(3, None);
        let found = accumulator.summary("grad-cam", 1).pointing.unwrap();
        assert_eq!((found.pointing_game, found.hits), (Some(0.375), Some(0.6)));
        assert_eq!((found.images, found.without_object, found.energy), (5, 1, Some(0.5)));
    }
}
