//! The fields of `results.jsonl` that a report reads.

use serde::Deserialize;

use crate::evaluation::{ExitOutcome, ImageOutcome, MAX_CLASSES, check_exits};
use crate::imaging::heatmap::MapStatus;

/// One line of `results.jsonl`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ImageResult {
    /// Index in the set, from 0; not a field of the line.
    #[serde(skip)]
    pub index: usize,
    /// The image's name in its set.
    pub image: String,
    /// Index of the true class, if the image has a label.
    pub label: Option<usize>,
    /// Name of the true class.
    pub label_name: Option<String>,
    /// Why the image failed, if it did.
    pub error: Option<String>,
    /// Exits, ascending; empty if the image failed.
    #[serde(default)]
    pub exits: Vec<ExitResult>,
    /// Files of the image.
    #[serde(default)]
    pub files: ResultFiles,
}

impl ImageResult {
    /// Reads and checks a line.
    ///
    /// # Errors
    /// The field that is not what a run writes, or the number that is out of its range.
    pub fn parse(line: &str) -> Result<ImageResult, String> {
        let record: ImageResult = serde_json::from_str(line).map_err(|e| e.to_string())?;
        record.check().map_err(|cause| format!("image {}: {cause}", record.image))?;
        Ok(record)
    }

    fn check(&self) -> Result<(), String> {
        check_exits(self.exits.iter().map(|exit| exit.exit))?;
        if self.error.is_none() && self.exits.is_empty() {
            return Err("neither exits nor an error".into());
        }
        let of_exits = self.exits.iter().flat_map(|e| [Some(e.class), e.target, e.label_rank]);
        if let Some(class) = of_exits.chain([self.label]).flatten().find(|&class| class >= MAX_CLASSES) {
            return Err(format!("class {class}, the limit is {MAX_CLASSES}"));
        }
        for ExitResult { exit, class, probability, label_rank, .. } in &self.exits {
            if let Some(p) = probability.filter(|p| !(0.0..=1.0).contains(p)) {
                return Err(format!("exit {exit}: probability {p} is not from 0 to 1"));
            }
            // Scores that are not numbers have no probability, and are never right.
            if let (Some(label), Some(rank)) = (self.label, *label_rank)
                && (label == *class) != (rank == 0)
                && (rank == 0 || probability.is_some())
            {
                return Err(format!("exit {exit}: class {class}, and the label has rank {rank}"));
            }
        }
        Ok(())
    }

    /// Whether the image was explained, and not classified alone.
    pub fn is_explained(&self) -> bool {
        let has_maps = |exit: &ExitResult| exit.status.is_some() || !exit.maps.is_empty();
        self.files != ResultFiles::default() || self.exits.iter().any(has_maps)
    }
}

/// Prediction and map of one exit.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ExitResult {
    /// Exit number, from 1.
    pub exit: usize,
    /// Index of the predicted class.
    pub class: usize,
    /// Name of the predicted class.
    pub class_name: String,
    /// Probability of the predicted class; `None` if it is not finite.
    pub probability: Option<f32>,
    /// Rank of the true class: 0 if the exit is right.
    pub label_rank: Option<usize>,
    /// Index of the explained class.
    pub target: Option<usize>,
    /// Name of the explained class.
    pub target_name: Option<String>,
    /// Status of the first map.
    pub status: Option<MapStatus>,
    /// All maps, if there are several.
    #[serde(default)]
    pub maps: Vec<MapResult>,
}

impl ExitResult {
    /// Whether the prediction is the image's label: not where the scores are not numbers, whatever class stands for them.
    pub fn is_right(&self, label: usize) -> bool {
        self.class == label && self.label_rank.is_none_or(|rank| rank == 0)
    }

    /// Status of the map at `tap`, or of the fused map for `None`.
    pub fn status_at(&self, tap: Option<&str>) -> Option<MapStatus> {
        let is_at = |map: &&MapResult| map.minus.is_none() && tap.is_some_and(|tap| map.taps == [tap]);
        self.maps.iter().find(is_at).map(|map| map.status).or(self.status)
    }
}

/// One of several maps of an exit.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct MapResult {
    /// Its tap; of a fused map, all taps.
    #[serde(default)]
    pub taps: Vec<String>,
    /// What is subtracted, if it is a difference.
    pub minus: Option<String>,
    /// Its status.
    pub status: MapStatus,
}

/// Files of an image, as paths relative to the run's folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct ResultFiles {
    /// Film strip.
    pub strip: Option<String>,
    /// Arrays (.npz).
    pub arrays: Option<String>,
}

/// Outcomes of the labeled images that have a result for each of `exits`.
pub fn outcomes(records: &[ImageResult], exits: &[usize]) -> Vec<ImageOutcome> {
    let outcome = |record: &ImageResult| {
        let predictions = record.exits.iter().map(|exit| {
            Some(ExitOutcome::new(exit.class, exit.probability.unwrap_or(f32::NAN), exit.label_rank?))
        });
        let exit_outcomes: Box<[ExitOutcome]> = predictions.collect::<Option<_>>()?;
        (exit_outcomes.len() == exits.len())
            .then_some(ImageOutcome { label: record.label?, exits: exit_outcomes })
    };
    records.iter().filter_map(outcome).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"image":"a.png","label":3,"label_name":"cat","width":32,"exits":[
        {"exit":1,"class":5,"class_name":"dog","probability":0.5,"label_rank":1,"target":5,"target_name":"dog",
         "status":"ok","map_min":0.0,"map_max":1.5,"files":{"cam":"a_exit01_cam.png"}},
        {"exit":2,"class":3,"class_name":"cat","probability":null,"label_rank":0}],
        "files":{"strip":"a_strip.png","arrays":"a.npz"}}"#;

    #[test]
    fn lines_with_and_without_maps_labels_and_errors_are_read() {
        let record: ImageResult = serde_json::from_str(LINE).unwrap();
        assert_eq!((record.label, record.exits[0].status), (Some(3), Some(MapStatus::Ok)));
        assert_eq!((record.exits[1].probability, record.exits[1].status), (None, None));
        let failed: ImageResult = serde_json::from_str(r#"{"image":"b","error":"no"}"#).unwrap();
        assert!(failed.error.is_some() && failed.exits.is_empty());
    }

    #[test]
    fn scores_that_are_not_numbers_are_never_right() {
        let line = |class: usize, probability: &str, rank: usize| {
            format!(
                r#"{{"image":"a","label":3,"label_name":"cat","exits":[{{"exit":1,"class":{class},"class_name":"cat",
                "probability":{probability},"label_rank":{rank}}}]}}"#
            )
        };
        let record = ImageResult::parse(&line(3, "null", 9)).unwrap();
        assert!(!record.exits[0].is_right(3));
        assert!(ImageResult::parse(&line(3, "0.5", 0)).unwrap().exits[0].is_right(3));
        for contradiction in [line(3, "0.5", 9), line(2, "0.5", 0), line(2, "null", 0)] {
            let cause = ImageResult::parse(&contradiction).unwrap_err();
            assert!(cause.contains("and the label has rank"), "{cause}");
        }
    }

    #[test]
    fn the_status_of_one_of_several_maps_is_found_by_its_tap() {
        let line = LINE.replacen(
            r#""status":"ok","#,
            r#""status":"ok","maps":[{"taps":["relu","exit1"],"status":"ok"},
               {"taps":["exit1"],"minus":"dog","status":"constant"},{"taps":["exit1"],"status":"empty"}],"#,
            1,
        );
        let record = ImageResult::parse(&line).unwrap();
        let status = [None, Some("exit1"), Some("gone")].map(|tap| record.exits[0].status_at(tap));
        assert_eq!(status, [MapStatus::Ok, MapStatus::Empty, MapStatus::Ok].map(Some));
    }

    #[test]
    fn only_labeled_results_with_all_exits_are_counted() {
        let record: ImageResult = serde_json::from_str(LINE).unwrap();
        let unlabeled = ImageResult { label: None, ..record.clone() };
        let short = ImageResult { exits: record.exits[..1].to_vec(), ..record.clone() };
        let outcomes = outcomes(&[record, unlabeled, short], &[1, 2]);
        let [outcome] = &outcomes[..] else { panic!("{outcomes:?}") };
        assert_eq!((outcome.label, outcome.first_right()), (3, Some(1)));
    }
}
