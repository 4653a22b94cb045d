//! The explanation of one photo in memory, with one method at one tap: what its files and a page show of it.

use crate::explain::{ExplainRequest, Explanation, Smoothing};
use crate::imaging::heatmap::{Heatmap, MapStatus};
use crate::imaging::with_longer_side;
use crate::render::contour::{Segment, contour};
use crate::report::{MapSource, QuantizedMaps};
use crate::run::FlatNames;
use crate::{Error, Result};

use super::Args;
use super::artifacts::{Artifact, ArtifactSpec, ImageArtifacts};
use super::layer_view::Explanations;
use super::layers::{Layer, LayerKind};
use super::sink::photo_stem;
use crate::cli::drawn_names;
use crate::cli::images::{Photo, ViewSides};
use crate::cli::model::LoadedModel;
use crate::cli::timings::Timings;

/// Longer side of the grid in which contour lines are found, in pixels.
const CONTOUR_GRID: usize = 128;

/// The settings of an `explain` command whose pictures show one layer.
#[derive(Debug)]
pub struct OnePhotoJob {
    pub request: ExplainRequest,
    spec: ArtifactSpec,
}

/// A file of a photo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhotoFile {
    /// The picture of the exit at this position.
    Picture(usize),
    /// The film strip.
    Strip,
    /// The archive of the arrays.
    Arrays,
}

/// A photo and its explanations, one for each exit.
#[derive(Debug, Clone, Copy)]
pub struct ExplainedPhoto<'a> {
    pub job: &'a OnePhotoJob,
    /// The photo's file name.
    pub name: &'a str,
    pub photo: &'a Photo,
    pub explanations: &'a [Explanation],
}

impl OnePhotoJob {
    /// The job of `args`, which the model that they name is loaded for already.
    ///
    /// # Errors
    /// When the options do not fit the model or each other, or ask for several layers.
    pub fn new(args: &Args, model: &LoadedModel) -> Result<OnePhotoJob> {
        let (request, spec) = args.spec(model, None)?;
        match &spec.layers.all[..] {
            [_] => Ok(OnePhotoJob { request, spec }),
            layers => Err(Error::usage(format!("{} maps an exit are asked for, expected one", layers.len()))),
        }
    }

    /// The views of a photo that its pictures need.
    pub fn views(&self) -> ViewSides {
        self.spec.views()
    }
}

impl<'a> ExplainedPhoto<'a> {
    fn layer(&self) -> &'a Layer {
        &self.job.spec.layers.all[0]
    }

    fn of_exits(&self) -> Explanations<'a> {
        let OnePhotoJob { request, spec } = self.job;
        let smoothed = request.smoothing != Smoothing::None;
        Explanations { all: self.explanations, layers: &spec.layers, smoothed }
    }

    fn image(&self) -> ImageArtifacts<'a> {
        ImageArtifacts {
            spec: &self.job.spec,
            stem: photo_stem(&mut FlatNames::default(), self.name),
            title: drawn_names::title(self.name, 0),
            photo: self.photo,
            explanations: self.of_exits(),
        }
    }

    /// Name and content of a file, as `explain` writes it.
    pub fn file(&self, file: PhotoFile) -> (String, Vec<u8>) {
        let (image, timings) = (self.image(), Timings::default());
        let artifact = match file {
            PhotoFile::Picture(exit) => Artifact::Picture { layer: 0, exit },
            PhotoFile::Strip => Artifact::Strip { layer: 0 },
            PhotoFile::Arrays => Artifact::Arrays,
        };
        (image.name(artifact), image.bytes(artifact, &timings))
    }

    /// Width of the network's input divided by its height.
    pub fn aspect(&self) -> f64 {
        let (height, width) = self.job.spec.input;
        width as f64 / height as f64
    }

    /// Whether what the layer shows of an exit carries information.
    pub fn status(&self, exit: usize) -> MapStatus {
        let explanation = &self.explanations[exit];
        match self.of_exits().has(self.layer().kind, explanation) {
            true => self.of_exits().status(self.layer().kind, explanation),
            false => MapStatus::Empty,
        }
    }

    /// The maps of all exits for a page; `None` for a pixel method.
    pub fn quantized(&self) -> Option<QuantizedMaps> {
        let LayerKind::Heatmap(source) = self.layer().kind else { return None };
        let own = self.job.request.taps == crate::Taps::Exit;
        let of_exits = self.of_exits();
        let tap = |explanation: &Explanation| {
            let name = explanation.maps.first().map_or(String::new(), |map| map.tap.to_string());
            if own { MapSource::Own(name) } else { MapSource::Tap(name) }
        };
        let maps =
            self.explanations.iter().map(|explanation| match of_exits.has(self.layer().kind, explanation) {
                true => {
                    let (map, size) = of_exits.raw(source, explanation);
                    (size, map)
                }
                false => ((1, 1), &[0.0][..]),
            });
        Some(QuantizedMaps::new(self.explanations.iter().map(tap).collect(), maps))
    }

    /// (height, width) of the grid of [`ExplainedPhoto::contours`] and [`ExplainedPhoto::bounding_box`].
    pub fn grid(&self) -> (usize, usize) {
        with_longer_side(self.job.spec.input, CONTOUR_GRID)
    }

    /// The contour lines of an exit's heatmap that its picture has, in pixels of the grid.
    pub fn contours(&self, exit: usize) -> Vec<Segment> {
        let LayerKind::Heatmap(source) = self.layer().kind else { return Vec::new() };
        let (image, explanation) = (self.image(), &self.explanations[exit]);
        if self.status(exit) != MapStatus::Ok {
            return Vec::new();
        }
        let to = self.grid();
        let (map, size) = image.explanations.raw(source, explanation);
        let heatmap = match image.shared_scale(source, explanation.rank) {
            Some(scale) => Heatmap::on_scale(map, size, to, scale),
            None => image.explanations.heatmap_at(source, explanation, to),
        };
        let levels = &self.job.spec.pictures.overlay.contours;
        levels.iter().flat_map(|&level| contour(&heatmap, level)).collect()
    }

    /// The box of an exit's heatmap that its picture has: x, y, width and height in pixels of the grid.
    pub fn bounding_box(&self, exit: usize) -> Option<[f64; 4]> {
        let LayerKind::Heatmap(source) = self.layer().kind else { return None };
        if self.status(exit) != MapStatus::Ok {
            return None;
        }
        let (found, (rows, columns)) = self.image().bounding_box(source, &self.explanations[exit])?;
        let (height, width) = self.grid();
        let (across, down) = (width as f64 / columns as f64, height as f64 / rows as f64);
        let [x, y, w, h] = [found.x, found.y, found.width, found.height].map(|side| side as f64);
        Some([x * across, y * down, w * across, h * down])
    }
}
