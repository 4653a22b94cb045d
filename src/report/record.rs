//! What `results.jsonl` says about an image, as far as a report needs it.

use serde::Deserialize;

use crate::evaluation::{ExitOutcome, ImageOutcome};
use crate::imaging::heatmap::MapStatus;

/// One line of `results.jsonl`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Record {
    /// The image's name in its set.
    pub image: String,
    /// Its class, from 0, where the set says.
    pub label: Option<usize>,
    /// The name of that class.
    pub label_name: Option<String>,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// The exits, ascending; none if it failed.
    #[serde(default)]
    pub exits: Vec<ExitRecord>,
    /// Its files.
    #[serde(default)]
    pub files: Files,
}

impl Record {
    /// Whether it has a film strip or arrays.
    pub fn has_pictures(&self) -> bool {
        self.files.strip.is_some() || self.files.arrays.is_some()
    }
}

/// What one exit says.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ExitRecord {
    /// From 1.
    pub exit: usize,
    /// The class that it predicts.
    pub class: usize,
    /// The class's name.
    pub label: String,
    /// How sure it is of it; nothing where that is no number.
    pub probability: Option<f32>,
    /// How many classes it puts before the image's label.
    pub label_rank: Option<usize>,
    /// The class that its map is about.
    pub target: Option<usize>,
    /// The name of that class.
    pub target_label: Option<String>,
    /// Whether its map means anything.
    pub status: Option<MapStatus>,
}

/// An image's files, as paths below the run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Files {
    /// The film strip.
    pub strip: Option<String>,
    /// The arrays.
    pub arrays: Option<String>,
}

/// What the exits said about the images that have labels; `exits` are those of every image.
pub fn outcomes(records: &[Record], exits: &[usize]) -> Vec<ImageOutcome> {
    let outcome = |record: &Record| {
        let said = record.exits.iter().map(|exit| {
            Some(ExitOutcome {
                class: exit.class as u32,
                probability: exit.probability.unwrap_or(f32::NAN),
                label_rank: exit.label_rank? as u32,
            })
        });
        let said: Box<[ExitOutcome]> = said.collect::<Option<_>>()?;
        (said.len() == exits.len()).then_some(ImageOutcome { label: record.label?, exits: said })
    };
    records.iter().filter_map(outcome).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"image":"a.png","label":3,"label_name":"cat","width":32,"exits":[
        {"exit":1,"class":5,"label":"dog","probability":0.5,"label_rank":1,"target":5,"target_label":"dog",
         "status":"ok","map_min":0.0,"map_max":1.5,"files":{"cam":"a_exit01_cam.png"}},
        {"exit":2,"class":3,"label":"cat","probability":null,"label_rank":0}],
        "files":{"strip":"a_strip.png","arrays":"a.npz"}}"#;

    #[test]
    fn lines_with_and_without_maps_labels_and_errors_are_read() {
        let record: Record = serde_json::from_str(LINE).unwrap();
        assert_eq!((record.label, record.exits[0].status), (Some(3), Some(MapStatus::Ok)));
        assert_eq!((record.exits[1].probability, record.exits[1].status), (None, None));
        let failed: Record = serde_json::from_str(r#"{"image":"b","error":"no"}"#).unwrap();
        assert!(failed.error.is_some() && failed.exits.is_empty());
    }

    #[test]
    fn only_whole_lines_with_a_label_are_counted() {
        let record: Record = serde_json::from_str(LINE).unwrap();
        let unlabelled = Record { label: None, ..record.clone() };
        let short = Record { exits: record.exits[..1].to_vec(), ..record.clone() };
        let outcomes = outcomes(&[record, unlabelled, short], &[1, 2]);
        let [outcome] = &outcomes[..] else { panic!("{outcomes:?}") };
        assert_eq!((outcome.label, outcome.first_right()), (3, Some(1)));
    }
}
