//! What is said about one image.

use std::path::Path;

use crate::error::printable;
use crate::explain::{ExitPrediction, PixelAttribution};
use serde::Serialize;

use super::artifacts::{Drawing, File};
use super::layers::{Kind, Layer};
use crate::cli::images::Photo;
use crate::cli::records::{BoxRecord, ExitRecord, LayerRecord, MapFiles, MapRecord};
use crate::cli::table;

/// What was found in an image.
#[derive(Debug, Serialize)]
pub struct Found {
    /// Size of the photo, upright.
    width: usize,
    height: usize,
    exits: Vec<ExitRecord>,
    /// None for an image that was not selected.
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<Files>,
}

/// The files about all exits together.
#[derive(Debug, Serialize)]
struct Files {
    strip: String,
    /// Every layer's, where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    strips: Vec<String>,
    /// Pictures of several strips, by method.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    grids: Vec<String>,
    arrays: String,
}

/// What was found; file names with the folder where `folder` is given.
pub fn found(drawing: &Drawing, folder: Option<&Path>) -> Found {
    let report = Report { drawing, folder };
    let layers = drawing.style.layers.all.len();
    let strips: Vec<String> = (0..layers).map(|layer| report.name(File::Strip { layer })).collect();
    Found {
        width: drawing.photo.width,
        height: drawing.photo.height,
        exits: (0..drawing.findings.exits()).map(|i| report.exit(i)).collect(),
        files: Some(Files {
            strip: strips[0].clone(),
            strips: if layers > 1 { strips } else { Vec::new() },
            grids: (0..drawing.style.layers.grids.len())
                .map(|grid| report.name(File::Grid { grid }))
                .collect(),
            arrays: report.name(File::Arrays),
        }),
    }
}

/// What was found in a photo that was not selected.
pub fn passed_over(photo: &Photo, answers: &[ExitPrediction], labels: &[String]) -> Found {
    Found {
        width: photo.width,
        height: photo.height,
        exits: answers.iter().map(|answer| ExitRecord::new(answer, labels, photo.label)).collect(),
        files: None,
    }
}

struct Report<'a> {
    drawing: &'a Drawing<'a>,
    folder: Option<&'a Path>,
}

impl Report<'_> {
    fn name(&self, file: File) -> String {
        let name = self.drawing.name(file);
        self.folder.map_or(name.clone(), |folder| folder.join(&name).to_string_lossy().into_owned())
    }

    /// The record of the exit at position `i`.
    fn exit(&self, i: usize) -> ExitRecord {
        let style = self.drawing.style;
        let layers = &style.layers.all;
        let map = match layers[0].kind {
            Kind::Pixels { .. } => None,
            kind => Some(self.map(i, kind)),
        };
        let several = layers.len() > 1 || map.is_none();
        let maps = layers.iter().enumerate().filter(|_| several);
        let maps = maps.map(|(number, layer)| self.layer(i, number, layer)).collect();
        ExitRecord {
            map,
            maps,
            ..ExitRecord::new(
                &self.drawing.findings.at(i, 0).prediction,
                &style.labels,
                self.drawing.photo.label,
            )
        }
    }

    /// The box in what `layer` shows of the exit at position `i`, if boxes were asked for.
    fn found(&self, layer: &Layer, i: usize) -> Option<Option<BoxRecord>> {
        let asked = self.drawing.style.looks.boxes.is_some() && layer.minus.is_none();
        let crop = self.drawing.photo.crop;
        let found = || self.drawing.found(layer, i).map(|(found, grid)| found.in_photo(crop, grid).into());
        asked.then(found)
    }

    /// The record of the first layer, a heat map.
    fn map(&self, i: usize, kind: Kind) -> MapRecord {
        let Drawing { style, findings, .. } = self.drawing;
        let finding = findings.at(i, 0);
        let heat = findings.own_heat(kind, finding);
        MapRecord {
            target: finding.target,
            target_label: style.labels[finding.target].clone(),
            score: finding.score,
            status: heat.status,
            map_min: heat.min,
            map_max: heat.max,
            found: self.found(&style.layers.all[0], i),
            files: MapFiles {
                cam: self.name(File::RgbImage { layer: 0, exit: i }),
                cam_gb: self.drawing.has_cam_gb().then(|| self.name(File::CamGb { exit: i, rank: 0 })),
                input: self.drawing.is_articles().then(|| self.name(File::Input { exit: i, rank: 0 })),
            },
        }
    }

    fn layer(&self, i: usize, number: usize, layer: &Layer) -> LayerRecord {
        let Drawing { style, findings, .. } = self.drawing;
        let finding = findings.at(i, layer.rank);
        let (method, taps, (min, max)) = match layer.kind {
            Kind::Map { method, tap } => {
                let map = findings.map(finding, method, tap);
                (map.method.name(), vec![map.tap.clone()], (map.heatmap.min, map.heatmap.max))
            }
            Kind::Fused { method } => {
                let fused = &finding.fused[method];
                (fused.method.name(), fused.taps.clone(), (fused.heatmap.min, fused.heatmap.max))
            }
            Kind::Pixels { method } => {
                let pixels = &finding.pixels[method];
                (pixels.method.name(), Vec::new(), range(pixels))
            }
        };
        LayerRecord {
            method,
            taps,
            rank: (style.layers.ranks > 1).then_some(layer.rank + 1),
            target: finding.target,
            target_label: style.labels[finding.target].clone(),
            score: finding.score,
            minus: layer.minus.map(|minus| minus.name(&style.labels)),
            status: findings.status(layer, i),
            min,
            max,
            found: self.found(layer, i).filter(|_| !matches!(layer.kind, Kind::Pixels { .. })),
            file: self.name(File::RgbImage { layer: number, exit: i }),
        }
    }
}

fn range(pixels: &PixelAttribution) -> (f32, f32) {
    let values = pixels.values.iter().copied();
    values.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
}

/// The image's name, a line for each exit, and where to look next.
pub fn for_people(id: &str, found: &Found) -> String {
    let Found { width, height, exits, files } = found;
    let image = printable(id);
    let mut text = format!("{image} ({width} x {height})\n{}", table::exits(exits));
    if let Some(files) = files {
        for (i, grid) in files.grids.iter().enumerate() {
            text += &format!("  {:11} {}\n", if i == 0 { "grid:" } else { "" }, printable(grid));
        }
        text += &format!("  film strip: {}\n", printable(&files.strip));
        for strip in files.strips.iter().skip(1) {
            text += &format!("              {}\n", printable(strip));
        }
    }
    text
}
