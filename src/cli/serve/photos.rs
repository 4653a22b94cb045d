//! The photos of the page, prepared for every model. They are in memory only, the last few of them.

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::imaging::photo_memory::PhotoMemory;
use crate::imaging::rgb_image::RgbImage;
use crate::imaging::{HeldImage, encode_jpeg};
use crate::{Error, Result};

use super::kept::{Kept, Limits};
use super::models::ServedModel;
use crate::cli::images::Photo;

/// Limit of a photo's file, in bytes.
pub const LARGEST_FILE: usize = 64 << 20;
/// Limit of the memory for photos that are being decoded and prepared, in bytes.
const DECODING_MEMORY: u64 = 1 << 29;
/// Photos that are kept. Each takes about a megabyte for each model of a usual input; one of 2048 x 2048 pixels takes 70.
const LIMITS: Limits = Limits { number: 64, bytes: 256 << 20 };
/// JPEG quality of the picture of what a model sees, without visible differences.
const QUALITY: u8 = 92;

/// A photo.
#[derive(Debug)]
pub struct HeldPhoto {
    pub id: u64,
    /// Name of its file.
    pub name: String,
    /// For each model.
    prepared: Vec<PreparedPhoto>,
}

/// A photo as one model sees it.
#[derive(Debug)]
pub struct PreparedPhoto {
    pub photo: Photo,
    /// See [`PreparedPhoto::shown`].
    shown: OnceLock<String>,
}

impl PreparedPhoto {
    /// Memory that it takes, also once it is shown: the text of a JPEG is not longer than its pixels.
    fn bytes(&self) -> usize {
        let Photo { view, small_view, seen, .. } = &self.photo;
        let of = |picture: &Option<RgbImage>| picture.as_ref().map_or(0, |picture| picture.rgb.len());
        size_of_val(self.photo.input()) + seen.rgb.len() + 2 * of(view) + of(small_view)
    }

    /// The region of the photo that the model sees, as a data URL. It is made when it is asked for first, which can be
    /// while the photo is explained.
    pub fn shown(&self) -> &str {
        self.shown.get_or_init(|| {
            let view = self.photo.view.as_ref().expect("explain draws a picture of every exit");
            format!("data:image/jpeg;base64,{}", STANDARD.encode(encode_jpeg(view, QUALITY)))
        })
    }
}

/// What the page is told of a photo.
#[derive(Debug, Serialize)]
pub struct PhotoFacts<'a> {
    photo: String,
    name: &'a str,
    width: usize,
    height: usize,
}

/// The last photos.
#[derive(Debug)]
pub struct Photos {
    memory: Arc<PhotoMemory>,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    photos: Kept<u64, Arc<HeldPhoto>>,
    /// Of all photos so far.
    count: u64,
}

impl Photos {
    /// No photos.
    pub fn new() -> Photos {
        let held = Mutex::new(Held { photos: Kept::new(LIMITS), count: 0 });
        Photos { memory: PhotoMemory::new(DECODING_MEMORY), held }
    }

    /// Decodes the photo in a file's `bytes` and prepares it for `models`.
    ///
    /// # Errors
    /// When it cannot be decoded, or takes too much memory.
    pub fn add(&self, name: &str, bytes: &[u8], models: &[ServedModel]) -> Result<Arc<HeldPhoto>> {
        // The page sends a name, not a path.
        let name =
            Path::new(name).file_name().map_or("photo".into(), |name| name.to_string_lossy().into_owned());
        // Its share of the memory is given back when it has been prepared.
        let held = HeldImage::decode(bytes, Path::new(&name), &self.memory)?;
        let image = &held.image;
        let prepare = |model: &ServedModel| PreparedPhoto {
            photo: Photo::new(&model.loaded.model, image, None, model.views),
            shown: OnceLock::new(),
        };
        let prepared = models.iter().map(prepare).collect();
        drop(held);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.count += 1;
        let photo = Arc::new(HeldPhoto { id: held.count, name, prepared });
        held.photos.put(photo.id, Arc::clone(&photo), photo.bytes());
        Ok(photo)
    }

    /// The photo with this number, if it is still there.
    pub fn find(&self, id: &str) -> Option<Arc<HeldPhoto>> {
        let id: u64 = id.parse().ok()?;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.photos.find(&id).cloned()
    }
}

impl HeldPhoto {
    /// Memory that it takes.
    fn bytes(&self) -> usize {
        self.name.len() + self.prepared.iter().map(PreparedPhoto::bytes).sum::<usize>()
    }

    /// As the model at position `model` sees it.
    ///
    /// # Errors
    /// When there is no such model.
    pub fn of(&self, model: usize) -> Result<&PreparedPhoto> {
        let models = self.prepared.len();
        self.prepared.get(model).ok_or_else(|| Error::usage(format!("model {model} of {models}, from 0")))
    }

    /// What the page is told.
    pub fn facts(&self) -> PhotoFacts<'_> {
        let Photo { width, height, .. } = self.prepared[0].photo;
        PhotoFacts { photo: self.id.to_string(), name: &self.name, width, height }
    }
}
