//! The journal: one line per finished image, in the order in which the images were finished.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Disk, Shard, Summary};
use crate::util::input_file;
use crate::{Error, Result};

const VERSION: u32 = 1;

/// First line of a journal: the run's specification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JournalHeader {
    pub journal: u32,
    pub shard: String,
    pub images: usize,
    pub settings: Value,
    #[serde(rename = "remarks")]
    pub metadata: Value,
}

impl JournalHeader {
    pub fn new(shard: Shard, images: usize, settings: Value, metadata: Value) -> JournalHeader {
        JournalHeader { journal: VERSION, shard: shard.to_string(), images, settings, metadata }
    }
}

/// Journal entry of one image, done or failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// Index in the set, from 0.
    pub image: usize,
    /// Whether the image failed.
    pub failed: bool,
    /// Files of the image.
    pub files: Vec<WrittenFile>,
    /// Line of results.jsonl, without the line feed.
    pub row: Box<RawValue>,
}

/// A file that a run has written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenFile {
    /// Path relative to the run's folder, with `/` between components.
    pub name: String,
    /// Length.
    pub bytes: u64,
}

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    header: JournalHeader,
    /// Length of all complete lines in bytes.
    end: u64,
    /// Indices of the images that it covers.
    range: Range<usize>,
    /// Offset of each image's line; 0, the offset of the header, for images without a line.
    begins: Vec<u64>,
    done: usize,
    failed: usize,
}

impl Journal {
    /// Creates an empty journal at `path`.
    pub fn create(
        disk: &dyn Disk,
        path: &Path,
        header: &JournalHeader,
        range: Range<usize>,
    ) -> Result<Journal> {
        write(disk, path, header, std::iter::empty())?;
        Journal::open(disk, path, range)?.ok_or_else(|| Error::write(path, "removed by another process"))
    }

    /// Opens the journal at `path` for appending; `None` if there is none. Anything after the last
    /// complete line is cut off.
    ///
    /// # Errors
    /// As [`Journal::read`], or when it cannot be written.
    pub fn open(disk: &dyn Disk, path: &Path, range: Range<usize>) -> Result<Option<Journal>> {
        let file = match input_file::open_with(path, OpenOptions::new().read(true).append(true)) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            file => file.map_err(|e| Error::cannot_write(path, e))?,
        };
        let journal = Journal::read(path, file, |_| Ok(range))?;
        let length = journal.file.metadata().map_err(|e| Error::refused_by(path, "file", e))?.len();
        if length > journal.end {
            disk.cut(&journal.file, path, journal.end)?;
        }
        Ok(Some(journal))
    }

    /// Reads the journal in `file`, which is at `path`, up to its last complete line; `range` gives the
    /// indices of its images.
    ///
    /// # Errors
    /// When it cannot be read, or is not a journal.
    pub fn read(
        path: &Path,
        file: File,
        range: impl FnOnce(&JournalHeader) -> Result<Range<usize>>,
    ) -> Result<Journal> {
        let mut lines = LineReader { reader: BufReader::with_capacity(1 << 16, &file), line: Vec::new() };
        let refused = |place: &str, cause: String| Error::refused(path, place, cause);
        let unreadable = |e: std::io::Error| Error::refused_by(path, "file", e);
        let header = lines.next().map_err(unreadable)?;
        let header: JournalHeader = header
            .and_then(|line| serde_json::from_slice(line).ok())
            .ok_or_else(|| refused("line 1", "not the journal of a run; remove it to start over".into()))?;
        if header.journal != VERSION {
            let cause = format!("journal version {}, this program supports {VERSION}", header.journal);
            return Err(refused("line 1", cause));
        }
        let range = range(&header)?;
        let mut begins = vec![0; range.len()];
        let (mut end, mut done, mut failed) = (lines.line.len() as u64, 0, 0);
        while let Some(line) = lines.next().map_err(unreadable)? {
            // Images after a damaged line are done again.
            let Ok(entry) = serde_json::from_slice::<Entry>(line) else { break };
            if !range.contains(&entry.image) || begins[entry.image - range.start] != 0 {
                break;
            }
            begins[entry.image - range.start] = end;
            done += usize::from(!entry.failed);
            failed += usize::from(entry.failed);
            end += line.len() as u64;
        }
        Ok(Journal { path: path.into(), file, header, end, range, begins, done, failed })
    }

    /// The error of a line that cannot be read.
    fn unreadable(&self, error: impl std::error::Error + Send + Sync + 'static) -> Error {
        Error::refused_by(&self.path, "line", error)
    }

    pub fn header(&self) -> &JournalHeader {
        &self.header
    }

    /// Counts of the images that have a line.
    pub fn summary(&self) -> Summary {
        Summary { images: self.done + self.failed, failed: self.failed }
    }

    /// Whether `image` has a line.
    pub fn has(&self, image: usize) -> bool {
        self.range.contains(&image) && self.begins[image - self.range.start] != 0
    }

    /// Appends a line.
    ///
    /// # Errors
    /// When it cannot be written; then the journal is unchanged.
    ///
    /// # Panics
    /// When the image already has a line or is outside this journal's range.
    pub fn add(&mut self, disk: &dyn Disk, entry: &Entry) -> Result<()> {
        assert!(self.range.contains(&entry.image) && !self.has(entry.image), "image {}", entry.image);
        let line = serde_json::to_string(entry).expect("plain fields have a JSON form") + "\n";
        disk.append(&mut self.file, &self.path, line.as_bytes()).inspect_err(|_| {
            // If this fails too, the partial line is cut off when the journal is next opened.
            let _ = disk.cut(&self.file, &self.path, self.end);
        })?;
        self.begins[entry.image - self.range.start] = self.end;
        self.end += line.len() as u64;
        if entry.failed {
            self.failed += 1
        } else {
            self.done += 1
        }
        Ok(())
    }

    /// Keeps only the entries for which `keep` holds.
    ///
    /// # Errors
    /// When the journal cannot be read or written; then it is unchanged.
    pub fn retain(self, disk: &dyn Disk, keep: impl Fn(&Entry) -> bool) -> Result<Journal> {
        let (path, range) = (self.path.clone(), self.range.clone());
        let entries = self.entries().filter(|entry| entry.as_ref().map_or(true, &keep));
        write(disk, &path, &self.header, entries)?;
        drop(self);
        Journal::open(disk, &path, range)?.ok_or_else(|| Error::write(&path, "removed by another process"))
    }

    /// Entries in the order of the set, read one at a time.
    pub fn entries(&self) -> impl Iterator<Item = Result<Entry>> {
        let mut reader = BufReader::new(&self.file);
        // The reader's offset, if known.
        let mut at = None;
        let mut line = Vec::new();
        self.begins.iter().filter(|&&begin| begin != 0).map(move |&begin| {
            if at != Some(begin) {
                reader.seek(SeekFrom::Start(begin)).map_err(|e| self.unreadable(e))?;
            }
            line.clear();
            let read = reader.by_ref().read_until(b'\n', &mut line).map_err(|e| self.unreadable(e))?;
            at = Some(begin + read as u64);
            serde_json::from_slice(&line).map_err(|e| self.unreadable(e))
        })
    }
}

/// Reader of complete lines.
struct LineReader<'a> {
    reader: BufReader<&'a File>,
    line: Vec<u8>,
}

impl LineReader<'_> {
    /// The next line including its line feed; `None` after the last complete line.
    fn next(&mut self) -> std::io::Result<Option<&[u8]>> {
        self.line.clear();
        self.reader.read_until(b'\n', &mut self.line)?;
        Ok((self.line.last() == Some(&b'\n')).then_some(&self.line))
    }
}

/// Writes a complete journal.
///
/// # Errors
/// When it cannot be written, or the first error among `entries`.
pub fn write(
    disk: &dyn Disk,
    path: &Path,
    header: &JournalHeader,
    entries: impl Iterator<Item = Result<Entry>>,
) -> Result<()> {
    let header = serde_json::to_string(header).expect("JSON values have a text form");
    let entries =
        entries.map(|entry| Ok(serde_json::to_string(&entry?).expect("plain fields have a JSON form")));
    write_lines(disk, path, std::iter::once(Ok(header)).chain(entries))
}

/// Writes a file of lines durably, streaming them.
///
/// # Errors
/// When it cannot be written, or the first error among `lines`.
pub fn write_lines(
    disk: &dyn Disk,
    path: &Path,
    mut lines: impl Iterator<Item = Result<String>>,
) -> Result<()> {
    let mut unreadable = None;
    let written = disk.replace(path, true, &mut |file| {
        for line in &mut lines {
            let line = line.map_err(|e| {
                unreadable = Some(e);
                std::io::Error::other("its source cannot be read")
            })?;
            file.write_all(line.as_bytes())?;
            file.write_all(b"\n")?;
        }
        Ok(())
    });
    unreadable.map_or(written, Err)
}
