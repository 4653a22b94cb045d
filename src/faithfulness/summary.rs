//! Summary of the metrics of one method and exit over all images. A mean over no image is `None`, never
//! NaN. Field names are JSON keys.

use serde::Serialize;

/// Means over the measured images: those whose map and probabilities are usable.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MetricSummary {
    /// The method's name.
    pub method: &'static str,
    /// The exit, from 1.
    pub exit: usize,
    /// Measured images.
    pub images: usize,
    /// Images left out because their map is zero everywhere.
    pub empty: usize,
    /// Images left out because their map is constant.
    pub constant: usize,
    /// Images left out because their map or a probability is not finite.
    pub nonfinite: usize,
    /// Probability of the explained class.
    pub confidence: Option<f64>,
    /// Average drop, relative: see [`super::confidence_drop`].
    pub average_drop: Option<f64>,
    /// Average absolute drop: see [`super::absolute_confidence_drop`].
    pub absolute_drop: Option<f64>,
    /// Increase in confidence: see [`super::confidence_increases`].
    pub increase: Option<f64>,
    /// Average gain: see [`super::confidence_gain`].
    pub average_gain: Option<f64>,
    /// See [`super::complexity`].
    pub complexity: Option<f64>,
    /// See [`super::coherency`]; over the images whose masked image has a usable map.
    pub coherency: Option<f64>,
    /// Images that `coherency` and `adcc` average over.
    pub coherency_images: usize,
    /// See [`super::adcc_score`]; the mean of the scores of the images.
    pub adcc: Option<f64>,
    /// Area under the deletion curve.
    pub deletion: Option<f64>,
    /// Area under the insertion curve.
    pub insertion: Option<f64>,
    /// ROAD, MoRF: probability without the most relevant pixels, averaged over the percentiles.
    pub road_morf: Option<f64>,
    /// ROAD, LeRF: probability without the least relevant pixels, averaged over the percentiles.
    pub road_lerf: Option<f64>,
    /// See [`super::road_combined`].
    pub road: Option<f64>,
    /// Agreement with the maps of the last exit.
    pub agreement: AgreementSummary,
    /// Pointing games, where objects are given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointing: Option<PointingSummary>,
    /// The mean deletion curve.
    pub deletion_curve: Option<MeanCurve>,
    /// The mean insertion curve.
    pub insertion_curve: Option<MeanCurve>,
    /// ROAD by percentile.
    pub road_curve: Vec<RoadMean>,
}

/// Mean deletion or insertion curve.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MeanCurve {
    /// Shares of the pixels, from 0 to 1.
    pub fractions: Vec<f64>,
    /// Mean probability at each share.
    pub scores: Vec<f64>,
}

/// Mean ROAD at one percentile.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RoadMean {
    /// The percentile.
    pub percentile: f64,
    /// Mean probability without the most relevant pixels.
    pub morf: f64,
    /// Mean probability without the least relevant pixels.
    pub lerf: f64,
    /// See [`super::road_combined`].
    pub combined: f64,
}

/// Agreement with the last exit's maps of the same method.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AgreementSummary {
    /// Images with two usable maps.
    pub images: usize,
    /// Share of these images in which both maps explain the same class.
    pub same_class: Option<f64>,
    /// See [`super::spearman`].
    pub spearman: Option<f64>,
    /// See [`super::salient_iou`], from 15 % of the maximum.
    pub iou: Option<f64>,
    /// See [`super::center_shift`], in pixels of the input.
    pub shift: Option<f64>,
}

/// Means of the pointing games.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PointingSummary {
    /// Images with an object of the explained class.
    pub images: usize,
    /// Images without such an object.
    pub without_object: usize,
    /// Pointing game: the hit rate of each class, averaged over the classes.
    pub pointing_game: Option<f64>,
    /// Hit rate over all images.
    pub hits: Option<f64>,
    /// Energy-based pointing game: see [`super::pointing_energy`].
    pub energy: Option<f64>,
    /// See [`super::object_share`].
    pub object_share: Option<f64>,
}
