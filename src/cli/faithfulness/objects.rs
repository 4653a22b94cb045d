//! Where the objects are: `--boxes`, `--masks`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::dataset::Item;
use crate::error::printable;
use crate::faithfulness::{Assessment, Pointing, energy_pointing, pointing};
use crate::imaging::rgb_image::RgbImage;
use crate::{Error, Result, imaging};
use serde_json::{Value, json};

use super::boxes;
use super::boxes::Boxes;
use crate::cli::images::Photo;
use crate::cli::model::LoadedModel;

/// Which objects.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Where the objects are, for the pointing games")]
pub struct ObjectArgs {
    /// Boxes around objects: a COCO file, or JSON such as {"a.png": [{"box": [X, Y, WIDTH, HEIGHT],
    /// "class": "cat"}]}, in the photo's pixels; a box without a class holds any. --class label
    /// explains what they show
    #[arg(long, value_name = "FILE", conflicts_with = "masks")]
    boxes: Option<PathBuf>,
    /// A folder with a mask for each image, called as it but .png, of the photo's size: black is
    /// not the object
    #[arg(long, value_name = "DIR")]
    masks: Option<PathBuf>,
    /// How far the brightest pixel may lie from the object, pixels of the network's input [default:
    /// 15 of 224, in proportion]
    #[arg(long, value_name = "PIXELS", value_parser = tolerance, allow_hyphen_values = true)]
    tolerance: Option<f64>,
}

/// The objects of a data set.
pub struct Objects {
    place: Place,
    /// Side of the network's input.
    side: usize,
    tolerance: f64,
}

enum Place {
    Boxes { file: PathBuf, boxes: Boxes, seen: HashSet<String> },
    Masks(PathBuf),
}

impl ObjectArgs {
    /// The objects, where they are given.
    ///
    /// # Errors
    /// When the file or the folder cannot be used.
    pub fn open(&self, model: &LoadedModel) -> Result<Option<Objects>> {
        let place = match (&self.boxes, &self.masks) {
            (Some(file), _) => Place::Boxes {
                file: file.clone(),
                boxes: boxes::read(file, &model.labels)?,
                seen: HashSet::new(),
            },
            (None, Some(folder)) if folder.is_dir() => Place::Masks(folder.clone()),
            (None, Some(folder)) => return Err(Error::refused(folder, "masks", "is no folder")),
            (None, None) => return Ok(None),
        };
        let side = model.input();
        let proportion = pointing::TOLERANCE_AT_224 * side as f64 / 224.0;
        Ok(Some(Objects { place, side, tolerance: self.tolerance.unwrap_or(proportion) }))
    }
}

impl Objects {
    /// How each of an image's maps points; `None` of a map that was not measured, `Some(None)` where
    /// there is no object of its class.
    ///
    /// # Errors
    /// When the image's mask cannot be used.
    pub fn point(
        &mut self,
        item: &Item,
        photo: &Photo,
        assessments: &[Assessment],
    ) -> Result<Vec<Option<Option<Pointing>>>> {
        let mask = match &mut self.place {
            Place::Masks(folder) => mask(folder, item, photo)?,
            Place::Boxes { boxes, seen, .. } => {
                let name = name_in(boxes, item);
                seen.extend(name.clone());
                None
            }
        };
        let point = |assessment: &Assessment| {
            assessment.measures.as_ref()?;
            let object = self.object(item, photo, mask.as_ref(), assessment.target);
            let map = &assessment.saliency.heat.values;
            let pointing = object.iter().any(|on| *on).then(|| Pointing {
                hit: pointing::hits(map, &object, self.side, self.tolerance),
                // A measured map is nowhere negative and somewhere positive.
                energy: energy_pointing::energy(map, &object).unwrap_or(0.0),
                object_share: energy_pointing::object_share(&object),
            });
            Some(pointing)
        };
        Ok(assessments.iter().map(point).collect())
    }

    /// The pixels of the network's input, (S, S), whose centres lie on an object of class `class`.
    fn object(&self, item: &Item, photo: &Photo, mask: Option<&RgbImage>, class: usize) -> Vec<bool> {
        let crop = photo.crop;
        let along = |i: usize, from: f32, to: f32| {
            f64::from(from) + (i as f64 + 0.5) / self.side as f64 * f64::from(to - from)
        };
        let on = |x: f64, y: f64| match (&self.place, mask) {
            (Place::Boxes { boxes, .. }, _) => {
                let boxes = name_in(boxes, item).and_then(|name| boxes.get(&name));
                boxes.into_iter().flatten().any(|b| b.is_of(class) && b.holds(x, y))
            }
            (Place::Masks(_), Some(mask)) => {
                let (x, y) = ((x as usize).min(mask.width - 1), (y as usize).min(mask.height - 1));
                mask.rgb[3 * (y * mask.width + x)..][..3] != [0; 3]
            }
            (Place::Masks(_), None) => false,
        };
        let pixels = (0..self.side * self.side).map(|at| (at % self.side, at / self.side));
        pixels.map(|(x, y)| on(along(x, crop.left, crop.right), along(y, crop.top, crop.bottom))).collect()
    }

    /// Names the images that have boxes and are not in the data set.
    pub fn unknown(&self) -> Option<String> {
        const SHOWN: usize = 5;
        let Place::Boxes { file, boxes, seen } = &self.place else { return None };
        let mut names: Vec<String> =
            boxes.keys().filter(|name| !seen.contains(*name)).map(|name| printable(name)).collect();
        names.sort();
        let more = if names.len() > SHOWN { ", ..." } else { "" };
        let shown = names[..names.len().min(SHOWN)].join(", ");
        let file = printable(&file.to_string_lossy());
        let count = names.len();
        let images = if count == 1 { "an image that was" } else { &format!("{count} images that were") };
        (count > 0).then(|| format!("{file}: boxes of {images} not measured: {shown}{more}"))
    }

    /// For the settings.
    pub fn about(&self) -> Value {
        let (what, path) = match &self.place {
            Place::Boxes { file, .. } => ("boxes", file),
            Place::Masks(folder) => ("masks", folder),
        };
        json!({ what: printable(&path.to_string_lossy()), "tolerance": self.tolerance })
    }
}

/// The name under which an image has boxes: its id, or else its file's name.
fn name_in(boxes: &Boxes, item: &Item) -> Option<String> {
    let file = Path::new(&item.id).file_name().unwrap_or_default().to_string_lossy().into_owned();
    [item.id.clone(), file].into_iter().find(|name| boxes.contains_key(name))
}

/// An image's mask, where there is one.
fn mask(folder: &Path, item: &Item, photo: &Photo) -> Result<Option<RgbImage>> {
    let path = folder.join(Path::new(&item.id).with_extension("png"));
    if !path.exists() {
        return Ok(None);
    }
    let mask = imaging::open(&path)?;
    if (mask.width, mask.height) != (photo.width, photo.height) {
        let (w, h) = (mask.width, mask.height);
        let cause = format!("{w} x {h} pixels, the image has {} x {}", photo.width, photo.height);
        return Err(Error::refused(&path, "mask", cause));
    }
    Ok(Some(mask))
}

fn tolerance(text: &str) -> Result<f64, String> {
    let wanted = || "expected a number of pixels, 0 or more".to_string();
    let pixels: f64 = text.parse().map_err(|_| wanted())?;
    if pixels >= 0.0 && pixels.is_finite() { Ok(pixels) } else { Err(wanted()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tolerance_is_a_length() {
        assert_eq!(tolerance("2.5"), Ok(2.5));
        for text in ["-1", "nan", "inf", "x"] {
            assert!(tolerance(text).is_err(), "{text}");
        }
    }
}
