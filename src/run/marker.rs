//! Markers: the file of an output folder that says what the folder holds.
//!
//! A file's name proves nothing about who wrote it: `manifest.json` and `results.jsonl` are names that other
//! programs use. A folder is written into only if its marker says that msdcam wrote the same kind of output
//! there before, or if it holds none of the files that are to be written.

use std::io::Read;
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use super::{file_names, paths};
use crate::error::path_text;
use crate::util::input_file;
use crate::{Error, Result};

/// The program's name in markers.
const PROGRAM: &str = "msdcam";
/// Field of a marker whose output is not complete.
const IN_PROGRESS: &str = "in_progress";

/// A kind of output: what a command writes into a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// Value of the marker's field `kind`.
    pub name: &'static str,
    /// What the folder holds, for messages.
    pub title: &'static str,
    /// Name of the marker.
    pub marker: &'static str,
    /// Name of the lock.
    pub lock: &'static str,
    /// Names of files that are always written, apart from the marker.
    pub files: &'static [&'static str],
}

/// The run of a data set.
pub const RUN: Kind = Kind {
    name: "run",
    title: "the run of a data set",
    marker: paths::MANIFEST,
    lock: "lock",
    files: &[paths::RESULTS, paths::FAILED, file_names::IMAGES, paths::ARRAYS],
};

/// Explanations of photos that are given by name.
pub const PHOTOS: Kind = Kind {
    name: "photos",
    title: "explanations of photos",
    marker: paths::MANIFEST,
    lock: "lock",
    files: &[paths::RESULTS],
};

/// All kinds whose marker is JSON and may be in one folder with another kind's.
const KINDS: [Kind; 2] = [RUN, PHOTOS];

/// State of a folder's marker.
#[derive(Debug, Clone, PartialEq)]
pub enum Marker {
    /// There is none.
    Missing,
    /// Some files may be missing, or be those of an earlier output.
    InProgress(Value),
    /// All files are there.
    Complete(Value),
}

impl Kind {
    /// Reads the marker in `folder`.
    ///
    /// # Errors
    /// As [`Kind::read_as`].
    pub fn read(&self, folder: &Path) -> Result<Marker> {
        self.read_as(folder, self.marker)
    }

    /// As [`Kind::read`], of a marker with another `name`: that of a shard.
    ///
    /// # Errors
    /// [`Error::Usage`] when another program or another kind of output wrote the file; [`Error::Refused`] when
    /// it cannot be read.
    pub fn read_as(&self, folder: &Path, name: &str) -> Result<Marker> {
        let path = folder.join(name);
        let found = paths::if_there(std::fs::symlink_metadata(&path));
        match found.map_err(|e| Error::cannot_read(&path, e))? {
            None => return Ok(Marker::Missing),
            Some(about) if !about.is_file() => return Err(self.foreign(folder, name)),
            Some(_) => {}
        }
        if self.is_page() {
            return self.read_page(folder);
        }
        // What cannot be read says nothing of who wrote it.
        let Some(bytes) = input_file::read_if_exists(&path, input_file::JSON)? else {
            return Ok(Marker::Missing);
        };
        let Ok(marker) = serde_json::from_slice::<Value>(&bytes) else {
            return Err(self.foreign(folder, name));
        };
        let kind = marker["kind"].as_str().filter(|_| marker["program"] == PROGRAM);
        match kind {
            Some(kind) if kind == self.name => {}
            Some(other) => {
                let title = KINDS.iter().find(|kind| kind.name == other).map_or(other, |kind| kind.title);
                return Err(holds(folder, title));
            }
            None => return Err(self.foreign(folder, name)),
        }
        Ok(match marker.get(IN_PROGRESS) {
            Some(_) => Marker::InProgress(marker),
            None => Marker::Complete(marker),
        })
    }

    /// Whether the marker is a page instead of JSON. It has no state in between: the page comes first, then
    /// the files beside it.
    pub fn is_page(&self) -> bool {
        self.marker.ends_with(".html")
    }

    /// Reads a marker that is a page: its head names the generator.
    fn read_page(&self, folder: &Path) -> Result<Marker> {
        const HEAD: u64 = 4096;
        let path = folder.join(self.marker);
        let mut page = Vec::new();
        let read = input_file::open(&path).and_then(|file| file.take(HEAD).read_to_end(&mut page));
        read.map_err(|e| Error::cannot_read(&path, e))?;
        let generator = format!("<meta name=\"generator\" content=\"{PROGRAM} ");
        match page.windows(generator.len()).any(|window| window == generator.as_bytes()) {
            true => Ok(Marker::Complete(Value::Null)),
            false => Err(self.foreign(folder, self.marker)),
        }
    }

    /// Refuses a folder without a marker that holds a file of one of the `names` that are to be written.
    ///
    /// # Errors
    /// [`Error::Usage`] with the file's name; [`Error::Refused`] when it cannot be told whether there is such a file.
    pub fn check_unused(&self, folder: &Path, names: &[&str]) -> Result<()> {
        for name in names {
            let path = folder.join(name);
            let found = paths::if_there(path.symlink_metadata()).map_err(|e| Error::cannot_read(&path, e))?;
            if found.is_some() {
                return Err(self.foreign(folder, name));
            }
        }
        Ok(())
    }

    /// The text of the marker of complete output, which has these `fields`.
    pub fn complete(&self, fields: &impl Serialize) -> String {
        self.text(fields, None)
    }

    /// The text of the marker of output that is being written.
    pub fn in_progress(&self, fields: &impl Serialize) -> String {
        self.text(fields, Some(true))
    }

    fn text(&self, fields: &impl Serialize, in_progress: Option<bool>) -> String {
        // Not through a `Value`, which would write the digits of an f64 for an f32.
        #[derive(Serialize)]
        struct Marked<'a, F> {
            program: &'a str,
            kind: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            in_progress: Option<bool>,
            #[serde(flatten)]
            fields: &'a F,
        }
        let marked = Marked { program: PROGRAM, kind: self.name, in_progress, fields };
        serde_json::to_string_pretty(&marked).expect("fields have a JSON form") + "\n"
    }

    fn foreign(&self, folder: &Path, name: &str) -> Error {
        refused(folder, &format!("{name} is there, and not as part of {}", self.title))
    }
}

/// The fields that [`Kind::complete`] and [`Kind::in_progress`] add, which are not settings.
pub fn added() -> Value {
    json!({ "program": true, "kind": true, IN_PROGRESS: true })
}

/// The error for a folder that holds other output, called `title`.
pub fn holds(folder: &Path, title: &str) -> Error {
    refused(folder, &format!("holds {title}"))
}

fn refused(folder: &Path, cause: &str) -> Error {
    let folder = path_text(folder);
    Error::usage(format!("{folder}: {cause}; choose another folder with -o"))
}

/// Whether the JSON of a marker says that the output is not complete.
pub fn is_in_progress(marker: &Value) -> bool {
    marker.get(IN_PROGRESS).is_some()
}
