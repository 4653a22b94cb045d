//! Pictures of one photo's explanations outside of a job: those that `explain` writes, from arrays that a caller
//! keeps.
//!
//! A [`Drawing`] is made once for a request; it draws one layer at a time. A layer shows one method at one column
//! of taps, for one of the targets of each exit.

use std::sync::Arc;

use crate::explain::{
    ActivationMap, ExitPrediction, ExplainRequest, Explanation, FusedMap, Method, PixelAttribution, Smoothing,
};
use crate::imaging::{Heatmap, MapStatus, RgbImage};
use crate::model::Model;
use crate::{Error, Result, Shape};

use super::artifacts::{ArtifactSpec, ImageArtifacts};
use super::layer_view::Explanations;
use super::layers::{HeatmapSource, Layer, LayerKind, Layers};
use super::picture_set::{PictureFormat, PictureSet};
use crate::cli::drawn_names;
use crate::cli::images::Photo;

pub use super::style_args::PictureOptions;

/// What a layer shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// The maps of the request's CAM method at this position, in a column of taps.
    Map {
        /// Position of the method among the request's CAM methods.
        method: usize,
        /// Position of the column: see [`Drawing::columns`].
        column: usize,
    },
    /// The fused maps of the request's CAM method at this position.
    Fused {
        /// Position of the method among the request's CAM methods.
        method: usize,
    },
    /// The attributions of the request's pixel method at this position.
    Pixels {
        /// Position of the method among the request's pixel methods.
        method: usize,
    },
}

/// One exit and target of a layer.
#[derive(Debug, Clone)]
pub struct LayerExit {
    /// What the exit predicts.
    pub prediction: ExitPrediction,
    /// The class that is explained.
    pub target: usize,
    /// The activation map after its ReLU, and its (rows, columns); empty for fused maps and pixel methods.
    pub map: (Vec<f32>, (usize, usize)),
    /// (H, W) elements of the heatmap; of a pixel method (3, H, W).
    pub values: Vec<f32>,
    /// Whether they carry information.
    pub status: MapStatus,
}

/// The layers of a request, ready to be drawn.
#[derive(Debug)]
pub struct Drawing {
    spec: ArtifactSpec,
    request: ExplainRequest,
}

impl Drawing {
    /// The layers of `request`, drawn as `pictures` say.
    ///
    /// # Errors
    /// When the request does not fit the model.
    pub fn new(model: &Model, request: &ExplainRequest, pictures: PictureOptions) -> Result<Drawing> {
        let drawn_labels = drawn_names::classes(&model.labels);
        let spec = ArtifactSpec {
            labels: model.labels.clone(),
            layers: Layers::new(request, None, model, &drawn_labels)?,
            drawn_labels,
            pixels: request.pixels.clone(),
            pictures,
            archive: false,
            set: PictureSet::All,
            format: PictureFormat::Png,
            article: None,
            input: (model.input.height, model.input.width),
        };
        Ok(Drawing { spec, request: request.clone() })
    }

    /// Columns of taps: the names of the request's taps that are the same for every exit.
    pub fn columns(&self) -> &[String] {
        &self.spec.layers.taps
    }

    /// The position among the maps of exit `exit` of the map of `method` in `column`, if the exit has one.
    pub fn place(&self, exit: usize, method: usize, column: usize) -> Option<usize> {
        self.spec.layers.map_at(exit, method, column)
    }

    /// The layer at one exit over `photo`, as `NAME_exit01_cam.png` shows it; `exit` is the exit's position.
    ///
    /// # Errors
    /// As [`Drawing::strip`], and when there is no exit at that position.
    pub fn picture(
        &self,
        model: &Model,
        photo: &RgbImage,
        (shown, rank): (Shown, usize),
        exits: Vec<LayerExit>,
        exit: usize,
    ) -> Result<RgbImage> {
        if exit >= self.request.exits.len() {
            let exits = self.request.exits.len();
            return Err(Error::usage(format!("picture of exit {exit} of {exits}, from 0")));
        }
        self.draw(model, photo, "", (shown, rank), exits, |image, layer| {
            image.picture(layer, exit, image.view())
        })
    }

    /// The layer at all exits beside `photo`, as `NAME_strip.png` shows it. `exits` has one element for each exit
    /// of the request and, for several targets, each rank.
    ///
    /// # Errors
    /// When the request has no such layer, or the arrays do not fit it.
    pub fn strip(
        &self,
        model: &Model,
        photo: &RgbImage,
        title: &str,
        layer: (Shown, usize),
        exits: Vec<LayerExit>,
    ) -> Result<RgbImage> {
        self.draw(model, photo, title, layer, exits, |image, layer| image.strip(layer))
    }

    fn draw(
        &self,
        model: &Model,
        photo: &RgbImage,
        title: &str,
        (shown, rank): (Shown, usize),
        exits: Vec<LayerExit>,
        draw: impl FnOnce(&ImageArtifacts, &Layer) -> RgbImage,
    ) -> Result<RgbImage> {
        let kind = match shown {
            Shown::Map { method, column } => LayerKind::Heatmap(HeatmapSource::Cam { method, tap: column }),
            Shown::Fused { method } => LayerKind::Heatmap(HeatmapSource::Fused { method }),
            Shown::Pixels { method } => LayerKind::Pixels { method },
        };
        let layers = &self.spec.layers;
        let Some(layer) = layers.all.iter().find(|layer| (layer.kind, layer.rank) == (kind, rank)) else {
            return Err(Error::usage(format!("no layer {shown:?} of rank {rank} in the request")));
        };
        let expected = self.request.exits.len() * layers.ranks;
        if exits.len() != expected {
            return Err(Error::usage(format!("{} exits and targets, expected {expected}", exits.len())));
        }
        let all = exits.into_iter().enumerate().map(|(i, exit)| {
            let (number, rank) = (self.request.exits[i / layers.ranks], i % layers.ranks);
            self.explanation(model, shown, (number, rank), exit)
        });
        let all = all.collect::<Result<Vec<_>>>()?;
        let photo = Photo::new(model, photo, None, self.spec.views());
        let image = ImageArtifacts {
            spec: &self.spec,
            stem: String::new(),
            title: if crate::render::can_draw(title) { title.into() } else { "image".into() },
            photo: &photo,
            explanations: Explanations {
                all: &all,
                layers,
                smoothed: self.request.smoothing != Smoothing::None,
            },
        };
        Ok(draw(&image, layer))
    }

    /// The explanation that holds what a layer shows of one exit and rank, and nothing of other layers.
    fn explanation(
        &self,
        model: &Model,
        shown: Shown,
        (exit, rank): (usize, usize),
        given: LayerExit,
    ) -> Result<Explanation> {
        let (height, width) = self.spec.input;
        let LayerExit { prediction, target, map: (map, (h, w)), values, status } = given;
        let planes = if matches!(shown, Shown::Pixels { .. }) { 3 } else { 1 };
        let classes = model.classes();
        let fits = [
            prediction.exit == exit && prediction.class < classes && target < classes,
            prediction.probabilities.len() == classes,
            values.len() == planes * height * width && values.iter().all(|x| x.is_finite()),
            map.len() == h * w && map.iter().all(|x| x.is_finite()),
        ];
        if fits != [true; 4] {
            return Err(Error::usage(format!("the arrays of exit {exit} do not fit the request")));
        }
        let empty = || Heatmap { width, height, values: Vec::new(), status, min: 0.0, max: 0.0 };
        let mut explanation = Explanation {
            prediction,
            rank,
            target,
            score: 0.0,
            maps: Vec::new(),
            fused: Vec::new(),
            pixels: Vec::new(),
        };
        let taps = (0..self.columns().len()).filter(|&column| self.place(exit, 0, column).is_some()).count();
        match shown {
            Shown::Map { method, column } => {
                let Some(place) = self.place(exit, method, column) else { return Ok(explanation) };
                let methods = &self.request.maps;
                let map_of = |i: usize| ActivationMap {
                    method: methods[i / taps],
                    tap: Arc::from(""),
                    shape: Shape::new(1, h, w),
                    weights: Vec::new(),
                    signed: Vec::new(),
                    map: Vec::new(),
                    heatmap: empty(),
                };
                explanation.maps = (0..methods.len() * taps).map(map_of).collect();
                let place = &mut explanation.maps[place];
                if map.is_empty() {
                    return Err(Error::usage(format!("the arrays of exit {exit} do not fit the request")));
                }
                place.map = map;
                place.heatmap.values = values;
            }
            Shown::Fused { method } => {
                let fused = |&method| FusedMap { method, taps: Vec::new(), heatmap: empty() };
                explanation.fused = self.request.maps.iter().map(fused).collect();
                explanation.fused[method].heatmap.values = values;
            }
            Shown::Pixels { method } => {
                let shape = Shape::new(3, height, width);
                let pixels = |&method| PixelAttribution { method, shape, values: Vec::new(), status };
                explanation.pixels = self.request.pixels.iter().map(pixels).collect();
                explanation.pixels[method].values = values;
            }
        }
        Ok(explanation)
    }
}

/// What a method's layer shows at a column of taps, or fused.
///
/// # Errors
/// When the request lacks the method or the column; `column` is not read for a pixel method.
pub fn shown(drawing: &Drawing, method: Method, column: Option<&str>) -> Result<Shown> {
    let request = &drawing.request;
    let missing = || Error::usage(format!("method {}: not one of the request", method.name()));
    match method {
        Method::Pixels(pixels) => {
            let method = request.pixels.iter().position(|&p| p == pixels).ok_or_else(missing)?;
            Ok(Shown::Pixels { method })
        }
        Method::Map(map) => {
            let method = request.maps.iter().position(|&m| m == map).ok_or_else(missing)?;
            match column {
                Some("fused") if request.fusion.is_some() => Ok(Shown::Fused { method }),
                None if request.fusion.is_some() => Ok(Shown::Fused { method }),
                None => Ok(Shown::Map { method, column: 0 }),
                Some(name) => {
                    let column = drawing.columns().iter().position(|column| column == name);
                    let column = column.ok_or_else(|| {
                        Error::usage(format!(
                            "tap '{name}': the request has {}",
                            drawing.columns().join(", ")
                        ))
                    })?;
                    Ok(Shown::Map { method, column })
                }
            }
        }
    }
}
