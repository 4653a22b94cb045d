//! The images of a command: `IMAGE...`, `--format`, `--null`, `--limit`.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::dataset::Dataset;
use crate::{Error, Result, dataset};

/// Which images.
#[derive(Debug, clap::Args)]
pub struct DataArgs {
    /// Photos, folders of photos, CIFAR-10 or CIFAR-100 binary files; - reads paths from standard
    /// input, one a line
    #[arg(required = true, value_name = "IMAGE")]
    places: Vec<PathBuf>,
    /// What a folder or a file holds: folders for classes (`ImageFolder`) or, with flat, photos
    /// without labels
    #[arg(long, value_enum, value_name = "KIND", default_value_t = Format::Auto)]
    format: Format,
    /// The paths on standard input end in NUL, as `find -print0` writes them
    #[arg(short = '0', long)]
    null: bool,
    /// Only the first N images
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

/// As [`dataset::Format`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Auto,
    Cifar10,
    Cifar100,
    Folders,
    Flat,
}

impl DataArgs {
    /// Lists the images; their labels count the network's classes, which are called `labels`.
    ///
    /// # Errors
    /// When a list or folder holds none, or labels do not fit the network.
    pub fn open(&self, labels: &[String]) -> Result<Dataset> {
        let format = match self.format {
            Format::Auto => dataset::Format::Auto,
            Format::Cifar10 => dataset::Format::Cifar10,
            Format::Cifar100 => dataset::Format::Cifar100,
            Format::Folders => dataset::Format::Folders,
            Format::Flat => dataset::Format::Flat,
        };
        let mut dataset = dataset::open(&self.places()?, format)?;
        dataset.fit_labels(labels).map_err(|error| self.with_hint(error))?;
        if let Some(limit) = self.limit {
            dataset.truncate(limit as usize);
        }
        Ok(dataset)
    }

    /// A refusal of labels that were read off folders says how to do without.
    fn with_hint(&self, error: Error) -> Error {
        match error {
            Error::Refused { file, place, cause } if self.places.iter().any(|place| place.is_dir()) => {
                let cause = format!("{cause}; --format flat takes the folders' images without labels");
                Error::Refused { file, place, cause }
            }
            other => other,
        }
    }

    /// Whether the images are a set, and not a handful of photos that are given by name.
    pub fn is_set(&self, dataset: &Dataset) -> bool {
        self.places.iter().any(|place| place == Path::new("-")) || !dataset.is_of_photos()
    }

    /// The places, with the paths on standard input where `-` stands.
    fn places(&self) -> Result<Vec<PathBuf>> {
        let stdin = Path::new("-");
        let Some(at) = self.places.iter().position(|place| place == stdin) else {
            return Ok(self.places.clone());
        };
        let name = Path::new("standard input");
        let mut text = Vec::new();
        let read = std::io::stdin().lock().read_to_end(&mut text);
        read.map_err(|e| Error::refused(name, "list", format!("cannot read: {e}")))?;
        let listed = dataset::parse_path_list(&text, self.null)?;
        if listed.is_empty() {
            return Err(Error::refused(name, "list", "no path in it"));
        }
        let others = self.places[at + 1..].iter().filter(|place| *place != stdin);
        Ok(self.places[..at].iter().chain(&listed).chain(others).cloned().collect())
    }
}
