//! What is said about one image.

use std::path::Path;

use msdcam::cam::ExitAnswer;
use msdcam::error::printable;
use serde::Serialize;

use super::draw::{Drawing, File};
use crate::cli::records::{ExitRecord, MapFiles, MapRecord};
use crate::cli::table;

/// What was found in an image.
#[derive(Debug, Serialize)]
pub struct Found {
    /// Size of the photo, upright.
    width: usize,
    height: usize,
    exits: Vec<ExitRecord>,
    files: Files,
}

/// The files about all exits together.
#[derive(Debug, Serialize)]
struct Files {
    strip: String,
    arrays: String,
}

/// What was found; file names with the folder where `folder` is given.
pub fn found(drawing: &Drawing, folder: Option<&Path>) -> Found {
    let name = |file| {
        let name = drawing.name(file);
        folder.map_or(name.clone(), |folder| folder.join(&name).to_string_lossy().into_owned())
    };
    let style = drawing.style;
    let exit = |(i, answer): (usize, &ExitAnswer)| {
        let heat = drawing.heat(i, style.input);
        let target = style.target.unwrap_or(answer.class);
        let map = MapRecord {
            target,
            target_label: style.labels[target].clone(),
            status: heat.status,
            map_min: heat.min,
            map_max: heat.max,
            files: MapFiles { cam: name(File::Overlay(i)) },
        };
        ExitRecord { map: Some(map), ..ExitRecord::new(answer, &style.labels, drawing.label) }
    };
    Found {
        width: drawing.photo.width,
        height: drawing.photo.height,
        exits: drawing.answers.iter().enumerate().map(exit).collect(),
        files: Files { strip: name(File::Strip), arrays: name(File::Arrays) },
    }
}

/// The image's name, a line for each exit, and where to look next.
pub fn for_people(id: &str, found: &Found) -> String {
    let Found { width, height, exits, files } = found;
    let image = printable(id);
    let table = table::exits(exits);
    format!("{image} ({width} x {height})\n{table}  film strip: {}\n", printable(&files.strip))
}
