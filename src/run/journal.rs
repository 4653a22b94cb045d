//! What has been done, a line an image, in the order in which it was done.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Disk, Shard};
use crate::{Error, Result};

const VERSION: u32 = 1;

/// The first line: what the run is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    pub journal: u32,
    pub shard: String,
    pub images: usize,
    pub settings: Value,
    pub remarks: Value,
}

impl Header {
    pub fn new(shard: Shard, images: usize, settings: Value, remarks: Value) -> Header {
        Header { journal: VERSION, shard: shard.to_string(), images, settings, remarks }
    }
}

/// One image, done or failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// Its place in the set, from 0.
    pub image: usize,
    /// Whether it failed.
    pub failed: bool,
    /// Its files.
    pub files: Vec<Written>,
    /// Its line of results.jsonl, without the line feed.
    pub row: Box<RawValue>,
}

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Its path in the run's folder, `/` between folders.
    pub name: String,
    /// How long it is.
    pub bytes: u64,
}

/// A journal that can be added to.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    header: Header,
    /// Length of the lines that are whole.
    end: u64,
    /// The images that it is about.
    range: Range<usize>,
    /// Where each image's line begins; 0, where the header is, for those that have none.
    begins: Vec<u64>,
    done: usize,
    failed: usize,
}

impl Journal {
    /// A new journal with nothing in it, at `path`.
    pub fn create(disk: &dyn Disk, path: &Path, header: &Header, range: Range<usize>) -> Result<Journal> {
        write(disk, path, header, std::iter::empty())?;
        Journal::open(disk, path, range)?.ok_or_else(|| Error::write(path, "vanished"))
    }

    /// The journal at `path`, to be added to; `None` where there is none. What follows the last whole
    /// line is cut off.
    ///
    /// # Errors
    /// As [`Journal::read`], or when it cannot be written.
    pub fn open(disk: &dyn Disk, path: &Path, range: Range<usize>) -> Result<Option<Journal>> {
        let file = match File::options().read(true).append(true).open(path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            file => file.map_err(|e| Error::write(path, e))?,
        };
        let journal = Journal::read(path, file, |_| Ok(range))?;
        let length = journal.file.metadata().map_err(|e| journal.refused("file", &e))?.len();
        if length > journal.end {
            disk.cut(&journal.file, path, journal.end)?;
        }
        Ok(Some(journal))
    }

    /// The journal in `file`, which is at `path`, up to its last whole line; `range` knows its images.
    ///
    /// # Errors
    /// When it cannot be read, or is no journal.
    pub fn read(
        path: &Path,
        file: File,
        range: impl FnOnce(&Header) -> Result<Range<usize>>,
    ) -> Result<Journal> {
        let mut lines = Lines { reader: BufReader::with_capacity(1 << 16, &file), line: Vec::new() };
        let refused = |place: &str, cause: String| Error::refused(path, place, cause);
        let unreadable = |e: std::io::Error| refused("file", e.to_string());
        let header = lines.next().map_err(unreadable)?;
        let header: Header = header
            .and_then(|line| serde_json::from_slice(line).ok())
            .ok_or_else(|| refused("line 1", "not the journal of a run; remove it to start anew".into()))?;
        if header.journal != VERSION {
            let cause = format!("version {} of journals, this program has {VERSION}", header.journal);
            return Err(refused("line 1", cause));
        }
        let range = range(&header)?;
        let mut begins = vec![0; range.len()];
        let (mut end, mut done, mut failed) = (lines.line.len() as u64, 0, 0);
        while let Some(line) = lines.next().map_err(unreadable)? {
            // What comes after a damaged line is done again.
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

    fn refused(&self, place: &str, cause: &dyn std::fmt::Display) -> Error {
        Error::refused(&self.path, place, cause.to_string())
    }

    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Images that are done.
    pub fn done(&self) -> usize {
        self.done
    }

    /// Images that failed.
    pub fn failed(&self) -> usize {
        self.failed
    }

    /// Whether `image` has a line.
    pub fn has(&self, image: usize) -> bool {
        self.range.contains(&image) && self.begins[image - self.range.start] != 0
    }

    /// Adds a line.
    ///
    /// # Errors
    /// When it cannot be written; then the journal is as before.
    ///
    /// # Panics
    /// When the image already has a line or is none of this journal's.
    pub fn add(&mut self, disk: &dyn Disk, entry: &Entry) -> Result<()> {
        assert!(self.range.contains(&entry.image) && !self.has(entry.image), "image {}", entry.image);
        let line = serde_json::to_string(entry).expect("plain fields have a JSON form") + "\n";
        disk.append(&mut self.file, &self.path, line.as_bytes()).inspect_err(|_| {
            // A part that stays is cut off at the next opening.
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

    /// Keeps only the entries that `keep` wants: afterwards the journal has those and no others.
    ///
    /// # Errors
    /// When it cannot be read or written; then it is as before.
    pub fn retain(self, disk: &dyn Disk, keep: impl Fn(&Entry) -> bool) -> Result<Journal> {
        let (path, range) = (self.path.clone(), self.range.clone());
        let entries = self.entries().filter(|entry| entry.as_ref().map_or(true, &keep));
        write(disk, &path, &self.header, entries)?;
        drop(self);
        Journal::open(disk, &path, range)?.ok_or_else(|| Error::write(&path, "vanished"))
    }

    /// The entries, in the order of the set. Only one is in memory at a time.
    pub fn entries(&self) -> impl Iterator<Item = Result<Entry>> {
        let unreadable = |e: &dyn std::fmt::Display| self.refused("line", e);
        let mut reader = BufReader::new(&self.file);
        // Where the reader stands, if that is known.
        let mut at = None;
        let mut line = Vec::new();
        self.begins.iter().filter(|&&begin| begin != 0).map(move |&begin| {
            if at != Some(begin) {
                reader.seek(SeekFrom::Start(begin)).map_err(|e| unreadable(&e))?;
            }
            line.clear();
            let read = reader.by_ref().read_until(b'\n', &mut line).map_err(|e| unreadable(&e))?;
            at = Some(begin + read as u64);
            serde_json::from_slice(&line).map_err(|e| unreadable(&e))
        })
    }
}

/// Whole lines, one at a time.
struct Lines<'a> {
    reader: BufReader<&'a File>,
    line: Vec<u8>,
}

impl Lines<'_> {
    /// The next line with its line feed; `None` where the file, or its last whole line, ends.
    fn next(&mut self) -> std::io::Result<Option<&[u8]>> {
        self.line.clear();
        self.reader.read_until(b'\n', &mut self.line)?;
        Ok((self.line.last() == Some(&b'\n')).then_some(&self.line))
    }
}

/// Writes a journal whole.
///
/// # Errors
/// When it cannot be written, or the first error among `entries`.
pub fn write(
    disk: &dyn Disk,
    path: &Path,
    header: &Header,
    entries: impl Iterator<Item = Result<Entry>>,
) -> Result<()> {
    let header = serde_json::to_string(header).expect("JSON values have a text form");
    let entries =
        entries.map(|entry| Ok(serde_json::to_string(&entry?).expect("plain fields have a JSON form")));
    write_lines(disk, path, std::iter::once(Ok(header)).chain(entries))
}

/// Writes a file of lines, durably, without having them all in memory.
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
