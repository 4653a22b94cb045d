//! A [`Summary`] in the making: images are added one by one, in their order.

use std::collections::BTreeMap;

use super::assessment::{Assessment, Measures};
use super::curve::Curve;
use super::road;
use super::summary::{AgreementSummary, MeanCurve, PointingSummary, RoadMean, Summary};
use crate::imaging::heatmap::MapStatus;

/// How one map points at an object of its class.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pointing {
    /// See [`super::pointing::hits`].
    pub hit: bool,
    /// See [`super::energy_pointing::energy`].
    pub energy: f64,
    /// See [`super::energy_pointing::object_share`].
    pub object_share: f64,
}

/// A running mean, in the order of the images.
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

/// A [`Summary`] in the making.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    statuses: [usize; 3],
    confidence: Mean,
    drop: Mean,
    absolute_drop: Mean,
    increase: Mean,
    gain: Mean,
    complexity: Mean,
    coherency: Mean,
    adcc: Mean,
    areas: [Mean; 2],
    curves: [CurveSum; 2],
    road: Vec<(f64, Mean, Mean)>,
    same_class: Mean,
    spearman: Mean,
    overlap: Mean,
    shift: Mean,
    /// Whether objects are given at all.
    points: bool,
    without_object: usize,
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

impl Tally {
    /// Adds one image's map.
    pub fn add(&mut self, assessment: &Assessment) {
        match (assessment.status, &assessment.measures) {
            (_, Some(measures)) => self.add_measures(measures),
            (MapStatus::Empty, None) => self.statuses[0] += 1,
            (MapStatus::Constant, None) => self.statuses[1] += 1,
            (MapStatus::Ok | MapStatus::Nonfinite, None) => self.statuses[2] += 1,
        }
    }

    fn add_measures(&mut self, measures: &Measures) {
        self.confidence.add(measures.confidence);
        self.drop.add(measures.drop());
        self.absolute_drop.add(measures.absolute_drop());
        self.increase.add(f64::from(u8::from(measures.increased())));
        self.gain.add(measures.gain());
        self.complexity.add(measures.complexity);
        measures.coherency.iter().for_each(|&coherency| self.coherency.add(coherency));
        measures.adcc().iter().for_each(|&adcc| self.adcc.add(adcc));
        for (i, curve) in [&measures.deletion, &measures.insertion].into_iter().enumerate() {
            if let Some(curve) = curve {
                self.areas[i].add(curve.area());
                self.curves[i].add(curve);
            }
        }
        self.road.resize(measures.road.len(), Default::default());
        for ((percentile, most, least), point) in self.road.iter_mut().zip(&measures.road) {
            *percentile = point.percentile;
            most.add(point.most_relevant_first);
            least.add(point.least_relevant_first);
        }
        if let Some(agreement) = measures.agreement {
            self.same_class.add(f64::from(u8::from(agreement.same_class)));
            self.spearman.add(agreement.spearman);
            self.overlap.add(agreement.overlap);
            self.shift.add(agreement.shift);
        }
    }

    /// Adds how a measured map of class `class` points; `None` where no object of it is given.
    pub fn add_pointing(&mut self, class: usize, pointing: Option<Pointing>) {
        self.points = true;
        let Some(pointing) = pointing else {
            self.without_object += 1;
            return;
        };
        self.hits.entry(class).or_default().add(f64::from(u8::from(pointing.hit)));
        self.energy.add(pointing.energy);
        self.object_share.add(pointing.object_share);
    }

    /// The means so far.
    pub fn summary(&self, method: &'static str, exit: usize) -> Summary {
        let road_curve: Vec<RoadMean> = self.road_curve();
        let mean = |of: fn(&RoadMean) -> f64| {
            let points = road_curve.len();
            (points > 0).then(|| road_curve.iter().map(of).sum::<f64>() / points as f64)
        };
        let [empty, constant, nonfinite] = self.statuses;
        Summary {
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
                iou: self.overlap.value(),
                shift: self.shift.value(),
            },
            pointing: self.points.then(|| self.pointing()),
            deletion_curve: self.curves[0].mean(),
            insertion_curve: self.curves[1].mean(),
            road_curve,
        }
    }

    fn road_curve(&self) -> Vec<RoadMean> {
        let point = |(percentile, most, least): &(f64, Mean, Mean)| {
            let (morf, lerf) = (most.value()?, least.value()?);
            Some(RoadMean { percentile: *percentile, morf, lerf, combined: road::combined(morf, lerf) })
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
    use crate::faithfulness::{Agreement, RoadPoint, Saliency};
    use crate::imaging::heatmap::Heatmap;

    fn assessment(status: MapStatus, drop: f64, coherency: Option<f64>) -> Assessment {
        let point = |percentile, most_relevant_first| RoadPoint {
            percentile,
            most_relevant_first,
            least_relevant_first: 1.0,
        };
        let curve = |last: f64| Some(Curve { fractions: vec![0.0, 1.0], scores: vec![1.0, last] });
        let measures = Measures {
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
                overlap: 0.5,
                shift: 2.0,
            }),
        };
        Assessment {
            exit: 3,
            method: Method::Map(MapMethod::GradCam),
            target: 1,
            class: 1,
            saliency: Saliency { heat: Heatmap::new(&[0.0, 1.0], (1, 2), (1, 2)), signed: vec![0.0; 2] },
            status,
            measures: (status == MapStatus::Ok).then_some(measures),
        }
    }

    #[test]
    fn means_are_of_what_was_measured_and_the_rest_is_counted() {
        let mut tally = Tally::default();
        tally.add(&assessment(MapStatus::Ok, 0.5, Some(1.0)));
        tally.add(&assessment(MapStatus::Empty, 0.0, None));
        tally.add(&assessment(MapStatus::Ok, 0.0, None));
        tally.add(&assessment(MapStatus::Nonfinite, 0.0, None));
        let found = tally.summary("grad-cam", 3);
        assert_eq!((found.images, found.empty, found.constant, found.nonfinite), (2, 1, 0, 1));
        assert_eq!((found.average_drop, found.deletion), (Some(0.25), Some((0.75 + 0.5) / 2.0)));
        assert_eq!((found.coherency, found.coherency_images), (Some(1.0), 1));
        // (1 / 1 + 1 / 0.5 + 1 / 0.5) / 3, inverted; the other image has none.
        assert_eq!(found.adcc, Some(0.6));
        assert_eq!((found.agreement.images, found.agreement.same_class), (1, Some(1.0)));
        assert_eq!(found.road_curve.iter().map(|p| p.morf).collect::<Vec<_>>(), [0.25, 0.0]);
        assert_eq!((found.road_morf, found.road_lerf, found.road), (Some(0.125), Some(1.0), Some(0.4375)));
        assert_eq!((found.insertion, found.pointing), (None, None));
        assert_eq!(found.deletion_curve.unwrap().scores, [1.0, 0.25]);
    }

    #[test]
    fn no_image_has_no_number() {
        let found = Tally::default().summary("grad-cam", 1);
        let text = serde_json::to_string(&found).unwrap();
        assert!(text.contains("\"average_drop\":null") && text.contains("\"road_curve\":[]"), "{text}");
    }

    #[test]
    fn the_pointing_game_is_a_mean_over_classes() {
        let mut tally = Tally::default();
        let pointing = |hit| Some(Pointing { hit, energy: 0.5, object_share: 0.25 });
        for (class, hit) in [(0, true), (0, true), (0, true), (0, false), (7, false)] {
            tally.add_pointing(class, pointing(hit));
        }
        tally.add_pointing(3, None);
        let found = tally.summary("grad-cam", 1).pointing.unwrap();
        assert_eq!((found.pointing_game, found.hits), (Some(0.375), Some(0.6)));
        assert_eq!((found.images, found.without_object, found.energy), (5, 1, Some(0.5)));
    }
}
