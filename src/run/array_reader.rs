//! Reading the arrays of a run by key and image, finished or in progress.

use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use half::f16;

use super::arrays::{ElementKind, LARGEST_CONSTANT, LARGEST_ROWS};
use super::journal::Journal;
use super::marker::is_in_progress;
use super::{Shard, paths};
use crate::util::below::below;
use crate::util::npy::read_header;
use crate::util::npz::{Floats, parse_texts};
use crate::util::{allocation, input_file};
use crate::{Error, Result};

/// The arrays of a run, in one folder or, while it is in progress, one for each shard.
#[derive(Debug)]
pub struct RunArrays {
    parts: Vec<Part>,
}

/// The arrays of a range of images.
#[derive(Debug)]
struct Part {
    folder: PathBuf,
    images: Range<usize>,
}

/// The elements of one image in an array.
struct Row {
    /// Dimensions without the first.
    shape: Vec<usize>,
    kind: ElementKind,
    bytes: Vec<u8>,
}

impl RunArrays {
    /// Finds the arrays of the run in `folder`; `None` if it has none.
    ///
    /// # Errors
    /// [`Error::Refused`] when a folder or a journal cannot be read.
    pub fn open(folder: &Path) -> Result<Option<RunArrays>> {
        let whole = folder.join(paths::arrays(Shard::WHOLE));
        let mut parts = Vec::new();
        // A merge that did not end has left some rows of its own beside those of the shards.
        let shards = paths::shards(folder)?;
        let is_alone = || shards.iter().all(|&shard| shard == Shard::WHOLE);
        let is_complete = || -> Result<bool> {
            let manifest = paths::read_json(&folder.join(paths::MANIFEST))?;
            Ok(manifest.is_some_and(|manifest| !is_in_progress(&manifest)))
        };
        if paths::is_folder(&whole)? && (is_alone() || is_complete()?) {
            parts.push(Part { folder: whole, images: 0..usize::MAX });
        } else {
            for shard in shards {
                let (own, path) = (folder.join(paths::arrays(shard)), folder.join(paths::journal(shard)));
                if paths::is_folder(&own)? && paths::is_file(&path)? {
                    let file = input_file::open(&path).map_err(|e| Error::cannot_read(&path, e))?;
                    let journal = Journal::read(&path, file, |header| Ok(shard.range(header.images)))?;
                    parts.push(Part { folder: own, images: shard.range(journal.header().images) });
                }
            }
        }
        Ok((!parts.is_empty()).then_some(RunArrays { parts }))
    }

    /// The keys of the files that are there, in alphabetical order; the manifest has them in that of the request.
    pub fn found(&self) -> Vec<String> {
        let files = std::fs::read_dir(&self.parts[0].folder).into_iter().flatten().flatten();
        let names = files.filter_map(|file| file.file_name().into_string().ok());
        let keys = names.filter_map(|name| name.strip_suffix(".npy").map(String::from));
        let mut keys: Vec<String> = keys.filter(|key| !key.starts_with('.')).collect();
        keys.sort_unstable();
        keys
    }

    /// The files of all parts.
    pub fn files(&self) -> Vec<PathBuf> {
        let folders = self.parts.iter().filter_map(|part| std::fs::read_dir(&part.folder).ok());
        folders.flatten().flatten().map(|file| file.path()).collect()
    }

    /// The row of `image` in the array of `float32` or `float16` called `key`.
    ///
    /// # Errors
    /// [`Error::Refused`] when the array is missing, damaged, has no such row or other elements.
    pub fn floats(&self, key: &str, image: usize) -> Result<Floats> {
        let Row { shape, kind, bytes } = self.row(key, image, &[ElementKind::F32, ElementKind::F16])?;
        let mut values = allocation::with_capacity("a row of an array", bytes.len() / kind.bytes())?;
        match kind {
            ElementKind::F16 => {
                values.extend(bytes.as_chunks().0.iter().map(|&b| f16::from_le_bytes(b).to_f32()));
            }
            _ => values.extend(bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b))),
        }
        Ok(Floats { shape, values })
    }

    /// The dimensions and elements of the row of `image` in the array of bytes called `key`.
    ///
    /// # Errors
    /// As [`RunArrays::floats`].
    pub fn bytes(&self, key: &str, image: usize) -> Result<(Vec<usize>, Vec<u8>)> {
        let Row { shape, bytes, .. } = self.row(key, image, &[ElementKind::U8])?;
        Ok((shape, bytes))
    }

    /// The dimensions and elements of the array of texts called `key`, which all images have in common; `None` where
    /// there is none.
    ///
    /// # Errors
    /// [`Error::Refused`] when it is damaged, or not text.
    pub fn texts(&self, key: &str) -> Result<Option<(Vec<usize>, Vec<String>)>> {
        let path = below(&self.parts[0].folder, &format!("{key}.npy"))?;
        let Some(bytes) = input_file::read_if_exists(&path, LARGEST_CONSTANT as u64)? else {
            return Ok(None);
        };
        parse_texts(&bytes).map(Some).map_err(|cause| Error::refused(&path, "array", cause))
    }

    /// The row of `image` in the array called `key`, whose elements are of one of `kinds`.
    fn row(&self, key: &str, image: usize, kinds: &[ElementKind]) -> Result<Row> {
        let part = self.parts.iter().find(|part| part.images.contains(&image));
        let part = part.unwrap_or(&self.parts[0]);
        let path = below(&part.folder, &format!("{key}.npy"))?;
        let refused = |cause: String| Error::refused(&path, "array", cause);
        let mut file = match input_file::open(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Err(refused("is missing".into())),
            file => file.map_err(|e| Error::cannot_read(&path, e))?,
        };
        let header = read_header(&mut file).map_err(refused)?;
        let &kind = kinds.iter().find(|kind| kind.name() == header.kind).ok_or_else(|| {
            let expected: Vec<String> = kinds.iter().map(|kind| format!("'{}'", kind.name())).collect();
            refused(format!("expected {}, the header says '{}'", expected.join(" or "), header.kind))
        })?;
        let at =
            image.checked_sub(part.images.start).filter(|at| header.shape.first().is_some_and(|n| at < n));
        let at = at.ok_or_else(|| refused(format!("has no row for image {image}")))?;
        let row =
            header.shape[1..].iter().try_fold(kind.bytes(), |bytes: usize, &side| bytes.checked_mul(side));
        if let Some(row) = row.filter(|&row| row > LARGEST_ROWS) {
            return Err(refused(format!("has rows of {row} bytes, the limit is {LARGEST_ROWS}")));
        }
        let begin = row.and_then(|row| at.checked_mul(row)?.checked_add(header.len));
        let length = file.metadata().map_err(|e| Error::cannot_read(&path, e))?.len();
        let end = begin.zip(row).and_then(|(begin, row)| begin.checked_add(row));
        let (Some(begin), Some(row), true) = (begin, row, end.is_some_and(|end| end as u64 <= length)) else {
            return Err(refused(format!("has {length} bytes, too few for its shape {:?}", header.shape)));
        };
        let mut bytes = allocation::vec("a row of an array", row, 0)?;
        let read = file.seek(SeekFrom::Start(begin as u64)).and_then(|_| file.read_exact(&mut bytes));
        read.map_err(|e| Error::cannot_read(&path, e))?;
        Ok(Row { shape: header.shape[1..].to_vec(), kind, bytes })
    }
}
