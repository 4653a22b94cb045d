//! Images: prepared arrays as they are, photos read and prepared on several threads ahead of the model.

use std::path::PathBuf;

use msdcam::dataset::in_order;
use msdcam::error::{DeviceError, ErrorSource};
use msdcam::{Model, RgbImage};
use numpy::{PyReadonlyArray3, PyReadonlyArray4, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::arrays::{copied, elements};
use crate::call::{Signals, Stop};

/// Maximum number of reading threads: each has a file open.
const MAX_READERS: usize = 16;

/// A photo as Python gives it.
#[derive(FromPyObject)]
pub enum PhotoArgument<'py> {
    /// (H, W, 3), rows from the top.
    Pixels(PyReadonlyArray3<'py, u8>),
    /// A file.
    Path(PathBuf),
}

/// Images as Python gives them: exactly one of the two.
pub struct ImageArguments<'py> {
    /// Normalized images, (N, 3, H, W).
    pub tensor: Option<PyReadonlyArray4<'py, f32>>,
    /// Photos of any size.
    pub photos: Option<Vec<PhotoArgument<'py>>>,
}

/// A photo that is not prepared yet.
#[derive(Debug, Clone, Copy)]
pub enum Photo<'a> {
    Pixels { height: usize, width: usize, rgb: &'a [u8] },
    Path(&'a PathBuf),
}

/// The images of a call.
pub enum Images<'a> {
    /// Normalized images, one after another.
    Tensor(&'a [f32]),
    /// Photos to be prepared.
    Photos(Vec<Photo<'a>>),
}

impl<'py> PhotoArgument<'py> {
    /// The photo, borrowed.
    ///
    /// # Errors
    /// When it has no pixels or is not contiguous.
    pub fn borrowed(&self) -> PyResult<Photo<'_>> {
        match self {
            PhotoArgument::Path(path) => Ok(Photo::Path(path)),
            PhotoArgument::Pixels(array) => {
                let &[height, width, channels] = array.shape() else { unreachable!("three dimensions") };
                if channels != 3 || height == 0 || width == 0 {
                    let text = format!("image of shape ({height}, {width}, {channels}): expected (H, W, 3)");
                    return Err(PyValueError::new_err(text));
                }
                Ok(Photo::Pixels { height, width, rgb: elements(array, "image")? })
            }
        }
    }
}

impl Photo<'_> {
    /// The photo's pixels.
    ///
    /// # Errors
    /// When its file cannot be read; `MemoryError` when the system refuses a copy of its pixels.
    pub fn read(self) -> Result<RgbImage, Stop> {
        match self {
            Photo::Path(path) => Ok(RgbImage::open(path)?),
            Photo::Pixels { height, width, rgb } => Ok(RgbImage::new(width, height, copied("photo", rgb)?)),
        }
    }
}

impl<'py> ImageArguments<'py> {
    /// The images, borrowed.
    ///
    /// # Errors
    /// When they are not of the model's shape or not contiguous.
    pub fn borrowed(&self, model: &Model) -> PyResult<Images<'_>> {
        match (&self.tensor, &self.photos) {
            (Some(tensor), None) => {
                let (shape, input) = (tensor.shape(), model.input_shape());
                if shape[1..] != [input.c, input.h, input.w] {
                    let text = format!(
                        "images of shape {shape:?}: the network reads (N, {}, {}, {})",
                        input.c, input.h, input.w
                    );
                    return Err(PyValueError::new_err(text));
                }
                Ok(Images::Tensor(elements(tensor, "images")?))
            }
            (None, Some(photos)) => {
                Ok(Images::Photos(photos.iter().map(PhotoArgument::borrowed).collect::<PyResult<_>>()?))
            }
            _ => Err(PyValueError::new_err("expected either an array of images or a list of photos")),
        }
    }
}

impl Images<'_> {
    /// How many there are, each an input of `len` elements.
    pub fn count(&self, len: usize) -> usize {
        match self {
            Images::Tensor(tensor) => tensor.len() / len,
            Images::Photos(photos) => photos.len(),
        }
    }

    /// Calls `each` with the inputs of up to `batch` images after one another, (n, 3, H, W), until it fails. Photos
    /// are read and prepared by `threads` threads meanwhile.
    ///
    /// # Errors
    /// Those of `each`; when a photo cannot be read, or a signal comes.
    pub fn batches(
        &self,
        model: &Model,
        (batch, threads): (usize, usize),
        signals: &Signals,
        mut each: impl FnMut(&[f32]) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let len = model.input_shape().len();
        let photos = match self {
            Images::Tensor(tensor) => {
                for images in tensor.chunks(batch.saturating_mul(len)) {
                    signals.check()?;
                    each(images)?;
                }
                return Ok(());
            }
            Images::Photos(photos) => photos,
        };
        let prepare = |photo: Photo| Ok::<_, Stop>(model.prepare(&photo.read()?).tensor);
        // One photo is not worth a thread.
        if let [photo] = photos[..] {
            return each(&prepare(photo)?);
        }
        std::thread::scope(|scope| {
            let threads = threads.clamp(1, MAX_READERS).min(photos.len().max(1));
            let read = in_order(scope, threads, batch, photos.iter().copied(), prepare);
            let read = read.map_err(|refused| {
                msdcam::Error::from(DeviceError::Threads { threads, source: ErrorSource::new(refused) })
            })?;
            let mut inputs = Vec::with_capacity(batch.min(photos.len()) * len);
            for (done, tensor) in (1..).zip(read) {
                inputs.extend(tensor?);
                if inputs.len() == batch * len || done == photos.len() {
                    signals.check()?;
                    each(&inputs)?;
                    inputs.clear();
                }
            }
            Ok(())
        })
    }
}
