//! CIFAR-10 and CIFAR-100 in their binary form: records of one or two label bytes and the red,
//! green and blue planes of 32 x 32 pixels (<https://www.cs.toronto.edu/~kriz/cifar.html>).

mod names;

use std::fs::{File, Metadata};
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::labelling::Labelling;
use super::{Format, files};
use crate::imaging::rgb_image::RgbImage;
use crate::{Error, Result, imaging};

pub use names::{CIFAR10, COARSE, FINE};

/// Side of an image.
const SIDE: usize = 32;
/// Bytes of an image without its labels.
const PIXELS: usize = 3 * SIDE * SIDE;

/// One of the two data sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ten,
    Hundred,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Ten => "CIFAR-10",
            Kind::Hundred => "CIFAR-100",
        }
    }

    /// The classes of each label byte, in the file's order.
    fn classes(self) -> &'static [&'static [&'static str]] {
        match self {
            Kind::Ten => &[&CIFAR10],
            Kind::Hundred => &[&COARSE, &FINE],
        }
    }

    fn record(self) -> usize {
        self.classes().len() + PIXELS
    }
}

/// A file of images.
#[derive(Debug)]
pub struct Batch {
    file: PathBuf,
    kind: Kind,
    len: usize,
    /// As the file was when it was listed.
    stamp: Stamp,
}

/// What tells that a file is still the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    len: u64,
    /// Where the file system keeps it.
    modified: Option<SystemTime>,
}

impl Stamp {
    fn new(about: &Metadata) -> Stamp {
        Stamp { len: about.len(), modified: about.modified().ok() }
    }
}

/// Whether the regular file `path` is meant to be a CIFAR batch: by `format`, by its ending `bin`,
/// or by its length where it does not begin as a photo does.
pub(super) fn is_meant(path: &Path, format: Format) -> Result<bool> {
    match format {
        Format::Cifar10 | Format::Cifar100 => return Ok(true),
        Format::Folders | Format::Flat => return Ok(false),
        Format::Auto => {}
    }
    let Ok(about) = path.metadata() else { return Ok(false) };
    let fits = |kind: Kind| about.len() > 0 && about.len().is_multiple_of(kind.record() as u64);
    let named = path.extension().is_some_and(|ending| ending == "bin");
    let mut start = Vec::new();
    let unreadable = |e| Error::refused(path, "file", format!("cannot read: {e}"));
    Ok(named
        || (fits(Kind::Ten) || fits(Kind::Hundred)) && {
            File::open(path).and_then(|f| f.take(16).read_to_end(&mut start)).map_err(unreadable)?;
            !imaging::is_image(&start)
        })
}

impl Batch {
    /// Lists the images of `path`, and the ways in which they are labelled, the finest first.
    ///
    /// # Errors
    /// [`Error::Refused`] when the length or a label is none of a CIFAR file.
    pub(super) fn open(path: &Path, format: Format) -> Result<(Batch, Vec<Labelling>)> {
        let kinds: &[Kind] = match format {
            Format::Cifar10 => &[Kind::Ten],
            Format::Cifar100 => &[Kind::Hundred],
            _ => &[Kind::Ten, Kind::Hundred],
        };
        let unreadable = |e| Error::refused(path, "file", format!("cannot read: {e}"));
        let stamp = Stamp::new(&path.metadata().map_err(unreadable)?);
        let mut refused = None;
        for &kind in
            kinds.iter().filter(|kind| stamp.len > 0 && stamp.len.is_multiple_of(kind.record() as u64))
        {
            let len = (stamp.len / kind.record() as u64) as usize;
            let batch = Batch { file: path.into(), kind, len, stamp };
            match batch.labellings() {
                Ok(labellings) => return Ok((batch, labellings)),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        Err(refused.unwrap_or_else(|| {
            let sizes: Vec<String> = kinds
                .iter()
                .map(|kind| format!("{} images of {} bytes", kind.name(), kind.record()))
                .collect();
            let cause = format!("{} bytes are no whole number of {}", stamp.len, sizes.join(" or "));
            Error::refused(path, "length", cause)
        }))
    }

    /// How many images.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// `test_batch/00042`.
    pub(super) fn id(&self, i: usize) -> String {
        format!("{}/{i:05}", files::id(Path::new(self.file.file_stem().unwrap_or_default())))
    }

    /// The pixels of image `i`.
    pub(super) fn read(&self, i: usize) -> Result<RgbImage> {
        let refused = |cause: String| Error::refused(&self.file, format!("image {i}"), cause);
        let unreadable = |e: std::io::Error| refused(format!("cannot read: {e}"));
        let mut file = File::open(&self.file).map_err(unreadable)?;
        let labels = self.kind.classes().len();
        let mut planes = vec![0; PIXELS];
        file.seek(SeekFrom::Start((i * self.kind.record() + labels) as u64)).map_err(unreadable)?;
        let read = file.read_exact(&mut planes);
        // After reading: what was read before a change is still told.
        if file.metadata().map(|about| Stamp::new(&about)).map_err(unreadable)? != self.stamp {
            return Err(refused("the file changed after its labels were read".into()));
        }
        read.map_err(unreadable)?;
        let pixel = |at: usize| [0, 1, 2].map(|channel| planes[channel * SIDE * SIDE + at]);
        Ok(RgbImage::new(SIDE, SIDE, (0..SIDE * SIDE).flat_map(pixel).collect()))
    }

    /// Reads every image's labels.
    fn labellings(&self) -> Result<Vec<Labelling>> {
        let unreadable = |e| Error::refused(&self.file, "file", format!("cannot read: {e}"));
        let classes = self.kind.classes();
        let mut labels = vec![Vec::with_capacity(self.len); classes.len()];
        let mut file = BufReader::with_capacity(1 << 18, File::open(&self.file).map_err(unreadable)?);
        let mut bytes = vec![0; classes.len()];
        for i in 0..self.len {
            file.read_exact(&mut bytes)
                .and_then(|()| file.seek_relative(PIXELS as i64))
                .map_err(unreadable)?;
            for ((labels, &label), classes) in labels.iter_mut().zip(&bytes).zip(classes) {
                let label = usize::from(label);
                if label >= classes.len() {
                    let (name, last) = (self.kind.name(), classes.len() - 1);
                    let cause = format!("label {label}: {name} has classes 0 to {last}");
                    return Err(Error::refused(&self.file, format!("image {i}"), cause));
                }
                labels.push(Some(label));
            }
        }
        let named = |(labels, names): (_, &&[&str])| Labelling {
            classes: names.iter().map(|&name| name.into()).collect(),
            labels,
        };
        Ok(labels.into_iter().zip(classes).map(named).rev().collect())
    }
}
