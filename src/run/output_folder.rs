//! The output folder of a command that is not a run: every call replaces the files of the one before.

use std::collections::HashSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::Serialize;
use serde_json::json;

use super::claim::create_and_lock;
use super::marker::{Kind, Marker};
use super::{Lock, RealDisk, Shard, WrittenFile, marker, paths};
use crate::error::path_text;
use crate::util::atomic_file::{Replacement, make_folder, write_atomically};
use crate::util::below::without_links;
use crate::{Error, Result};

/// A claimed and locked folder.
///
/// Files of other programs and inputs of the command are never replaced, and nothing is replaced before the
/// first complete file: a command that fails earlier leaves the folder as it was.
#[derive(Debug)]
pub struct OutputFolder {
    path: PathBuf,
    kind: Kind,
    /// Names of the command's inputs in this folder, in lower case, because some file systems ignore case.
    inputs: HashSet<String>,
    /// Whether the files of the folder may be replaced: the marker says that msdcam wrote them.
    ours: bool,
    /// Whether the marker says that the output is in progress.
    begun: Mutex<bool>,
    staged: Mutex<Vec<Replacement>>,
    _lock: Lock,
}

impl OutputFolder {
    /// Creates the folder if it is missing, locks it and checks that it can be written. `inputs` are the
    /// paths of the files that the command reads.
    ///
    /// # Errors
    /// [`Error::Write`] when it is a file, in use or cannot be written, [`Error::Usage`] when it holds other
    /// output or files of another program.
    pub fn claim(path: &Path, kind: Kind, inputs: impl IntoIterator<Item = PathBuf>) -> Result<OutputFolder> {
        let lock = create_and_lock(&RealDisk, path, kind.lock)?;
        let found = kind.read(path)?;
        if kind.marker == paths::MANIFEST && has_journal(path)? {
            return Err(marker::holds(path, marker::RUN.title));
        }
        if found == Marker::Missing {
            kind.check_unused(path, kind.files)?;
        }
        Ok(OutputFolder {
            path: path.into(),
            kind,
            inputs: names_within(path, inputs),
            ours: found != Marker::Missing,
            begun: Mutex::new(false),
            staged: Mutex::default(),
            _lock: lock,
        })
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Checks the names of files that are going to be written, before the first of them is.
    ///
    /// # Errors
    /// As [`OutputFolder::write`].
    pub fn check(&self, names: &[String]) -> Result<()> {
        names.iter().try_for_each(|name| self.target(name).map(drop))
    }

    /// Writes a file at once.
    ///
    /// # Errors
    /// [`Error::Usage`] when it is an input, [`Error::Write`] when it cannot be written or is a file of
    /// another program.
    pub fn write(&self, name: String, bytes: &[u8]) -> Result<WrittenFile> {
        let path = self.target(&name)?;
        self.begin()?;
        write_atomically(&path, bytes)?;
        Ok(WrittenFile::new(name, bytes))
    }

    /// Writes a file that appears when [`OutputFolder::finish`] is called.
    ///
    /// # Errors
    /// As [`OutputFolder::write`].
    pub fn stage(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.target(name)?;
        if let Some(folder) = path.parent() {
            make_folder(folder)?;
        }
        let mut file = Replacement::create(&path)?;
        file.write_all(bytes).map_err(|e| Error::cannot_write(&path, e))?;
        self.staged.lock().expect("no panic while it is locked").push(file);
        Ok(())
    }

    /// Opens a file that is written in pieces; the caller commits it before [`OutputFolder::finish`].
    ///
    /// # Errors
    /// As [`OutputFolder::write`].
    pub fn open(&self, name: &str) -> Result<Replacement> {
        Replacement::create(&self.target(name)?)
    }

    /// Puts the staged files in place, then the marker with `fields`.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn finish(self, fields: &impl Serialize) -> Result<()> {
        let marker = self.kind.complete(fields);
        self.finish_with(marker.as_bytes())
    }

    /// As [`OutputFolder::finish`], with the bytes of a marker that is not JSON.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn finish_with(self, marker: &[u8]) -> Result<()> {
        let write_marker = || write_atomically(&self.path.join(self.kind.marker), marker);
        if self.kind.is_page() {
            write_marker()?;
        } else {
            self.begin()?;
        }
        for file in self.staged.lock().expect("no panic while it is locked").drain(..) {
            file.commit(false)?;
        }
        if self.kind.is_page() { Ok(()) } else { write_marker() }
    }

    /// Marks the folder as in progress, once, before the first file of an earlier call is replaced.
    fn begin(&self) -> Result<()> {
        let mut begun = self.begun.lock().expect("no panic while it is locked");
        if !*begun {
            let marker = self.kind.in_progress(&json!({}));
            write_atomically(&self.path.join(self.kind.marker), marker.as_bytes())?;
            *begun = true;
        }
        Ok(())
    }

    /// The path of a file that may be written.
    fn target(&self, name: &str) -> Result<PathBuf> {
        let path = without_links(&self.path, name)?;
        if self.inputs.contains(&name.to_lowercase()) {
            let path = path_text(&path);
            return Err(Error::usage(format!("{path}: is an input; choose another folder with -o")));
        }
        if !self.ours && paths::is_file(&path)? {
            return Err(Error::write(&path, format!("is there, and not as part of {}", self.kind.title)));
        }
        Ok(path)
    }
}

/// Whether `folder` holds the journal of a run, or a shard.
fn has_journal(folder: &Path) -> Result<bool> {
    let of_shards = paths::shards(folder)?.into_iter().any(|shard| shard != Shard::WHOLE);
    Ok(of_shards || paths::exists(&folder.join(paths::journal(Shard::WHOLE)))?)
}

/// Names in lower case of those `inputs` that are in `folder`.
fn names_within(folder: &Path, inputs: impl IntoIterator<Item = PathBuf>) -> HashSet<String> {
    let Ok(folder) = folder.canonicalize() else { return HashSet::new() };
    let (mut names, mut last) = (HashSet::new(), None);
    for input in inputs {
        let parent = input.parent().unwrap_or(Path::new(""));
        // Most inputs are in the folder of the one before.
        let is_inside = match &last {
            Some((folder, is_inside)) if folder == parent => *is_inside,
            _ => Path::new(".").join(parent).canonicalize().is_ok_and(|parent| parent == folder),
        };
        last = Some((parent.to_path_buf(), is_inside));
        names.extend(
            input.file_name().filter(|_| is_inside).map(|name| name.to_string_lossy().to_lowercase()),
        );
    }
    names
}

/// Refuses an output file that is one of the files that the command reads, by whatever path.
///
/// # Errors
/// [`Error::Usage`] that names the file.
pub fn check_not_an_input<'a>(output: &Path, inputs: impl IntoIterator<Item = &'a Path>) -> Result<()> {
    let Ok(real) = output.canonicalize() else { return Ok(()) };
    match inputs.into_iter().find(|input| input.canonicalize().is_ok_and(|input| input == real)) {
        Some(_) => {
            let output = path_text(output);
            Err(Error::usage(format!("{output}: is an input; choose another file with -o")))
        }
        None => Ok(()),
    }
}
