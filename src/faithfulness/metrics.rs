//! Metrics of one map.

use super::curve::Curve;
use super::road::road_combined;
use super::saliency::SaliencyMap;
use super::{adcc, confidence};
use crate::explain::Method;
use crate::imaging::heatmap::MapStatus;

/// Map of one image, exit and method, with its metrics.
#[derive(Debug, Clone, PartialEq)]
pub struct MapEvaluation {
    /// The exit, from 1.
    pub exit: usize,
    /// The method.
    pub method: Method,
    /// The class that is explained.
    pub target: usize,
    /// The class that the exit predicts.
    pub class: usize,
    /// The map.
    pub saliency: SaliencyMap,
    /// [`MapStatus::Ok`] for a measured map. A map that is empty, constant or not finite does not rank the
    /// pixels and is not measured.
    pub status: MapStatus,
    /// The metrics of a measured map.
    pub metrics: Option<Metrics>,
}

/// Metrics of one map; all are finite.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics {
    /// Probability of the explained class.
    pub confidence: f64,
    /// The same probability for the image multiplied by its heatmap.
    pub masked_confidence: f64,
    /// See [`super::complexity`].
    pub complexity: f64,
    /// See [`super::coherency`]; `None` where it is skipped or the masked image's map is not usable.
    pub coherency: Option<f64>,
    /// The deletion curve.
    pub deletion: Option<Curve>,
    /// The insertion curve.
    pub insertion: Option<Curve>,
    /// ROAD at each percentile.
    pub road: Vec<RoadPoint>,
    /// Agreement with the last exit's map; `None` where that map is not usable.
    pub agreement: Option<Agreement>,
}

/// ROAD at one percentile: the probability of the explained class without the pixels beyond it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RoadPoint {
    /// The percentile.
    pub percentile: f64,
    /// MoRF: without the most relevant pixels.
    pub most_relevant_first: f64,
    /// LeRF: without the least relevant pixels.
    pub least_relevant_first: f64,
}

/// Agreement of a map with the last exit's map of the same method.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// Whether both maps explain the same class.
    pub same_class: bool,
    /// See [`super::spearman`].
    pub spearman: f64,
    /// See [`super::salient_iou`], from [`super::SALIENT_SHARE`] of the maximum.
    pub iou: f64,
    /// See [`super::center_shift`], in pixels of the input.
    pub center_shift: f64,
}

impl Metrics {
    /// See [`super::confidence_drop`].
    pub fn drop(&self) -> f64 {
        confidence::confidence_drop(self.confidence, self.masked_confidence)
    }

    /// See [`super::absolute_confidence_drop`].
    pub fn absolute_drop(&self) -> f64 {
        confidence::absolute_confidence_drop(self.confidence, self.masked_confidence)
    }

    /// See [`super::confidence_increases`].
    pub fn increases(&self) -> bool {
        confidence::confidence_increases(self.confidence, self.masked_confidence)
    }

    /// See [`super::confidence_gain`].
    pub fn gain(&self) -> f64 {
        confidence::confidence_gain(self.confidence, self.masked_confidence)
    }

    /// See [`super::adcc_score`]; `None` without coherency.
    pub fn adcc(&self) -> Option<f64> {
        self.coherency.map(|coherency| adcc::adcc_score(self.drop(), coherency, self.complexity))
    }

    /// MoRF and LeRF, averaged over the percentiles, and [`super::road_combined`] of the two; `None` without
    /// ROAD.
    pub fn road(&self) -> Option<[f64; 3]> {
        let n = self.road.len() as f64;
        let mean = |of: fn(&RoadPoint) -> f64| self.road.iter().map(of).sum::<f64>() / n;
        let (most, least) = (mean(|p| p.most_relevant_first), mean(|p| p.least_relevant_first));
        (n > 0.0).then(|| [most, least, road_combined(most, least)])
    }

    /// Whether every metric is finite.
    pub(super) fn all_finite(&self) -> bool {
        let curves = self.deletion.iter().chain(&self.insertion).flat_map(|curve| &curve.scores);
        let road = self.road.iter().flat_map(|p| [&p.most_relevant_first, &p.least_relevant_first]);
        let rest = [&self.confidence, &self.masked_confidence, &self.complexity];
        curves.chain(road).chain(rest).all(|x| x.is_finite())
    }
}
