//! CIFAR-10 and CIFAR-100 (<https://www.cs.toronto.edu/~kriz/cifar.html>): binary files, which are records of one
//! or two label bytes and the red, green and blue planes of 32 x 32 pixels, and the Python version.

pub(super) mod in_folder;
mod names;
mod python;

use std::borrow::Cow;
use std::fs::Metadata;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::labels::Labeling;
use super::{Format, folder};
use crate::error::reversible_text;
use crate::imaging::rgb_image::RgbImage;
use crate::util::input_file;
use crate::{Error, Result, imaging};

pub use names::{CIFAR10, COARSE, FINE};
use python::{PythonBatch, PythonLabels};

/// Side of an image, in pixels.
const SIDE: usize = 32;
/// Bytes of an image, without its labels.
const PIXELS: usize = 3 * SIDE * SIDE;

/// The two data sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variant {
    Ten,
    Hundred,
}

impl Variant {
    fn name(self) -> &'static str {
        match self {
            Variant::Ten => "CIFAR-10",
            Variant::Hundred => "CIFAR-100",
        }
    }

    /// The classes of each label byte, in the order of the bytes.
    fn classes(self) -> &'static [&'static [&'static str]] {
        match self {
            Variant::Ten => &[&CIFAR10],
            Variant::Hundred => &[&COARSE, &FINE],
        }
    }

    /// Bytes of a record.
    fn record_len(self) -> usize {
        self.classes().len() + PIXELS
    }
}

/// A file of images.
#[derive(Debug)]
pub(super) struct Batch {
    file: PathBuf,
    len: usize,
    pixels: Pixels,
    /// State of the file when it was listed.
    stamp: Stamp,
}

/// Where the planes of the images are.
#[derive(Debug)]
enum Pixels {
    /// In the file: those of image 0 begin at the offset `first`, each of the others `step` bytes later.
    File { first: u64, step: u64 },
    /// In memory, since the file has them as text.
    Held(Vec<u8>),
}

/// Limit of a file of the Python version, which is read whole for a moment: three times CIFAR-100's largest.
const LONGEST: u64 = 512 << 20;

/// Length and time of a file, to detect changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    len: u64,
    /// `None` where the file system has no modification times.
    modified: Option<SystemTime>,
}

impl Stamp {
    fn new(metadata: &Metadata) -> Stamp {
        Stamp { len: metadata.len(), modified: metadata.modified().ok() }
    }
}

/// Whether the regular file `path` is to be read as a CIFAR batch: by `format`, by its extension `bin`, as a pickle
/// of a dictionary, or by its length if it does not start like an image file.
pub(super) fn is_batch(path: &Path, format: Format) -> Result<bool> {
    match format {
        Format::Cifar10 | Format::Cifar100 => return Ok(true),
        Format::Folders => return Ok(false),
        Format::Auto => {}
    }
    let Ok(metadata) = path.metadata() else { return Ok(false) };
    let fits =
        |variant: Variant| metadata.len() > 0 && metadata.len().is_multiple_of(variant.record_len() as u64);
    let fits = fits(Variant::Ten) || fits(Variant::Hundred);
    if path.extension().is_some_and(|extension| extension == "bin") {
        return Ok(true);
    }
    if folder::is_image_name(path) && !fits {
        return Ok(false);
    }
    let start = start(path)?;
    Ok(python::is_pickle(&start) || fits && !imaging::is_image(&start))
}

/// The first bytes of a file.
fn start(path: &Path) -> Result<Vec<u8>> {
    let mut start = Vec::new();
    let read = input_file::open(path).and_then(|file| file.take(16).read_to_end(&mut start));
    read.map_err(|e| Error::cannot_read(path, e))?;
    Ok(start)
}

impl Batch {
    /// Opens `path` and reads its labels; the finest labeling comes first.
    ///
    /// # Errors
    /// [`Error::Refused`] when the length, a label or the pickle does not match a CIFAR file.
    pub fn open(path: &Path, format: Format) -> Result<(Batch, Vec<Labeling>)> {
        let variants: &[Variant] = match format {
            Format::Cifar10 => &[Variant::Ten],
            Format::Cifar100 => &[Variant::Hundred],
            _ => &[Variant::Ten, Variant::Hundred],
        };
        let unreadable = |e| Error::cannot_read(path, e);
        let stamp = Stamp::new(&path.metadata().map_err(unreadable)?);
        let start = start(path)?;
        if python::is_pickle(&start) {
            return Batch::open_python(path, variants, stamp);
        }
        if start.starts_with(b"\x1f\x8b") {
            return Err(Error::refused(path, "file", "compressed by gzip; unpack it first: tar xzf"));
        }
        let mut refused = None;
        for &variant in variants
            .iter()
            .filter(|variant| stamp.len > 0 && stamp.len.is_multiple_of(variant.record_len() as u64))
        {
            let step = variant.record_len() as u64;
            let len = (stamp.len / step) as usize;
            match read_labels(path, variant, len).and_then(|labels| labelings(path, variant, labels)) {
                Ok(labelings) => {
                    let first = variant.classes().len() as u64;
                    return Ok((
                        Batch { file: path.into(), len, pixels: Pixels::File { first, step }, stamp },
                        labelings,
                    ));
                }
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        Err(refused.unwrap_or_else(|| {
            let sizes: Vec<String> = variants
                .iter()
                .map(|variant| format!("{} images of {} bytes", variant.name(), variant.record_len()))
                .collect();
            let cause = format!("{} bytes are not a whole number of {}", stamp.len, sizes.join(" or "));
            Error::refused(path, "length", cause)
        }))
    }

    /// As [`Batch::open`], of the Python version.
    fn open_python(path: &Path, variants: &[Variant], stamp: Stamp) -> Result<(Batch, Vec<Labeling>)> {
        let bytes = input_file::read(path, LONGEST)?;
        let read = python::read(&bytes);
        let PythonBatch { labels, pixels } = read.map_err(|e| Error::refused(path, e.place, e.cause))?;
        let (variant, labels) = match labels {
            PythonLabels::Ten(labels) => (Variant::Ten, vec![labels]),
            PythonLabels::Hundred { coarse, fine } => (Variant::Hundred, vec![coarse, fine]),
        };
        if !variants.contains(&variant) {
            let cause = format!("those of {}, expected {}", variant.name(), variants[0].name());
            return Err(Error::refused(path, "labels", cause));
        }
        let labelings = labelings(path, variant, labels)?;
        let len = pixels.len() / PIXELS;
        let pixels = match pixels {
            Cow::Borrowed(planes) => {
                let first = (planes.as_ptr().addr() - bytes.as_ptr().addr()) as u64;
                Pixels::File { first, step: PIXELS as u64 }
            }
            Cow::Owned(planes) => Pixels::Held(planes),
        };
        Ok((Batch { file: path.into(), len, pixels, stamp }, labelings))
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Its path.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Id of image `i`, such as `test_batch/00042`.
    pub fn id(&self, i: usize) -> String {
        format!("{}/{i:05}", reversible_text(Path::new(self.file.file_stem().unwrap_or_default())))
    }

    /// The pixels of image `i`.
    pub fn read(&self, i: usize) -> Result<RgbImage> {
        let planes: Cow<[u8]> = match &self.pixels {
            Pixels::Held(planes) => planes[i * PIXELS..][..PIXELS].into(),
            Pixels::File { first, step } => self.read_planes(i, first + i as u64 * step)?.into(),
        };
        let pixel = |at: usize| [0, 1, 2].map(|channel| planes[channel * SIDE * SIDE + at]);
        Ok(RgbImage::new(SIDE, SIDE, (0..SIDE * SIDE).flat_map(pixel).collect()))
    }

    /// The planes of image `i`, which are at `offset` of the file.
    fn read_planes(&self, i: usize, offset: u64) -> Result<Vec<u8>> {
        let refused = |cause: String| Error::refused(&self.file, format!("image {i}"), cause);
        let unreadable = |e: std::io::Error| refused(format!("cannot read: {e}")).with_source(e);
        let mut file = input_file::open(&self.file).map_err(unreadable)?;
        let mut planes = vec![0; PIXELS];
        file.seek(SeekFrom::Start(offset)).map_err(unreadable)?;
        let read = file.read_exact(&mut planes);
        // Checked after reading, so that a change during the read is detected.
        if file.metadata().map(|metadata| Stamp::new(&metadata)).map_err(unreadable)? != self.stamp {
            return Err(refused("the file changed after its labels were read".into()));
        }
        read.map_err(unreadable)?;
        Ok(planes)
    }
}

/// Reads the labels of the `len` images of a binary file, a list for each label byte.
fn read_labels(path: &Path, variant: Variant, len: usize) -> Result<Vec<Vec<u32>>> {
    let unreadable = |e| Error::cannot_read(path, e);
    let mut labels = vec![Vec::with_capacity(len); variant.classes().len()];
    let mut file = BufReader::with_capacity(1 << 18, input_file::open(path).map_err(unreadable)?);
    let mut bytes = vec![0; labels.len()];
    for _ in 0..len {
        file.read_exact(&mut bytes).and_then(|()| file.seek_relative(PIXELS as i64)).map_err(unreadable)?;
        labels.iter_mut().zip(&bytes).for_each(|(labels, &label)| labels.push(label.into()));
    }
    Ok(labels)
}

/// Checks the labels of a file, a list for each of the variant's; the last, which is the finest, becomes the first.
fn labelings(path: &Path, variant: Variant, labels: Vec<Vec<u32>>) -> Result<Vec<Labeling>> {
    let classes = variant.classes();
    for (labels, classes) in labels.iter().zip(classes) {
        if let Some((i, label)) =
            labels.iter().enumerate().find(|(_, label)| **label as usize >= classes.len())
        {
            let (name, last) = (variant.name(), classes.len() - 1);
            let cause = format!("label {label}: {name} has classes 0 to {last}");
            return Err(Error::refused(path, format!("image {i}"), cause));
        }
    }
    let named = |(labels, names): (Vec<u32>, &&[&str])| Labeling {
        classes: names.iter().map(|&name| name.into()).collect(),
        labels: labels.into_iter().map(|label| Some(label as usize)).collect(),
        numbered: true,
    };
    Ok(labels.into_iter().zip(classes).map(named).rev().collect())
}
