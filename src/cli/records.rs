//! JSON records of images, on standard output and in `results.jsonl`.

use std::borrow::Borrow;

use crate::Error;
use crate::dataset::Item;
use crate::explain::ExitPrediction;
use crate::imaging::Region;
use crate::imaging::bounding_box::BoundingBox;
use crate::imaging::heatmap::MapStatus;
use serde::Serialize;

/// An image and its result or error.
#[derive(Debug, Serialize)]
pub struct ImageRecord<'a, T> {
    /// The image's [`Item::id`].
    pub image: &'a str,
    /// Its label, if the data set has labels.
    #[serde(flatten)]
    pub label: Option<LabelRecord<'a>>,
    /// The result or the error.
    #[serde(flatten)]
    pub content: Content<'a, T>,
}

/// An image's label.
#[derive(Debug, Serialize)]
pub struct LabelRecord<'a> {
    /// Index of the class, from 0.
    pub label: usize,
    /// Name of the class.
    pub label_name: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Content<'a, T> {
    Result(&'a T),
    Error { error: String },
}

/// The JSON line of `item`, with its line feed; `labels` are the names of the classes.
pub fn line<T: Serialize>(item: &Item, labels: &[String], result: &Result<T, impl Borrow<Error>>) -> String {
    let content = match result {
        Ok(result) => Content::Result(result),
        Err(error) => Content::Error { error: error.borrow().to_string() },
    };
    let label = item.label.map(|label| LabelRecord { label, label_name: &labels[label] });
    let record = ImageRecord { image: &item.id, label, content };
    serde_json::to_string(&record).expect("plain fields have a JSON form") + "\n"
}

/// The result of one exit.
#[derive(Debug, Serialize)]
pub struct ExitRecord {
    /// Number of the exit, from 1.
    pub exit: usize,
    /// Index of the predicted class, from 0.
    pub class: usize,
    /// Name of the class.
    pub class_name: String,
    /// Probability of the predicted class.
    pub probability: f32,
    /// [`ExitPrediction::rank`] of the image's label: 0 if the exit is right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_rank: Option<usize>,
    /// The first heatmap.
    #[serde(flatten)]
    pub map: Option<MapRecord>,
    /// All layers, if there is more than one heatmap.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub maps: Vec<LayerRecord>,
}

/// One heatmap.
#[derive(Debug, Serialize)]
pub struct MapRecord {
    /// Index of the explained class: the predicted one by default.
    pub target: usize,
    pub target_name: String,
    /// Score of the target.
    pub score: f32,
    /// Whether the heatmap is usable.
    pub status: MapStatus,
    /// Range of the raw map before scaling.
    pub map_min: f32,
    pub map_max: f32,
    /// The box around its most salient region; null if there is none.
    #[serde(rename = "box", skip_serializing_if = "Option::is_none")]
    pub bounding_box: Option<Option<BoxRecord>>,
    /// Its pictures, if they are written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<MapFiles>,
}

/// A region of the photo, in its pixels; it reaches beyond the photo where the input is padded.
#[derive(Debug, Serialize)]
pub struct RegionRecord {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

impl From<Region> for RegionRecord {
    fn from(Region { left, top, right, bottom }: Region) -> Self {
        RegionRecord { x: left, y: top, width: right - left, height: bottom - top }
    }
}

/// A bounding box in pixels of the photo.
#[derive(Debug, Serialize)]
pub struct BoxRecord {
    pub x: usize,
    pub y: usize,
    pub width: usize,
    pub height: usize,
    /// The same as COCO's [x, y, width, height].
    pub bbox: [usize; 4],
    /// Fraction of the heatmap's sum inside the box.
    pub heat: f32,
    /// Threshold of the region, as a fraction of the heatmap's maximum.
    pub threshold: f32,
}

impl From<BoundingBox> for BoxRecord {
    fn from(BoundingBox { x, y, width, height, heatmap_share, threshold }: BoundingBox) -> Self {
        BoxRecord { x, y, width, height, bbox: [x, y, width, height], heat: heatmap_share, threshold }
    }
}

/// Pictures of one exit.
#[derive(Debug, Serialize)]
pub struct MapFiles {
    /// The heatmap over the photo.
    pub cam: String,
    /// In the article's style, the gradient weighted by the heatmap, and the network's input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cam_gb: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
}

/// One layer at one exit.
#[derive(Debug, Serialize)]
pub struct LayerRecord {
    /// Name of the method.
    pub method: &'static str,
    /// The tap or, of a fused map, all taps; empty for pixel methods.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub taps: Vec<String>,
    /// Rank of the target among the exit's likeliest classes, from 1, if several are explained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<usize>,
    pub target: usize,
    pub target_name: String,
    pub score: f32,
    /// What is subtracted, if it is a difference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minus: Option<String>,
    pub status: MapStatus,
    /// Range of the raw map or of the pixel attribution.
    pub min: f32,
    pub max: f32,
    /// As [`MapRecord::bounding_box`].
    #[serde(rename = "box", skip_serializing_if = "Option::is_none")]
    pub bounding_box: Option<Option<BoxRecord>>,
    /// Name of the picture, if it is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

impl ExitRecord {
    /// The record of a prediction for an image of class `label`.
    pub fn new(prediction: &ExitPrediction, labels: &[String], label: Option<usize>) -> Self {
        let ExitPrediction { exit, class, ref probabilities, .. } = *prediction;
        let label_rank = label.map(|label| prediction.rank(label));
        let (class_name, probability) = (labels[class].clone(), probabilities[class]);
        ExitRecord { exit, class, class_name, probability, label_rank, map: None, maps: Vec::new() }
    }
}
