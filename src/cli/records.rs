//! What is said about an image in JSON: on standard output and in `results.jsonl`.

use std::borrow::Borrow;
use std::path::Path;

use msdcam::Error;
use msdcam::cam::ExitAnswer;
use msdcam::heat::Status;
use serde::Serialize;

/// An image and what was found, or why not.
#[derive(Debug, Serialize)]
pub struct ImageRecord<'a, T> {
    /// The path as the user gave it.
    pub image: String,
    /// Either the answers or the error.
    #[serde(flatten)]
    pub content: Content<'a, T>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Content<'a, T> {
    Answers(&'a T),
    Error { error: String },
}

/// One line of JSON about `image`, with its line feed.
pub fn line<T: Serialize>(image: &Path, result: &Result<T, impl Borrow<Error>>) -> String {
    let content = match result {
        Ok(answers) => Content::Answers(answers),
        Err(error) => Content::Error { error: error.borrow().to_string() },
    };
    let record = ImageRecord { image: image.to_string_lossy().into_owned(), content };
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
    /// Where it looks.
    #[serde(flatten)]
    pub map: Option<MapRecord>,
}

/// About one heat map.
#[derive(Debug, Serialize)]
pub struct MapRecord {
    /// The class that the map is about: the predicted one unless told.
    pub target: usize,
    pub target_label: String,
    /// Whether the heat map means anything.
    pub status: Status,
    /// Range of the raw map, which the heat map's scaling hides.
    pub map_min: f32,
    pub map_max: f32,
    pub files: MapFiles,
}

/// The pictures of one exit.
#[derive(Debug, Serialize)]
pub struct MapFiles {
    /// The heat map over the photo.
    pub cam: String,
}

impl ExitRecord {
    /// The record of an answer, without a map.
    pub fn new(answer: &ExitAnswer, labels: &[String]) -> Self {
        ExitRecord {
            exit: answer.exit,
            class: answer.class,
            label: labels[answer.class].clone(),
            probability: answer.probabilities[answer.class],
            map: None,
        }
    }
}
