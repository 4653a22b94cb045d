//! Data sets of images: CIFAR files, folders with a subfolder for each class, folders of photos, single photos and
//! pictures in memory. The images are listed when a data set is opened; pixels are read one image at a time.

pub mod cifar;
mod digest;
mod folder;
mod labels;
mod labels_by;
mod model_labels;
mod path_list;
mod stream;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use labels_by::{LabelMapping, LabelsBy, MappedClass};
pub use path_list::parse_path_list;
pub use stream::{InOrder, in_order};

use crate::error::{path_text, reversible_text};
use crate::imaging::HeldImage;
use crate::imaging::photo_memory::PhotoMemory;
use crate::{Error, Result};
use cifar::in_folder;
use folder::ListedFile;
use labels::Labeling;

/// Format of a file or folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Detected: files by length and first bytes, folders by where the images are.
    #[default]
    Auto,
    /// A CIFAR-10 file in the binary or the Python version, or a folder with its test batch.
    Cifar10,
    /// The same of CIFAR-100.
    Cifar100,
    /// A folder with a subfolder for each class, as torchvision's `ImageFolder`.
    Folders,
}

/// What the images of a data set come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A photo, a folder, or a CIFAR file.
    Path(PathBuf),
    /// A picture's file in memory, and what it is called.
    Picture(PathBuf, Arc<[u8]>),
}

impl From<PathBuf> for Source {
    fn from(path: PathBuf) -> Source {
        Source::Path(path)
    }
}

/// A list of images, some of them with labels.
#[derive(Debug)]
pub struct Dataset {
    /// The first path or picture that it was opened from, for messages.
    name: PathBuf,
    segments: Vec<Segment>,
    len: usize,
    /// Alternative labelings: none, one, or CIFAR-100's two.
    labelings: Vec<Labeling>,
    /// Why the labels of its paths do not go together.
    conflict: Option<Error>,
    /// Which class of the model each of its classes is, after [`Dataset::fit_labels`].
    mapping: Option<LabelMapping>,
    /// Why the labels of a CIFAR file do not fit the model.
    unlabeled: Option<String>,
    /// What a user is to know about how it was read.
    notes: Vec<String>,
    /// For each repeated id after the first: the index of the item and its number of occurrences so far.
    repeated: HashMap<usize, usize>,
    /// Memory that its photos share while they are read; without a limit unless [`Dataset::limit_memory`] was
    /// called.
    memory: Arc<PhotoMemory>,
}

/// The images of one file or folder.
#[derive(Debug)]
struct Segment {
    /// Index of its first image in the data set.
    first: usize,
    images: SegmentImages,
}

#[derive(Debug)]
enum SegmentImages {
    Cifar(Arc<cifar::Batch>),
    Files { folder: PathBuf, id_prefix: String, files: Vec<ListedFile> },
    Picture(PathBuf, Arc<[u8]>),
}

/// One image of a [`Dataset`].
#[derive(Debug, Clone)]
pub struct Item {
    /// Its index in the data set, from 0.
    pub index: usize,
    /// Unique and reproducible name in the data set: the path below the folder, the path as given, the name of a
    /// picture in memory, or `test_batch/00042` for image 42 (from 0) of a CIFAR file.
    pub id: String,
    /// Its label, a class index from 0.
    pub label: Option<usize>,
    source: ItemSource,
    memory: Arc<PhotoMemory>,
}

#[derive(Debug, Clone)]
enum ItemSource {
    File(PathBuf),
    /// Index of the image in the batch.
    Cifar(Arc<cifar::Batch>, usize),
    /// What it is called, and its file.
    Picture(PathBuf, Arc<[u8]>),
    /// Known not to be readable.
    Unusable(PathBuf, Error),
}

/// Lists the images of `sources`, one after another.
///
/// A missing or damaged photo is an error only when it is read.
///
/// # Errors
/// [`Error::Refused`] for a folder without images, and for a file that is not a CIFAR batch although its
/// name or `format` says so; [`Error::Usage`] when `sources` is empty.
pub fn open(sources: &[impl Clone + Into<Source>], format: Format) -> Result<Dataset> {
    let sources: Vec<Source> = sources.iter().cloned().map(Into::into).collect();
    let [first, others @ ..] = &sources[..] else { return Err(Error::usage("expected at least one image")) };
    let (Source::Path(name) | Source::Picture(name, _)) = first;
    let mut dataset = Dataset {
        name: name.clone(),
        segments: Vec::new(),
        len: 0,
        labelings: Vec::new(),
        conflict: None,
        mapping: None,
        unlabeled: None,
        notes: Vec::new(),
        repeated: HashMap::new(),
        memory: PhotoMemory::unlimited(),
    };
    for source in &sources {
        match source {
            Source::Path(path) => dataset.add(path, format, others.is_empty())?,
            Source::Picture(name, bytes) => {
                dataset.append(SegmentImages::Picture(name.clone(), Arc::clone(bytes)), Vec::new(), name);
            }
        }
    }
    dataset.repeated = dataset.repeated_ids();
    Ok(dataset)
}

impl Dataset {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Always false: a data set without images cannot be opened.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Keeps the first `images` images, at least one.
    pub fn truncate(&mut self, images: usize) {
        self.len = self.len.min(images.max(1));
    }

    /// Limits the memory of the photos that are read at once to `bytes`.
    pub fn limit_memory(&mut self, bytes: u64) {
        self.memory = PhotoMemory::new(bytes);
    }

    /// The first path or picture that it was opened from.
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// Names of the classes that the labels index; `None` without labels.
    pub fn classes(&self) -> Option<&[String]> {
        self.labelings.first().map(|labeling| labeling.classes.as_slice())
    }

    /// What a user is to know about how it was read, a line each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The image at index `i`.
    ///
    /// # Panics
    /// When `i` is not below the number of images.
    pub fn item(&self, i: usize) -> Item {
        assert!(i < self.len, "image {i} of {}", self.len);
        let segment = self.segment(i);
        let within = i - segment.first;
        let source = match &segment.images {
            SegmentImages::Cifar(batch) => ItemSource::Cifar(Arc::clone(batch), within),
            SegmentImages::Files { folder, files, .. } => files[within].source(folder),
            SegmentImages::Picture(name, bytes) => ItemSource::Picture(name.clone(), Arc::clone(bytes)),
        };
        let mut id = segment.images.id(within);
        if let Some(occurrence) = self.repeated.get(&i) {
            id += &format!(" ({occurrence})");
        }
        Item { index: i, id, label: self.label(i), source, memory: Arc::clone(&self.memory) }
    }

    /// The label of the image at index `i`: see [`Item::label`].
    ///
    /// # Panics
    /// When `i` is not below the number of images.
    pub fn label(&self, i: usize) -> Option<usize> {
        assert!(i < self.len, "image {i} of {}", self.len);
        self.labelings.first().and_then(|labeling| labeling.labels[i])
    }

    /// All images, in order.
    pub fn items(&self) -> impl ExactSizeIterator<Item = Item> + '_ {
        (0..self.len).map(|i| self.item(i))
    }

    /// The files that hold its images, one for each image.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.items().filter_map(|item| item.file().map(Path::to_path_buf))
    }

    /// Whether all that it was opened from are single photos.
    pub fn is_of_photos(&self) -> bool {
        let is_photo = |segment: &Segment| match &segment.images {
            SegmentImages::Files { folder, .. } => folder.as_os_str().is_empty(),
            SegmentImages::Picture(..) => true,
            SegmentImages::Cifar(_) => false,
        };
        self.segments.iter().all(is_photo)
    }

    /// Whether a picture in memory is among its images.
    pub fn has_picture(&self) -> bool {
        self.segments.iter().any(|segment| matches!(segment.images, SegmentImages::Picture(..)))
    }

    fn segment(&self, i: usize) -> &Segment {
        &self.segments[self.segments.partition_point(|segment| segment.first <= i) - 1]
    }

    /// Adds the images of `path`. `only` tells that it is the only path, whose name the ids do not need.
    fn add(&mut self, path: &Path, format: Format, only: bool) -> Result<()> {
        let metadata = match std::fs::metadata(path) {
            Err(e) if format != Format::Auto => return Err(Error::cannot_read(path, e)),
            metadata => metadata,
        };
        let (images, labelings) = match metadata {
            Ok(metadata) if metadata.is_dir() => self.list_folder(path, format, only)?,
            Ok(metadata) if metadata.is_file() && cifar::is_batch(path, format)? => open_batch(path, format)?,
            _ => {
                let files = vec![ListedFile::photo(path)];
                (SegmentImages::Files { folder: PathBuf::new(), id_prefix: String::new(), files }, Vec::new())
            }
        };
        self.append(images, labelings, path);
        Ok(())
    }

    fn append(&mut self, images: SegmentImages, labelings: Vec<Labeling>, path: &Path) {
        let count = images.len();
        self.segments.push(Segment { first: self.len, images });
        let conflict = labels::append(&mut self.labelings, self.len, labelings, count, path).err();
        self.conflict = self.conflict.take().or(conflict);
        self.len += count;
    }

    /// The images of a folder, or of the CIFAR test batch in it.
    fn list_folder(
        &mut self,
        path: &Path,
        format: Format,
        only: bool,
    ) -> Result<(SegmentImages, Vec<Labeling>)> {
        let (files, labeling) = match format {
            Format::Cifar10 | Format::Cifar100 => (Vec::new(), None),
            Format::Auto | Format::Folders => folder::list(path, format)?,
        };
        if files.is_empty() {
            let Some(batch) = in_folder::test_batch(path, format) else {
                return Err(Error::refused(path, "folder", in_folder::nothing_found(path, format)));
            };
            let name = reversible_text(Path::new(batch.file_name().unwrap_or_default()));
            self.notes.push(format!("{}: its test batch, {name}; others by name", path_text(path)));
            return open_batch(&batch, format);
        }
        let id_prefix = if only { String::new() } else { reversible_text(path) + "/" };
        Ok((SegmentImages::Files { folder: path.into(), id_prefix, files }, labeling.into_iter().collect()))
    }

    fn repeated_ids(&self) -> HashMap<usize, usize> {
        let mut occurrences: HashMap<String, usize> = HashMap::new();
        let mut repeated = HashMap::new();
        for (i, item) in self.items().enumerate() {
            let occurrence = occurrences.entry(item.id).or_insert(0);
            *occurrence += 1;
            if *occurrence > 1 {
                repeated.insert(i, *occurrence);
            }
        }
        repeated
    }
}

/// The images of a CIFAR file.
fn open_batch(path: &Path, format: Format) -> Result<(SegmentImages, Vec<Labeling>)> {
    let (batch, labelings) = cifar::Batch::open(path, format)?;
    Ok((SegmentImages::Cifar(Arc::new(batch)), labelings))
}

impl SegmentImages {
    fn len(&self) -> usize {
        match self {
            SegmentImages::Cifar(batch) => batch.len(),
            SegmentImages::Files { files, .. } => files.len(),
            SegmentImages::Picture(..) => 1,
        }
    }

    fn id(&self, i: usize) -> String {
        match self {
            SegmentImages::Cifar(batch) => batch.id(i),
            SegmentImages::Files { id_prefix, files, .. } => {
                id_prefix.clone() + &reversible_text(&files[i].path)
            }
            SegmentImages::Picture(name, _) => reversible_text(name),
        }
    }
}

impl Item {
    /// Reads and decodes the image. Its file is open only during the call; the memory is taken from the data
    /// set's until the image is dropped.
    ///
    /// # Errors
    /// [`Error::Refused`] when the image cannot be read or is damaged, needs more memory than the data set
    /// has, or when its file has changed since it was listed.
    pub fn read(&self) -> Result<HeldImage> {
        match &self.source {
            ItemSource::File(path) => HeldImage::open(path, &self.memory),
            ItemSource::Cifar(batch, i) => batch.read(*i).map(HeldImage::unlimited),
            ItemSource::Picture(name, bytes) => HeldImage::decode(bytes, name, &self.memory),
            ItemSource::Unusable(_, error) => Err(error.clone()),
        }
    }

    /// Reads and decodes another picture that belongs to it, such as a mask, within the same memory.
    ///
    /// # Errors
    /// As [`Item::read`].
    pub fn read_beside(&self, path: &Path) -> Result<HeldImage> {
        HeldImage::open(path, &self.memory)
    }

    /// The file that holds it; `None` for a picture in memory.
    pub fn file(&self) -> Option<&Path> {
        match &self.source {
            ItemSource::File(path) | ItemSource::Unusable(path, _) => Some(path),
            ItemSource::Cifar(batch, _) => Some(batch.file()),
            ItemSource::Picture(..) => None,
        }
    }
}
