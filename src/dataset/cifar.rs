//! CIFAR-10 and CIFAR-100 binary files (<https://www.cs.toronto.edu/~kriz/cifar.html>): records of one or
//! two label bytes and the red, green and blue planes of 32 x 32 pixels.

mod names;

use std::fs::Metadata;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Format;
use super::labels::Labeling;
use crate::error::reversible_text;
use crate::imaging::rgb_image::RgbImage;
use crate::util::input_file;
use crate::{Error, Result, imaging};

pub use names::{CIFAR10, COARSE, FINE};

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

/// A binary file of images.
#[derive(Debug)]
pub(super) struct Batch {
    file: PathBuf,
    variant: Variant,
    len: usize,
    /// State of the file when it was listed.
    stamp: Stamp,
}

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

/// Whether the regular file `path` is to be read as a CIFAR batch: by `format`, by its extension `bin`, or
/// by its length if it does not start like an image file.
pub(super) fn is_batch(path: &Path, format: Format) -> Result<bool> {
    match format {
        Format::Cifar10 | Format::Cifar100 => return Ok(true),
        Format::Folders => return Ok(false),
        Format::Auto => {}
    }
    let Ok(metadata) = path.metadata() else { return Ok(false) };
    let fits =
        |variant: Variant| metadata.len() > 0 && metadata.len().is_multiple_of(variant.record_len() as u64);
    let named = path.extension().is_some_and(|extension| extension == "bin");
    let mut start = Vec::new();
    let unreadable = |e| Error::cannot_read(path, e);
    Ok(named
        || (fits(Variant::Ten) || fits(Variant::Hundred)) && {
            input_file::open(path).and_then(|f| f.take(16).read_to_end(&mut start)).map_err(unreadable)?;
            !imaging::is_image(&start)
        })
}

impl Batch {
    /// Opens `path` and reads its labels; the finest labeling comes first.
    ///
    /// # Errors
    /// [`Error::Refused`] when the length or a label does not match a CIFAR file.
    pub fn open(path: &Path, format: Format) -> Result<(Batch, Vec<Labeling>)> {
        let variants: &[Variant] = match format {
            Format::Cifar10 => &[Variant::Ten],
            Format::Cifar100 => &[Variant::Hundred],
            _ => &[Variant::Ten, Variant::Hundred],
        };
        let unreadable = |e| Error::cannot_read(path, e);
        let stamp = Stamp::new(&path.metadata().map_err(unreadable)?);
        let mut refused = None;
        for &variant in variants
            .iter()
            .filter(|variant| stamp.len > 0 && stamp.len.is_multiple_of(variant.record_len() as u64))
        {
            let len = (stamp.len / variant.record_len() as u64) as usize;
            let batch = Batch { file: path.into(), variant, len, stamp };
            match batch.labelings() {
                Ok(labelings) => return Ok((batch, labelings)),
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
        let refused = |cause: String| Error::refused(&self.file, format!("image {i}"), cause);
        let unreadable = |e: std::io::Error| refused(format!("cannot read: {e}")).with_source(e);
        let mut file = input_file::open(&self.file).map_err(unreadable)?;
        let labels = self.variant.classes().len();
        let mut planes = vec![0; PIXELS];
        file.seek(SeekFrom::Start((i * self.variant.record_len() + labels) as u64)).map_err(unreadable)?;
        let read = file.read_exact(&mut planes);
        // Checked after reading, so that a change during the read is detected.
        if file.metadata().map(|metadata| Stamp::new(&metadata)).map_err(unreadable)? != self.stamp {
            return Err(refused("the file changed after its labels were read".into()));
        }
        read.map_err(unreadable)?;
        let pixel = |at: usize| [0, 1, 2].map(|channel| planes[channel * SIDE * SIDE + at]);
        Ok(RgbImage::new(SIDE, SIDE, (0..SIDE * SIDE).flat_map(pixel).collect()))
    }

    /// Reads the labels of all images.
    fn labelings(&self) -> Result<Vec<Labeling>> {
        let unreadable = |e| Error::cannot_read(&self.file, e);
        let classes = self.variant.classes();
        let mut labels = vec![Vec::with_capacity(self.len); classes.len()];
        let mut file = BufReader::with_capacity(1 << 18, input_file::open(&self.file).map_err(unreadable)?);
        let mut bytes = vec![0; classes.len()];
        for i in 0..self.len {
            file.read_exact(&mut bytes)
                .and_then(|()| file.seek_relative(PIXELS as i64))
                .map_err(unreadable)?;
            for ((labels, &label), classes) in labels.iter_mut().zip(&bytes).zip(classes) {
                let label = usize::from(label);
                if label >= classes.len() {
                    let (name, last) = (self.variant.name(), classes.len() - 1);
                    let cause = format!("label {label}: {name} has classes 0 to {last}");
                    return Err(Error::refused(&self.file, format!("image {i}"), cause));
                }
                labels.push(Some(label));
            }
        }
        let named = |(labels, names): (_, &&[&str])| Labeling {
            classes: names.iter().map(|&name| name.into()).collect(),
            labels,
            numbered: true,
        };
        Ok(labels.into_iter().zip(classes).map(named).rev().collect())
    }
}
