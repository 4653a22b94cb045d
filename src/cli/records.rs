//! What is said about an image in JSON: on standard output and in `results.jsonl`.

use std::borrow::Borrow;

use crate::Error;
use crate::dataset::Item;
use crate::explain::ExitPrediction;
use crate::imaging::bounding_box::BoundingBox;
use crate::imaging::heatmap::MapStatus;
use serde::Serialize;

/// An image and what was found, or why not.
#[derive(Debug, Serialize)]
pub struct ImageRecord<'a, T> {
    /// Which image: [`msdcam::dataset::Item::id`].
    pub image: &'a str,
    /// What it shows, where the data set says.
    #[serde(flatten)]
    pub label: Option<LabelRecord<'a>>,
    /// Either the answers or the error.
    #[serde(flatten)]
    pub content: Content<'a, T>,
}

/// An image's label.
#[derive(Debug, Serialize)]
pub struct LabelRecord<'a> {
    /// The class, from 0.
    pub label: usize,
    /// The class's name.
    pub label_name: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Content<'a, T> {
    Answers(&'a T),
    Error { error: String },
}

/// One line of JSON about `item`, with its line feed; `labels` are the names of the classes.
pub fn line<T: Serialize>(item: &Item, labels: &[String], result: &Result<T, impl Borrow<Error>>) -> String {
    let content = match result {
        Ok(answers) => Content::Answers(answers),
        Err(error) => Content::Error { error: error.borrow().to_string() },
    };
    let label = item.label.map(|label| LabelRecord { label, label_name: &labels[label] });
    let record = ImageRecord { image: &item.id, label, content };
    serde_json::to_string(&record).expect("plain fields have a JSON form") + "\n"
}

/// What one exit says.
#[derive(Debug, Serialize)]
pub struct ExitRecord {
    /// From 1.
    pub exit: usize,
    /// The class that it predicts, from 0.
    pub class: usize,
    /// The class's name.
    pub label: String,
    /// How sure it is of it, 0 to 1.
    pub probability: f32,
    /// [`ExitPrediction::rank`] of the image's label: 0 where the exit is right. Only with labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_rank: Option<usize>,
    /// Where it looks: the first heat map.
    #[serde(flatten)]
    pub map: Option<MapRecord>,
    /// Everything that was made of it, where that is more than one heat map.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub maps: Vec<LayerRecord>,
}

/// About one heat map.
#[derive(Debug, Serialize)]
pub struct MapRecord {
    /// The class that the map is about: the predicted one unless told.
    pub target: usize,
    pub target_label: String,
    /// The number of the class that is explained.
    pub score: f32,
    /// Whether the heat map means anything.
    pub status: MapStatus,
    /// Range of the raw map, which the heat map's scaling hides.
    pub map_min: f32,
    pub map_max: f32,
    /// The box around its largest part; null where there is none.
    #[serde(rename = "box", skip_serializing_if = "Option::is_none")]
    pub found: Option<Option<BoxRecord>>,
    pub files: MapFiles,
}

/// A box, in the photo's pixels.
#[derive(Debug, Serialize)]
pub struct BoxRecord {
    pub x: usize,
    pub y: usize,
    pub width: usize,
    pub height: usize,
    /// The same four, as COCO has them.
    pub bbox: [usize; 4],
    /// Share of the heat that lies in it.
    pub heat: f32,
    /// The share of the heat map's maximum from which on a place counts.
    pub threshold: f32,
}

impl From<BoundingBox> for BoxRecord {
    fn from(BoundingBox { x, y, width, height, heatmap_share, threshold }: BoundingBox) -> Self {
        BoxRecord { x, y, width, height, bbox: [x, y, width, height], heat: heatmap_share, threshold }
    }
}

/// The pictures of one exit.
#[derive(Debug, Serialize)]
pub struct MapFiles {
    /// The heat map over the photo.
    pub cam: String,
    /// In the article's style, the gradient weighed by the heat map, and the network's input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cam_gb: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
}

/// About one of an exit's pictures.
#[derive(Debug, Serialize)]
pub struct LayerRecord {
    /// The method's name.
    pub method: &'static str,
    /// The tap or, of a fused map, all taps; none for what is made at the pixels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub taps: Vec<String>,
    /// The class's place among the exit's likeliest, from 1, where several are explained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<usize>,
    pub target: usize,
    pub target_label: String,
    pub score: f32,
    /// What is taken away from it, if it is a difference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minus: Option<String>,
    pub status: MapStatus,
    /// Range of the raw map, or of the pixels' array.
    pub min: f32,
    pub max: f32,
    /// As [`MapRecord::found`].
    #[serde(rename = "box", skip_serializing_if = "Option::is_none")]
    pub found: Option<Option<BoxRecord>>,
    /// The picture.
    pub file: String,
}

impl ExitRecord {
    /// The record of an answer about an image that shows class `label`, without a map.
    pub fn new(answer: &ExitPrediction, labels: &[String], label: Option<usize>) -> Self {
        let ExitPrediction { exit, class, ref probabilities, .. } = *answer;
        let label_rank = label.map(|label| answer.rank(label));
        let (label, probability) = (labels[class].clone(), probabilities[class]);
        ExitRecord { exit, class, label, probability, label_rank, map: None, maps: Vec::new() }
    }
}
