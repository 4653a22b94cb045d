//! Objects of the images, for the pointing games: `--boxes`, `--masks`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::dataset::Item;
use crate::error::{path_text, printable};
use crate::faithfulness::{
    MapEvaluation, POINTING_TOLERANCE_AT_224, Pointing, object_share, pointing_energy, pointing_game_hit,
};
use crate::imaging::HeldImage;
use crate::imaging::rgb_image::RgbImage;
use crate::util::below::below;
use crate::{Error, Result};
use serde_json::{Value, json};

use super::object_boxes;
use super::object_boxes::Boxes;
use crate::cli::images::Photo;
use crate::cli::model::LoadedModel;

/// Options of the pointing games.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Objects for the pointing games")]
pub struct ObjectArgs {
    /// Bounding boxes of objects, in pixels of the photo: a COCO file, or JSON such as {"a.png":
    /// [{"box": [X, Y, WIDTH, HEIGHT], "class": "cat"}]}; a box without a class matches every class.
    /// Use --class label to explain the class of the object
    #[arg(long, value_name = "FILE", conflicts_with = "masks")]
    boxes: Option<PathBuf>,
    /// Folder with a mask for each image: a PNG file of the image's name and size, black outside of
    /// the object
    #[arg(long, value_name = "DIR")]
    masks: Option<PathBuf>,
    /// Maximum distance of the map's peak from the object, in pixels of the model's input [default: 15
    /// for 224, scaled to the input's shorter side]
    #[arg(long, value_name = "PIXELS", value_parser = tolerance, allow_hyphen_values = true)]
    tolerance: Option<f64>,
}

/// The objects of a data set.
pub struct Objects {
    source: ObjectSource,
    /// (H, W) of the model's input, in pixels.
    input: (usize, usize),
    tolerance: f64,
}

/// File or folder that the objects are read from.
enum ObjectSource {
    /// `used` holds the names of the images whose boxes were looked up.
    Boxes { file: PathBuf, boxes: Boxes, used: HashSet<String> },
    /// Folder of the masks.
    Masks(PathBuf),
}

impl ObjectArgs {
    /// The file of the boxes.
    pub fn file(&self) -> Option<PathBuf> {
        self.boxes.clone()
    }

    /// The objects, if an option gives them.
    ///
    /// # Errors
    /// When the file or the folder cannot be read.
    pub fn open(&self, model: &LoadedModel) -> Result<Option<Objects>> {
        let source = match (&self.boxes, &self.masks) {
            (Some(file), _) => ObjectSource::Boxes {
                file: file.clone(),
                boxes: object_boxes::read(file, &model.labels)?,
                used: HashSet::new(),
            },
            (None, Some(folder)) if folder.is_dir() => ObjectSource::Masks(folder.clone()),
            (None, Some(folder)) => return Err(Error::refused(folder, "masks", "expected a folder")),
            (None, None) => return Ok(None),
        };
        let input = (model.input.height, model.input.width);
        let scaled = POINTING_TOLERANCE_AT_224 * input.0.min(input.1) as f64 / 224.0;
        Ok(Some(Objects { source, input, tolerance: self.tolerance.unwrap_or(scaled) }))
    }
}

impl Objects {
    /// Plays the pointing games with each map of an image: `None` for a map that is not measured,
    /// `Some(None)` where the image has no object of the map's class.
    ///
    /// # Errors
    /// When the image's mask cannot be read or has another size than the image.
    pub fn point(
        &mut self,
        item: &Item,
        photo: &Photo,
        evaluations: &[MapEvaluation],
    ) -> Result<Vec<Option<Option<Pointing>>>> {
        let mask = match &mut self.source {
            ObjectSource::Masks(folder) => mask(folder, item, photo)?,
            ObjectSource::Boxes { boxes, used, .. } => {
                let name = name_in(boxes, item);
                used.extend(name.clone());
                None
            }
        };
        let point = |evaluation: &MapEvaluation| {
            evaluation.metrics.as_ref()?;
            let object = self.object(item, photo, mask.as_ref().map(|held| &held.image), evaluation.target);
            let map = &evaluation.saliency.heatmap.values;
            let pointing = object.iter().any(|on| *on).then(|| Pointing {
                hit: pointing_game_hit(map, &object, self.input.1, self.tolerance),
                // A measured map is non-negative and not zero.
                energy: pointing_energy(map, &object).unwrap_or(0.0),
                object_share: object_share(&object),
            });
            Some(pointing)
        };
        Ok(evaluations.iter().map(point).collect())
    }

    /// Object mask of the model's input, (H, W): the pixels whose centers are on an object of class `class`.
    fn object(&self, item: &Item, photo: &Photo, mask: Option<&RgbImage>, class: usize) -> Vec<bool> {
        let crop = photo.crop;
        let along =
            |i: usize, of: usize, from: f64, to: f64| from + (i as f64 + 0.5) / of as f64 * (to - from);
        let on = |x: f64, y: f64| match (&self.source, mask) {
            (ObjectSource::Boxes { boxes, .. }, _) => {
                let boxes = name_in(boxes, item).and_then(|name| boxes.get(&name));
                boxes.into_iter().flatten().any(|b| b.is_of(class) && b.contains(x, y))
            }
            (ObjectSource::Masks(_), Some(mask)) => {
                // The padding of an input is beside the photo.
                let is_inside = x >= 0.0 && y >= 0.0 && x < mask.width as f64 && y < mask.height as f64;
                is_inside && mask.pixel(x as usize, y as usize) != [0; 3]
            }
            (ObjectSource::Masks(_), None) => false,
        };
        let (height, width) = self.input;
        let at = |x: usize, y: usize| {
            on(along(x, width, crop.left, crop.right), along(y, height, crop.top, crop.bottom))
        };
        (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| at(x, y)).collect()
    }

    /// A note about boxes of images that were not evaluated; `None` where there are none.
    pub fn unused_boxes(&self) -> Option<String> {
        const SHOWN: usize = 5;
        let ObjectSource::Boxes { file, boxes, used } = &self.source else { return None };
        let mut names: Vec<String> =
            boxes.keys().filter(|name| !used.contains(*name)).map(|name| printable(name)).collect();
        names.sort();
        let more = if names.len() > SHOWN { ", ..." } else { "" };
        let shown = names[..names.len().min(SHOWN)].join(", ");
        let file = path_text(file);
        let count = names.len();
        let images = if count == 1 { "an image that was" } else { &format!("{count} images that were") };
        (count > 0).then(|| format!("{file}: boxes of {images} not measured: {shown}{more}"))
    }

    /// The source and the tolerance as JSON, for reports.
    pub fn to_json(&self) -> Value {
        let (key, path) = match &self.source {
            ObjectSource::Boxes { file, .. } => ("boxes", file),
            ObjectSource::Masks(folder) => ("masks", folder),
        };
        json!({ key: path_text(path), "tolerance": self.tolerance })
    }
}

/// The name under which an image has boxes: its id or its file name.
fn name_in(boxes: &Boxes, item: &Item) -> Option<String> {
    let file = Path::new(&item.id).file_name().unwrap_or_default().to_string_lossy().into_owned();
    [item.id.clone(), file].into_iter().find(|name| boxes.contains_key(name))
}

/// The mask of an image, by its id or, where that is not a path below the folder, its file name; `None` where
/// the folder has none.
fn mask(folder: &Path, item: &Item, photo: &Photo) -> Result<Option<HeldImage>> {
    let id = Path::new(&item.id).with_extension("png");
    let name = id.file_name().unwrap_or_default();
    let path = below(folder, &id.to_string_lossy()).or_else(|_| below(folder, &name.to_string_lossy()))?;
    if !path.exists() {
        return Ok(None);
    }
    let held = item.read_beside(&path)?;
    let mask = &held.image;
    if (mask.width, mask.height) != (photo.width, photo.height) {
        let (w, h) = (mask.width, mask.height);
        let cause = format!("{w} x {h} pixels, the image has {} x {}", photo.width, photo.height);
        return Err(Error::refused(&path, "mask", cause));
    }
    Ok(Some(held))
}

/// Parses `--tolerance`.
fn tolerance(text: &str) -> Result<f64, String> {
    let expected = || "expected a number of pixels, 0 or more".to_string();
    let pixels: f64 = text.parse().map_err(|_| expected())?;
    if pixels >= 0.0 && pixels.is_finite() { Ok(pixels) } else { Err(expected()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerance_is_finite_and_not_negative() {
        assert_eq!(tolerance("2.5"), Ok(2.5));
        for text in ["-1", "nan", "inf", "x"] {
            assert!(tolerance(text).is_err(), "{text}");
        }
    }
}
