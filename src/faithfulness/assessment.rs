//! What is measured of one map.

use super::curve::Curve;
use super::saliency::Saliency;
use super::{adcc, average_drop, average_gain, confidence, road};
use crate::explain::Method;
use crate::imaging::heatmap::MapStatus;

/// A map of one image, at one exit, by one method, and what was measured of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Assessment {
    /// The exit, from 1.
    pub exit: usize,
    /// The method.
    pub method: Method,
    /// The class that is explained.
    pub target: usize,
    /// The class that the exit predicts.
    pub class: usize,
    /// The map.
    pub saliency: Saliency,
    /// Whether anything was measured: [`MapStatus::Ok`], or why not. A map that is empty, constant or
    /// not finite says nothing about any pixel, and there is no metric of it.
    pub status: MapStatus,
    /// The measures, of a map whose status is ok.
    pub measures: Option<Measures>,
}

/// Numbers about one map; each is finite.
#[derive(Debug, Clone, PartialEq)]
pub struct Measures {
    /// The class's probability.
    pub confidence: f64,
    /// The same of the image multiplied by its heat map.
    pub masked_confidence: f64,
    /// See [`super::complexity()`].
    pub complexity: f64,
    /// See [`super::coherency()`]; `None` where it is not wanted or the masked image's map says nothing.
    pub coherency: Option<f64>,
    /// The class's probability while pixels are deleted.
    pub deletion: Option<Curve>,
    /// The class's probability while pixels are inserted.
    pub insertion: Option<Curve>,
    /// ROAD at each percentile.
    pub road: Vec<RoadPoint>,
    /// How the map agrees with the last exit's; `None` where that says nothing.
    pub agreement: Option<Agreement>,
}

/// The class's probability without the pixels beyond one percentile.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RoadPoint {
    /// The percentile.
    pub percentile: f64,
    /// Without the most relevant ones.
    pub most_relevant_first: f64,
    /// Without the least relevant ones.
    pub least_relevant_first: f64,
}

/// A map beside the last exit's of the same method.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// Whether both explain the same class.
    pub same_class: bool,
    /// See [`super::similarity()`].
    pub spearman: f64,
    /// See [`super::overlap()`], from 15 % of the maximum.
    pub overlap: f64,
    /// Distance of the centres of mass, pixels of the network's input.
    pub shift: f64,
}

impl Measures {
    /// See [`average_drop::drop`].
    pub fn drop(&self) -> f64 {
        average_drop::drop(self.confidence, self.masked_confidence)
    }

    /// See [`average_drop::absolute_drop`].
    pub fn absolute_drop(&self) -> f64 {
        average_drop::absolute_drop(self.confidence, self.masked_confidence)
    }

    /// See [`confidence::increased`].
    pub fn increased(&self) -> bool {
        confidence::increased(self.confidence, self.masked_confidence)
    }

    /// See [`average_gain::gain`].
    pub fn gain(&self) -> f64 {
        average_gain::gain(self.confidence, self.masked_confidence)
    }

    /// See [`adcc::adcc`].
    pub fn adcc(&self) -> Option<f64> {
        self.coherency.map(|coherency| adcc::adcc(self.drop(), coherency, self.complexity))
    }

    /// The means of MoRF and LeRF over the percentiles, and [`road::combined`] of them.
    pub fn road(&self) -> Option<[f64; 3]> {
        let n = self.road.len() as f64;
        let mean = |of: fn(&RoadPoint) -> f64| self.road.iter().map(of).sum::<f64>() / n;
        let (most, least) = (mean(|p| p.most_relevant_first), mean(|p| p.least_relevant_first));
        (n > 0.0).then(|| [most, least, road::combined(most, least)])
    }
}
