//! The input images of a command: `IMAGE...`, `--format`, `--fit`, `--null`, `--limit`.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::dataset::{Dataset, Source};
use crate::imaging::{self, ResizePolicy};
use crate::{Error, Result, dataset};

use super::model::LoadedModel;
use super::{output, values};

/// Limit of what is read from standard input, in bytes.
const LONGEST_INPUT: u64 = imaging::MAX_BYTES;

/// Options that select the images.
#[derive(Debug, clap::Args)]
pub struct DataArgs {
    /// Photos, folders of photos, or CIFAR-10 or CIFAR-100 files, binary or Python's, or a folder of
    /// them, which is its test batch; - reads standard input: a picture, or paths, one per line
    #[arg(required = true, value_name = "IMAGE")]
    paths: Vec<PathBuf>,
    /// Format of the folders and files: folders has one folder per class (`ImageFolder`)
    #[arg(long, value_enum, value_name = "KIND", default_value_t = Format::Auto)]
    format: Format,
    /// Which class of the network a folder is: of that name, number (from 0, or from 1) or, for
    /// order, at its place in the sorted folders. auto: by name, otherwise by number. none ignores
    /// the labels, also those of a CIFAR file
    #[arg(long, value_enum, value_name = "RULE", default_value_t = LabelsBy::Auto)]
    labels_by: LabelsBy,
    /// How a photo is brought to the input of the network: crop scales it to cover the input and cuts to the
    /// center, crop256 scales its shorter side to 256 pixels first, stretch changes its aspect ratio, pad shows all
    /// of it between margins of the network's mean color [default: crop, of an ONNX file as it is described]
    #[arg(long, value_name = "HOW")]
    fit: Option<ResizePolicy>,
    /// Paths on standard input end in NUL, as from `find -print0`
    #[arg(short = '0', long)]
    null: bool,
    /// Process only the first N images
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Memory for the photos that are read at once, such as 512M or 4G. Reading waits for it; a photo that
    /// alone needs more fails. The default is enough for the largest photo of any format
    #[arg(long, value_name = "BYTES", default_value = "2G", value_parser = values::bytes)]
    photo_memory: usize,
}

/// The formats of [`dataset::Format`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Auto,
    Cifar10,
    Cifar100,
    Folders,
}

/// The rules of [`dataset::LabelsBy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum LabelsBy {
    Auto,
    Name,
    Number,
    Order,
    None,
}

impl DataArgs {
    /// Lists the images, and has `model` bring them to its input as `--fit` says. Their labels, if they have any, are
    /// indices of the model's classes. Notes about them go to standard error.
    ///
    /// # Errors
    /// When there are no images, or their labels do not match the model.
    pub fn open(&self, model: &mut LoadedModel) -> Result<Dataset> {
        let dataset = self.open_with(model, "; --labels-by none ignores the labels")?;
        announce(model, &dataset);
        Ok(dataset)
    }

    /// As [`DataArgs::open`], of images with labels.
    ///
    /// # Errors
    /// As [`DataArgs::open`], and when there are no labels.
    pub fn open_labeled(&self, model: &mut LoadedModel) -> Result<Dataset> {
        if self.labels_by == LabelsBy::None {
            return Err(Error::usage("--labels-by none: evaluate needs the labels"));
        }
        let dataset = self.open_with(model, "")?;
        if dataset.classes().is_none() {
            // A path that cannot be read has no labels for that reason.
            if dataset.is_of_photos() {
                dataset.item(0).read()?;
            }
            let none = "the images have none; expected a folder for each class, or a CIFAR file";
            let cause = dataset.why_unlabeled().unwrap_or(none);
            return Err(Error::refused(dataset.name(), "labels", cause));
        }
        announce(model, &dataset);
        Ok(dataset)
    }

    /// `remedy` is what else than an order of the folders helps where the labels do not match.
    fn open_with(&self, model: &mut LoadedModel, remedy: &str) -> Result<Dataset> {
        if let Some(fit) = self.fit {
            model.model.input.resize = fit;
        }
        let format = match self.format {
            Format::Auto => dataset::Format::Auto,
            Format::Cifar10 => dataset::Format::Cifar10,
            Format::Cifar100 => dataset::Format::Cifar100,
            Format::Folders => dataset::Format::Folders,
        };
        let labels_by = match self.labels_by {
            LabelsBy::Auto => dataset::LabelsBy::Auto,
            LabelsBy::Name => dataset::LabelsBy::Name,
            LabelsBy::Number => dataset::LabelsBy::Number,
            LabelsBy::Order => dataset::LabelsBy::Order,
            LabelsBy::None => dataset::LabelsBy::None,
        };
        let mut dataset = dataset::open(&self.sources()?, format)?;
        dataset.limit_memory(self.photo_memory as u64);
        if let Err(mut error) = dataset.fit_labels(&model.labels, labels_by) {
            if let Error::Refused { cause, .. } = &mut error {
                if dataset.has_order_of(&model.labels) {
                    cause.push_str("; --labels-by order takes them in sorted order");
                }
                cause.push_str(remedy);
            }
            return Err(error);
        }
        if let Some(limit) = self.limit {
            dataset.truncate(limit as usize);
        }
        Ok(dataset)
    }

    /// Whether the images are a data set rather than photos given by name.
    pub fn is_set(&self, dataset: &Dataset) -> bool {
        let is_listed = self.paths.iter().any(|path| path == Path::new("-")) && !dataset.has_picture();
        is_listed || !dataset.is_of_photos()
    }

    /// The given paths, with `-` replaced by the picture on standard input or by the paths that are listed there.
    fn sources(&self) -> Result<Vec<Source>> {
        let stdin = Path::new("-");
        let Some(at) = self.paths.iter().position(|path| path == stdin) else {
            return Ok(self.paths.iter().cloned().map(Source::Path).collect());
        };
        let name = Path::new("standard input");
        let mut bytes = Vec::new();
        let read = std::io::stdin().lock().take(LONGEST_INPUT + 1).read_to_end(&mut bytes);
        read.map_err(|e| Error::refused(name, "file", format!("cannot read: {e}")).with_source(e))?;
        if bytes.len() as u64 > LONGEST_INPUT {
            return Err(Error::refused(
                name,
                "file",
                format!("more than the limit of {LONGEST_INPUT} bytes"),
            ));
        }
        let found: Vec<Source> = if imaging::is_image(&bytes) {
            vec![Source::Picture("stdin".into(), bytes.into())]
        } else {
            dataset::parse_path_list(bytes, self.null)?.into_iter().map(Source::Path).collect()
        };
        if found.is_empty() {
            return Err(Error::refused(name, "list", "contains no path"));
        }
        let of_path = |path: &PathBuf| Source::Path(path.clone());
        let others = self.paths[at + 1..].iter().filter(|path| *path != stdin).map(of_path);
        Ok(self.paths[..at].iter().map(of_path).chain(found).chain(others).collect())
    }
}

/// Prints the notes about a data set.
fn announce(model: &LoadedModel, dataset: &Dataset) {
    dataset.notes().iter().filter(|_| !model.quiet).for_each(|note| output::note(note));
}
