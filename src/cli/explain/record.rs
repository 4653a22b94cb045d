//! The result line of one image, its text form, and the counts of degenerate maps over a job.

use std::path::Path;

use crate::error::printable;
use crate::explain::{ExitPrediction, Explanation, PixelAttribution};
use crate::imaging::heatmap::MapStatus;
use serde::Serialize;

use super::artifacts::{Artifact, ImageArtifacts};
use super::layers::{HeatmapSource, Layer, LayerKind};
use crate::cli::exit_counts::ExitCounts;
use crate::cli::images::Photo;
use crate::cli::records::{BoxRecord, ExitRecord, LayerRecord, MapFiles, MapRecord, RegionRecord};
use crate::cli::table;

/// The result of one image.
#[derive(Debug, Serialize)]
pub struct ExplainRecord {
    /// Size of the upright photo, pixels.
    width: usize,
    height: usize,
    /// Region of the photo that the network's input shows.
    region: RegionRecord,
    exits: Vec<ExitRecord>,
    /// None for an image without files, such as one that was not selected.
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<Files>,
}

/// The files that show all exits.
#[derive(Debug, Serialize)]
struct Files {
    /// The first layer's.
    #[serde(skip_serializing_if = "Option::is_none")]
    strip: Option<String>,
    /// Those of all layers, if there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    strips: Vec<String>,
    /// Sheets of several strips, one for each method.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    grids: Vec<String>,
    /// The archive of a photo that is given by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    arrays: Option<String>,
}

impl ExplainRecord {
    /// The record of an explained image; file names include `directory` if it is given.
    pub fn explained(image: &ImageArtifacts, directory: Option<&Path>) -> ExplainRecord {
        let records = Records { image, directory };
        let layers = image.spec.layers.all.len();
        let names = |of: &dyn Fn(usize) -> Artifact, count: usize| -> Vec<String> {
            (0..count)
                .map(of)
                .filter(|&artifact| records.is_written(artifact))
                .map(|a| records.name(a))
                .collect()
        };
        let strips = names(&|layer| Artifact::Strip { layer }, layers);
        let has_files = !image.list().is_empty();
        ExplainRecord {
            width: image.photo.width,
            height: image.photo.height,
            region: image.photo.crop.into(),
            exits: (0..image.explanations.exits()).map(|i| records.exit(i)).collect(),
            files: has_files.then(|| Files {
                strip: strips.first().cloned(),
                strips: if layers > 1 { strips } else { Vec::new() },
                grids: names(&|grid| Artifact::Grid { grid }, image.spec.layers.grids.len()),
                arrays: records.is_written(Artifact::Arrays).then(|| records.name(Artifact::Arrays)),
            }),
        }
    }

    /// The record of an image that was classified but not selected.
    pub fn not_selected(photo: &Photo, predictions: &[ExitPrediction], labels: &[String]) -> ExplainRecord {
        let exit = |prediction| ExitRecord::new(prediction, labels, photo.label);
        ExplainRecord {
            width: photo.width,
            height: photo.height,
            region: photo.crop.into(),
            exits: predictions.iter().map(exit).collect(),
            files: None,
        }
    }

    /// The text form: the image's name, a line for each exit, and the sheets.
    pub fn to_text(&self, id: &str) -> String {
        let ExplainRecord { width, height, exits, files, .. } = self;
        let image = printable(id);
        let mut text = format!("{image} ({width} x {height})\n{}", table::exits(exits));
        if let Some(files) = files {
            for (i, grid) in files.grids.iter().enumerate() {
                text += &format!("  {:11} {}\n", if i == 0 { "grid:" } else { "" }, printable(grid));
            }
            if let Some(strip) = &files.strip {
                text += &format!("  film strip: {}\n", printable(strip));
            }
            for strip in files.strips.iter().skip(1) {
                text += &format!("              {}\n", printable(strip));
            }
        }
        text
    }
}

/// Builds the records of an image's exits.
struct Records<'a> {
    image: &'a ImageArtifacts<'a>,
    directory: Option<&'a Path>,
}

impl Records<'_> {
    fn name(&self, artifact: Artifact) -> String {
        let name = self.image.name(artifact);
        self.directory.map_or(name.clone(), |path| path.join(&name).to_string_lossy().into_owned())
    }

    fn is_written(&self, artifact: Artifact) -> bool {
        self.image.spec.writes(artifact)
    }

    /// The name of the picture of a layer at an exit, if it is written.
    fn picture(&self, layer: usize, exit: usize) -> Option<String> {
        let artifact = Artifact::Picture { layer, exit };
        self.is_written(artifact).then(|| self.name(artifact))
    }

    /// The record of the exit at position `i`.
    fn exit(&self, i: usize) -> ExitRecord {
        let (spec, explanation) = (self.image.spec, self.image.explanations.at(i, 0));
        let layers = &spec.layers.all;
        let map = match layers[0].kind {
            LayerKind::Heatmap(source) if self.image.explanations.has(layers[0].kind, explanation) => {
                Some(self.map(i, source, explanation))
            }
            _ => None,
        };
        let several = layers.len() > 1 || map.is_none();
        let maps = layers.iter().enumerate().filter(|_| several);
        let maps = maps.filter(|(_, layer)| self.image.explanations.has(layer.kind, explanation));
        let maps = maps.map(|(number, layer)| self.layer(i, number, layer)).collect();
        let record = ExitRecord::new(&explanation.prediction, &spec.labels, self.image.photo.label);
        ExitRecord { map, maps, ..record }
    }

    /// The box of a heatmap, if boxes are requested.
    fn bounding_box(&self, source: HeatmapSource, explanation: &Explanation) -> Option<Option<BoxRecord>> {
        let Photo { crop, width, height, .. } = *self.image.photo;
        let found = || self.image.bounding_box(source, explanation);
        let in_photo =
            || Some(found().and_then(|(found, grid)| found.in_photo(crop, grid, (width, height)))?.into());
        self.image.spec.pictures.boxes.is_some().then(in_photo)
    }

    /// The record of the first layer, a heatmap.
    fn map(&self, exit: usize, source: HeatmapSource, explanation: &Explanation) -> MapRecord {
        let image = self.image;
        let heatmap = image.explanations.heatmap(source, explanation);
        let is_article = image.spec.article.is_some();
        MapRecord {
            target: explanation.target,
            target_name: image.spec.labels[explanation.target].clone(),
            score: explanation.score,
            status: heatmap.status,
            map_min: heatmap.min,
            map_max: heatmap.max,
            bounding_box: self.bounding_box(source, explanation),
            files: self.picture(0, exit).map(|cam| MapFiles {
                cam,
                cam_gb: image.cam_gb_artifact(exit, 0).map(|artifact| self.name(artifact)),
                input: is_article.then(|| self.name(Artifact::Input { exit, rank: 0 })),
            }),
        }
    }

    /// The record of the layer with this position at the exit at position `i`.
    fn layer(&self, i: usize, position: usize, layer: &Layer) -> LayerRecord {
        let ImageArtifacts { spec, explanations, .. } = self.image;
        let explanation = explanations.at(i, layer.rank);
        let status = explanations.status(layer.kind, explanation);
        let file = self.picture(position, i);
        let heatmap = |source: HeatmapSource| {
            let heatmap = explanations.heatmap(source, explanation);
            let (method, taps) = match source {
                HeatmapSource::Cam { method, tap } => {
                    let map = explanations.map(explanation, method, tap);
                    (map.method.name(), vec![map.tap.to_string()])
                }
                HeatmapSource::Fused { method } => {
                    let fused = &explanation.fused[method];
                    (fused.method.name(), fused.taps.clone())
                }
            };
            (method, taps, (heatmap.min, heatmap.max))
        };
        let (method, taps, (min, max)) = match layer.kind {
            LayerKind::Heatmap(source) => heatmap(source),
            LayerKind::Difference(difference) => heatmap(difference.minuend()),
            LayerKind::Pixels { method } => {
                let pixels = &explanation.pixels[method];
                (pixels.method.name(), Vec::new(), value_range(pixels))
            }
        };
        LayerRecord {
            method,
            taps,
            rank: (spec.layers.ranks > 1).then_some(layer.rank + 1),
            target: explanation.target,
            target_name: spec.labels[explanation.target].clone(),
            score: explanation.score,
            minus: match layer.kind {
                LayerKind::Difference(difference) => Some(difference.subtrahend().name(&spec.labels)),
                _ => None,
            },
            status,
            min,
            max,
            bounding_box: match layer.kind {
                LayerKind::Heatmap(source) => self.bounding_box(source, explanation),
                _ => None,
            },
            file,
        }
    }
}

/// Minimum and maximum.
fn value_range(pixels: &PixelAttribution) -> (f32, f32) {
    let values = pixels.values.iter().copied();
    values.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
}

/// Counts of a job's maps by status, and by exit for every status other than `ok`.
#[derive(Debug, Default)]
pub struct StatusCounts {
    maps: usize,
    empty: ExitCounts,
    constant: ExitCounts,
    nonfinite: ExitCounts,
}

impl StatusCounts {
    /// Counts the maps of an image, without differences, whose operands are counted already.
    pub fn count(&mut self, image: &ImageArtifacts) {
        let layers = image.spec.layers.all.iter();
        for layer in layers.filter(|layer| !matches!(layer.kind, LayerKind::Difference(_))) {
            for i in 0..image.explanations.exits() {
                let explanation = image.explanations.at(i, layer.rank);
                if !image.explanations.has(layer.kind, explanation) {
                    continue;
                }
                self.add(explanation.prediction.exit, image.explanations.status(layer.kind, explanation));
            }
        }
    }

    fn add(&mut self, exit: usize, status: MapStatus) {
        self.maps += 1;
        let counts = match status {
            MapStatus::Ok => return,
            MapStatus::Empty => &mut self.empty,
            MapStatus::Constant => &mut self.constant,
            MapStatus::Nonfinite => &mut self.nonfinite,
        };
        counts.add(exit);
    }

    /// A line for each status other than `ok`: `12 of 1000 maps are empty (exit 1: 12)`.
    pub fn summary(&self) -> Vec<String> {
        let statuses =
            [("empty", &self.empty), ("constant", &self.constant), ("not finite", &self.nonfinite)];
        statuses
            .into_iter()
            .filter_map(|(status, counts)| counts.sentence(self.maps, "maps", status))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_counts_each_status_by_exit() {
        let mut counts = StatusCounts::default();
        assert!(counts.summary().is_empty());
        for (exit, status) in [
            (1, MapStatus::Empty),
            (2, MapStatus::Ok),
            (1, MapStatus::Empty),
            (10, MapStatus::Empty),
            (2, MapStatus::Nonfinite),
        ] {
            counts.add(exit, status);
        }
        assert_eq!(
            counts.summary(),
            ["3 of 5 maps are empty (exit 1: 2, exit 10: 1)", "1 of 5 maps is not finite (exit 2: 1)"]
        );
    }
}
