//! Sets of images, wherever they lie: CIFAR binary files, a folder for each class, a folder of
//! photos, photos by name. What is in them is listed at once; pixels are read one image at a time.

pub mod cifar;
mod digest;
mod files;
mod labelling;
mod list;
mod stream;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use list::paths;
pub use stream::{InOrder, in_order};

use crate::imaging::rgb_image::RgbImage;
use crate::{Error, Result, imaging};
use files::File;
use labelling::Labelling;

/// What a file or a folder holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// To be told by length, first bytes and where in a folder the images lie.
    #[default]
    Auto,
    /// A CIFAR-10 binary file.
    Cifar10,
    /// A CIFAR-100 binary file.
    Cifar100,
    /// A folder for each class: PyTorch users' `ImageFolder`.
    Folders,
    /// Photos without labels, however deep they lie.
    Flat,
}

/// Images, some of them with labels. See the module's documentation.
#[derive(Debug)]
pub struct Dataset {
    /// What it was opened from, for messages.
    name: PathBuf,
    parts: Vec<Part>,
    len: usize,
    /// The ways in which it is labelled: none, one, or CIFAR-100's two.
    labellings: Vec<Labelling>,
    /// Which time it is that an item's id comes up, where it is not the first.
    repeated: HashMap<usize, usize>,
}

/// The images of one file or folder.
#[derive(Debug)]
struct Part {
    first: usize,
    images: Images,
}

#[derive(Debug)]
enum Images {
    Cifar(Arc<cifar::Batch>),
    Files { folder: PathBuf, id_prefix: String, files: Vec<File> },
}

/// One image of a [`Dataset`].
#[derive(Debug, Clone)]
pub struct Item {
    /// Its position in the set, from 0.
    pub index: usize,
    /// Names it within its set, always the same: a path below the folder, the path as given, or
    /// `test_batch/00042` for image 42 (from 0) of a CIFAR file.
    pub id: String,
    /// Its class, from 0, where it has a label.
    pub label: Option<usize>,
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    File(PathBuf),
    Cifar(Arc<cifar::Batch>, usize),
    Unusable(PathBuf, Error),
}

/// Lists what is in `places`, one after another: photos, folders, CIFAR binary files.
///
/// A photo that is missing or damaged is found out only when it is read.
///
/// # Errors
/// [`Error::Refused`] for a folder without images, and for a file that is no CIFAR batch though
/// its name or `format` says so; [`Error::Usage`] where there is no place, or labels of two
/// places disagree about the classes.
pub fn open(places: &[PathBuf], format: Format) -> Result<Dataset> {
    let [first, others @ ..] = places else { return Err(Error::usage("no images are given")) };
    let mut dataset = Dataset {
        name: first.clone(),
        parts: Vec::new(),
        len: 0,
        labellings: Vec::new(),
        repeated: HashMap::new(),
    };
    for place in places {
        dataset.add(place, format, others.is_empty())?;
    }
    dataset.repeated = dataset.repeated_ids();
    Ok(dataset)
}

impl Dataset {
    /// How many images.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never: a set without an image cannot be opened.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Leaves out all but the first `images` images; at least one stays.
    pub fn truncate(&mut self, images: usize) {
        self.len = self.len.min(images.max(1));
    }

    /// What it was opened from: the first place.
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// The class names that labels count, where there are labels.
    pub fn classes(&self) -> Option<&[String]> {
        self.labellings.first().map(|labelling| labelling.classes.as_slice())
    }

    /// Makes labels count a network's `classes`: by name where the names are the network's, else
    /// in order where there are as many. A set without labels stays as it is.
    ///
    /// # Errors
    /// [`Error::Refused`] when the labels do not fit: names both sides.
    pub fn fit_labels(&mut self, classes: &[String]) -> Result<()> {
        let Some(first) = self.labellings.first() else { return Ok(()) };
        let refused = first.fit(classes).err();
        match self.labellings.iter().find_map(|labelling| labelling.fit(classes).ok()) {
            Some(fitted) => self.labellings = vec![fitted],
            None => return Err(Error::refused(&self.name, "labels", refused.unwrap_or_default())),
        }
        Ok(())
    }

    /// The image at position `i`.
    ///
    /// # Panics
    /// When there are no more than `i` images.
    pub fn item(&self, i: usize) -> Item {
        assert!(i < self.len, "image {i} of {}", self.len);
        let part = self.part(i);
        let within = i - part.first;
        let source = match &part.images {
            Images::Cifar(batch) => Source::Cifar(Arc::clone(batch), within),
            Images::Files { folder, files, .. } => files[within].source(folder),
        };
        let mut id = part.images.id(within);
        if let Some(time) = self.repeated.get(&i) {
            id += &format!(" ({time})");
        }
        Item { index: i, id, label: self.label(i), source }
    }

    /// The label of the image at position `i`; see [`Item::label`].
    pub fn label(&self, i: usize) -> Option<usize> {
        self.labellings.first().and_then(|labelling| labelling.labels[i])
    }

    /// Every image, in order.
    pub fn items(&self) -> impl ExactSizeIterator<Item = Item> + '_ {
        (0..self.len).map(|i| self.item(i))
    }

    /// Whether it is a number of photos, each opened by its own name.
    pub fn is_of_photos(&self) -> bool {
        let is_photo = |part: &Part| match &part.images {
            Images::Files { folder, .. } => folder.as_os_str().is_empty(),
            Images::Cifar(_) => false,
        };
        self.parts.iter().all(is_photo)
    }

    fn part(&self, i: usize) -> &Part {
        &self.parts[self.parts.partition_point(|part| part.first <= i) - 1]
    }

    fn add(&mut self, place: &Path, format: Format, alone: bool) -> Result<()> {
        let about = std::fs::metadata(place);
        let (images, labellings) = if about.as_ref().is_ok_and(|about| about.is_dir()) {
            let (files, labelling) = files::folder(place, format)?;
            let id_prefix = if alone { String::new() } else { files::id(place) + "/" };
            (Images::Files { folder: place.into(), id_prefix, files }, labelling.into_iter().collect())
        } else if about.is_ok_and(|about| about.is_file()) && cifar::is_meant(place, format)? {
            let (batch, labellings) = cifar::Batch::open(place, format)?;
            (Images::Cifar(Arc::new(batch)), labellings)
        } else {
            let files = vec![File::photo(place)];
            (Images::Files { folder: PathBuf::new(), id_prefix: String::new(), files }, Vec::new())
        };
        let more = images.len();
        self.parts.push(Part { first: self.len, images });
        labelling::join(&mut self.labellings, self.len, labellings, more, place)?;
        self.len += more;
        Ok(())
    }

    fn repeated_ids(&self) -> HashMap<usize, usize> {
        let mut times: HashMap<String, usize> = HashMap::new();
        let mut repeated = HashMap::new();
        for (i, item) in self.items().enumerate() {
            let time = times.entry(item.id).or_insert(0);
            *time += 1;
            if *time > 1 {
                repeated.insert(i, *time);
            }
        }
        repeated
    }
}

impl Images {
    fn len(&self) -> usize {
        match self {
            Images::Cifar(batch) => batch.len(),
            Images::Files { files, .. } => files.len(),
        }
    }

    fn id(&self, i: usize) -> String {
        match self {
            Images::Cifar(batch) => batch.id(i),
            Images::Files { id_prefix, files, .. } => id_prefix.clone() + &files::id(&files[i].path),
        }
    }
}

impl Item {
    /// Reads and decodes the image: opens its file and closes it again, whatever happens.
    ///
    /// # Errors
    /// [`Error::Refused`] when it cannot be read or is damaged, and when its file changed since it
    /// was listed or while it was read.
    pub fn read(&self) -> Result<RgbImage> {
        match &self.source {
            Source::File(path) => imaging::open(path),
            Source::Cifar(batch, i) => batch.read(*i),
            Source::Unusable(_, error) => Err(error.clone()),
        }
    }

    /// The file that it is in.
    pub fn file(&self) -> &Path {
        match &self.source {
            Source::File(path) | Source::Unusable(path, _) => path,
            Source::Cifar(batch, _) => batch.file(),
        }
    }
}
