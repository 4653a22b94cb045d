//! The metrics of one method and exit over all images. Of every number the images that it is about
//! are counted; a number about no image is `None`, never NaN.

use serde::Serialize;

/// Means over the images whose maps could be measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The method's name.
    pub method: &'static str,
    /// The exit, from 1.
    pub exit: usize,
    /// Images measured; those whose maps said nothing are left out of every number.
    pub images: usize,
    /// Images left out because their maps are zero everywhere.
    pub empty: usize,
    /// Images left out because their maps have one value everywhere.
    pub constant: usize,
    /// Images left out because their maps, or a probability, are not finite.
    pub nonfinite: usize,
    /// The class's probability.
    pub confidence: Option<f64>,
    /// Relative drop, in [0, 1].
    pub average_drop: Option<f64>,
    /// Drop that is not divided by the confidence.
    pub absolute_drop: Option<f64>,
    /// Share of images whose confidence increases.
    pub increase: Option<f64>,
    /// Relative gain, in [0, 1].
    pub average_gain: Option<f64>,
    /// Mean of the heat maps.
    pub complexity: Option<f64>,
    /// Coherency, of the images whose masked image has a map.
    pub coherency: Option<f64>,
    /// How many those are.
    pub coherency_images: usize,
    /// Mean of each of those images' ADCC.
    pub adcc: Option<f64>,
    /// Area under the deletion curve.
    pub deletion: Option<f64>,
    /// Area under the insertion curve.
    pub insertion: Option<f64>,
    /// Mean probability without the most relevant pixels.
    pub road_morf: Option<f64>,
    /// Mean probability without the least relevant pixels.
    pub road_lerf: Option<f64>,
    /// (LeRF - MoRF) / 2.
    pub road: Option<f64>,
    /// How the maps agree with the last exit's.
    pub agreement: AgreementSummary,
    /// Where objects are given: how the maps point at them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointing: Option<PointingSummary>,
    /// The mean deletion curve.
    pub deletion_curve: Option<MeanCurve>,
    /// The mean insertion curve.
    pub insertion_curve: Option<MeanCurve>,
    /// ROAD by percentile.
    pub road_curve: Vec<RoadMean>,
}

/// A mean curve.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MeanCurve {
    /// Shares of the pixels.
    pub fractions: Vec<f64>,
    /// Mean probabilities.
    pub scores: Vec<f64>,
}

/// ROAD at one percentile.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RoadMean {
    /// The percentile.
    pub percentile: f64,
    /// Mean probability without the most relevant pixels.
    pub morf: f64,
    /// Mean probability without the least relevant pixels.
    pub lerf: f64,
    /// (LeRF - MoRF) / 2.
    pub combined: f64,
}

/// Agreement with the last exit's maps.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AgreementSummary {
    /// Images of which both maps say something.
    pub images: usize,
    /// Share of them in which both maps are about the same class.
    pub same_class: Option<f64>,
    /// Spearman's correlation.
    pub spearman: Option<f64>,
    /// Intersection over union from 15 % of the maximum.
    pub iou: Option<f64>,
    /// Distance of the centres of mass, pixels of the network's input.
    pub shift: Option<f64>,
}

/// What the pointing games gave.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PointingSummary {
    /// Images with an object of the class explained.
    pub images: usize,
    /// Images left out for want of one.
    pub without_object: usize,
    /// The pointing game: mean over the classes of the share of hits.
    pub pointing_game: Option<f64>,
    /// The share of hits over all images.
    pub hits: Option<f64>,
    /// The energy-based pointing game.
    pub energy: Option<f64>,
    /// The share of the image that the objects cover: what a flat map's energy would be.
    pub object_share: Option<f64>,
}
