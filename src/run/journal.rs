//! The journal: one line per finished image, in the order in which the images were finished.
//!
//! Each line starts with the CRC-32 of the rest, so that damage costs the images of the damaged lines and no
//! others.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::arrays::ArraySpec;
use super::{Disk, RunSpec, Summary, WrittenFile};
use crate::util::file_id::has_hard_links;
use crate::util::input_file;
use crate::util::sha256::hex;
use crate::{Error, Result};

const VERSION: u32 = 3;
/// The oldest version that is read: without arrays.
const OLDEST: u32 = 2;

/// Maximum length of a line in bytes: a row of results with every exit, tap and rank is far below it.
const MAX_LINE: u64 = 1 << 26;

/// First line of a journal: the run's specification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JournalHeader {
    pub journal: u32,
    pub shard: String,
    pub images: usize,
    pub settings: Value,
    #[serde(rename = "remarks")]
    pub metadata: Value,
    #[serde(default)]
    pub arrays: ArraySpec,
}

impl JournalHeader {
    pub fn new(spec: &RunSpec) -> JournalHeader {
        let RunSpec { settings, metadata, arrays, images, shard } = spec.clone();
        JournalHeader { journal: VERSION, shard: shard.to_string(), images, settings, metadata, arrays }
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
    /// Checksum of the image's rows in the run's arrays, as [`super::Run::write_rows`] returns it; `None` in a run
    /// without arrays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u32>,
    /// Line of results.jsonl, without the line feed.
    pub row: Box<RawValue>,
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
    /// Offset of the line of each image that has one. The number of images comes from a file, so nothing is
    /// allocated for those without a line.
    begins: BTreeMap<usize, u64>,
    failed: usize,
    /// Complete lines that could not be read.
    damaged: usize,
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

    /// Opens the journal at `path` for appending; `None` if there is none. Damaged lines are removed, and so
    /// is anything after the last complete line. A journal that has hard links, such as those of a backup, is replaced
    /// by a copy.
    ///
    /// # Errors
    /// As [`Journal::read`], or when it cannot be written.
    pub fn open(disk: &dyn Disk, path: &Path, range: Range<usize>) -> Result<Option<Journal>> {
        let file = match input_file::open_with(path, OpenOptions::new().read(true).append(true)) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            file => file.map_err(|e| Error::cannot_write(path, e))?,
        };
        let journal = Journal::read(path, file, |_| Ok(range))?;
        let is_linked = has_hard_links(&journal.file).map_err(|e| Error::refused_by(path, "file", e))?;
        if journal.damaged > 0 || is_linked {
            let damaged = journal.damaged;
            return Ok(Some(Journal { damaged, ..journal.retain(disk, |_| true)? }));
        }
        let length = journal.file.metadata().map_err(|e| Error::refused_by(path, "file", e))?.len();
        if length > journal.end {
            disk.cut(&journal.file, path, journal.end)?;
        }
        Ok(Some(journal))
    }

    /// Reads the journal in `file`, which is at `path`, up to its last complete line; `range` gives the
    /// indices of its images. Images whose lines are damaged count as not done.
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
        let header = lines.next().map_err(unreadable)?.and_then(unsealed);
        let header: JournalHeader = header
            .and_then(|line| serde_json::from_slice(line).ok())
            .filter(|header: &JournalHeader| header.settings.is_object() && header.metadata.is_object())
            .ok_or_else(|| refused("line 1", "not the journal of a run; remove it to start over".into()))?;
        if !(OLDEST..=VERSION).contains(&header.journal) {
            let cause =
                format!("journal version {}, this program supports {OLDEST} to {VERSION}", header.journal);
            return Err(refused("line 1", cause));
        }
        let range = range(&header)?;
        let end = lines.line.len() as u64;
        let mut journal = Journal {
            path: path.into(),
            header,
            end,
            range,
            begins: BTreeMap::new(),
            failed: 0,
            damaged: 0,
            file: file.try_clone().map_err(unreadable)?,
        };
        while let Some(line) = lines.next().map_err(unreadable)? {
            let entry = unsealed(line).and_then(|line| serde_json::from_slice::<Entry>(line).ok());
            match entry.filter(|entry| journal.range.contains(&entry.image) && !journal.has(entry.image)) {
                Some(entry) => {
                    journal.begins.insert(entry.image, journal.end);
                    journal.failed += usize::from(entry.failed);
                }
                None => journal.damaged += 1,
            }
            journal.end += line.len() as u64;
        }
        Ok(journal)
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
        Summary { images: self.begins.len(), failed: self.failed }
    }

    /// Number of lines that could not be read when the journal was opened.
    pub fn damaged(&self) -> usize {
        self.damaged
    }

    /// Whether `image` has a line.
    pub fn has(&self, image: usize) -> bool {
        self.begins.contains_key(&image)
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
        let line = sealed(entry) + "\n";
        disk.append(&mut self.file, &self.path, line.as_bytes()).inspect_err(|_| {
            // If this fails too, the partial line is cut off when the journal is next opened.
            let _ = disk.cut(&self.file, &self.path, self.end);
        })?;
        self.begins.insert(entry.image, self.end);
        self.end += line.len() as u64;
        self.failed += usize::from(entry.failed);
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
        self.begins.values().map(move |&begin| {
            if at != Some(begin) {
                reader.seek(SeekFrom::Start(begin)).map_err(|e| self.unreadable(e))?;
            }
            line.clear();
            let read = reader.by_ref().read_until(b'\n', &mut line).map_err(|e| self.unreadable(e))?;
            at = Some(begin + read as u64);
            let damaged = || Error::refused(&self.path, "line", "changed while it was read");
            serde_json::from_slice(unsealed(&line).ok_or_else(damaged)?).map_err(|e| self.unreadable(e))
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
        self.reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut self.line)?;
        Ok((self.line.last() == Some(&b'\n')).then_some(&self.line))
    }
}

/// `value` as JSON on one line, after the CRC-32 of the JSON in hexadecimal.
fn sealed(value: &impl Serialize) -> String {
    let json = serde_json::to_string(value).expect("plain fields have a JSON form");
    format!("{:08x} {json}", crc32fast::hash(json.as_bytes()))
}

/// The JSON of a [`sealed`] line that ends with a line feed; `None` if it is damaged.
fn unsealed(line: &[u8]) -> Option<&[u8]> {
    let (digits, json) = line.strip_suffix(b"\n")?.split_at_checked(8)?;
    let json = json.strip_prefix(b" ")?;
    let crc = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    // A fuzzer does not guess checksums.
    (cfg!(fuzzing) || crc == crc32fast::hash(json)).then_some(json)
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
    let entries = entries.map(|entry| Ok(sealed(&entry?)));
    write_lines(disk, path, std::iter::once(Ok(sealed(header))).chain(entries)).map(drop)
}

/// Writes a file of lines durably, streaming them; returns the SHA-256 of its bytes.
///
/// # Errors
/// When it cannot be written, or the first error among `lines`.
pub fn write_lines(
    disk: &dyn Disk,
    path: &Path,
    mut lines: impl Iterator<Item = Result<String>>,
) -> Result<String> {
    let mut unreadable = None;
    let mut digest = Sha256::new();
    let written = disk.replace(path, true, &mut |file| {
        for line in &mut lines {
            let line = line.map_err(|e| {
                unreadable = Some(e);
                std::io::Error::other("its source cannot be read")
            })?;
            for part in [line.as_bytes(), b"\n"] {
                file.write_all(part)?;
                digest.update(part);
            }
        }
        Ok(())
    });
    unreadable.map_or(written, Err)?;
    Ok(hex(&digest.finalize()))
}
