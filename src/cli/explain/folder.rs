//! The folder that a run writes: complete once it has a manifest.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use msdcam::files::write_atomically;
use msdcam::{Error, Result};

use crate::cli::outcome::Tally;

/// One image a line.
const RESULTS: &str = "results.jsonl";
const MANIFEST: &str = "manifest.json";

/// A folder that results go to.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes the folder if it is missing. An earlier run's manifest goes: from now on it would lie.
    ///
    /// # Errors
    /// When it is a file, or cannot be made or changed.
    pub fn open(path: &Path) -> Result<Folder> {
        match std::fs::metadata(path) {
            Ok(about) if !about.is_dir() => return Err(Error::write(path, "is a file, expected a folder")),
            _ => std::fs::create_dir_all(path).map_err(|e| Error::write(path, e))?,
        }
        for name in [MANIFEST, RESULTS] {
            let old = path.join(name);
            match std::fs::remove_file(&old) {
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(Error::write(&old, e)),
                _ => {}
            }
        }
        Ok(Folder { path: path.into() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the results, then the manifest: how they were made, and that all are there.
    ///
    /// # Errors
    /// When one cannot be written.
    pub fn close(&self, results: &str, mut about: serde_json::Value, tally: &Tally) -> Result<()> {
        write_atomically(&self.path.join(RESULTS), results.as_bytes())?;
        about["images"] = tally.images().into();
        about["failed"] = tally.failed().into();
        about["results"] = RESULTS.into();
        let manifest = serde_json::to_string_pretty(&about).expect("a JSON value has a text form") + "\n";
        write_atomically(&self.path.join(MANIFEST), manifest.as_bytes())
    }
}
