//! The folder for photos that are given by name: each start replaces what an earlier one said.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::run::{Disk, Lock, RealDisk, WrittenFile};
use crate::util::atomic_file::{Replacement, write_atomically};
use crate::{Error, Result, run};

use crate::cli::exit_status::Tally;

/// One image a line.
const RESULTS: &str = "results.jsonl";
const MANIFEST: &str = "manifest.json";

/// A folder that results go to: complete once it has a manifest.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    results: Replacement,
    _lock: Lock,
}

impl Folder {
    /// Makes the folder if it is missing. Results and manifest of earlier photos go: from now on they
    /// would lie.
    ///
    /// # Errors
    /// When it is a file, in use, or cannot be made or changed, and when it has the run of a data set.
    pub fn open(path: &Path) -> Result<Folder> {
        let lock = run::acquire(&RealDisk, path, |manifest| manifest.get("dataset").is_some())?;
        for name in [MANIFEST, RESULTS] {
            RealDisk.remove(&path.join(name))?;
        }
        let results = Replacement::create(&path.join(RESULTS))?;
        Ok(Folder { path: path.into(), results, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: String, bytes: &[u8]) -> Result<WrittenFile> {
        write_atomically(&self.path.join(&name), bytes)?;
        Ok(WrittenFile { name, bytes: bytes.len() as u64 })
    }

    /// Adds a line to the results.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn record(&mut self, line: &str) -> Result<()> {
        let written = self.results.write_all(line.as_bytes());
        written.map_err(|e| Error::write(&self.path.join(RESULTS), e))
    }

    /// Puts the results in their place, then the manifest: how they were made, and that all are there.
    ///
    /// # Errors
    /// When one cannot be written.
    pub fn close(self, mut about: serde_json::Value, tally: &Tally) -> Result<()> {
        self.results.commit(false)?;
        about["images"] = tally.images().into();
        about["failed"] = tally.failed().into();
        about["results"] = RESULTS.into();
        let manifest = serde_json::to_string_pretty(&about).expect("a JSON value has a text form") + "\n";
        write_atomically(&self.path.join(MANIFEST), manifest.as_bytes())
    }
}
