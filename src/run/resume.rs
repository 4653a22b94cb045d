//! Images that become pending again: those that failed, and those whose files or rows are lost or damaged.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::array_files::{self, ArrayFiles, RowReader};
use super::journal::{Entry, Journal, JournalHeader};
use super::written_file::each_block;
use super::{Disk, RunSpec, Shard, finalize, journal, paths};
use crate::util::below::below;
use crate::util::input_file;
use crate::util::sha256::hex;
use crate::{Error, Result};

/// Why a finished run is no longer whole; `None` if it is: its results are those that were written, and the
/// files that they name exist.
///
/// # Errors
/// When the manifest or the journal of a shard cannot be read.
pub fn lost_since(folder: &Path, spec: &RunSpec) -> Result<Option<Error>> {
    let is_whole = spec.shard == Shard::WHOLE;
    let cause = if is_whole { lost_from_results(folder, spec)? } else { lost_from_journal(folder, spec)? };
    let remedy = "--retry-failed makes them again";
    Ok(cause.map(|cause| Error::refused(folder, "finished run", format!("{cause}; {remedy}"))))
}

/// What a finished run of the whole set has lost.
fn lost_from_results(folder: &Path, spec: &RunSpec) -> Result<Option<String>> {
    let Some((manifest, summary)) = finalize::read_manifest(folder, Shard::WHOLE)? else { return Ok(None) };
    let Some(rows) = sound_results(folder, &manifest)? else {
        return Ok(Some(format!("{} is missing or not the one that was written", paths::RESULTS)));
    };
    if let Err(error) = ArrayFiles::read(folder, Shard::WHOLE, &spec.arrays, 0..spec.images)? {
        return Ok(Some(error.to_string()));
    }
    let (mut lost, mut first) = (0, None);
    for row in rows {
        if let Some(missing) = first_missing(folder, row?.row.get())? {
            lost += 1;
            first.get_or_insert(missing);
        }
    }
    let images = summary.images;
    Ok(first.map(|first| format!("files of {lost} of {images} images are missing, the first is {first}")))
}

/// What a finished shard has lost.
fn lost_from_journal(folder: &Path, spec: &RunSpec) -> Result<Option<String>> {
    let path = folder.join(paths::journal(spec.shard));
    let file = input_file::open(&path).map_err(|e| Error::refused_by(&path, "file", e))?;
    let range = spec.shard.range(spec.images);
    let journal = Journal::read(&path, file, |_| Ok(range.clone()))?;
    let damaged = match ArrayFiles::read(folder, spec.shard, &spec.arrays, range.clone())? {
        Ok(arrays) => damaged(folder, &journal, &arrays)?.len(),
        Err(error) => return Ok(Some(error.to_string())),
    };
    let lost = range.len() - journal.summary().images + damaged;
    Ok((lost > 0).then(|| format!("files of {lost} of {} images are missing or damaged", range.len())))
}

/// The first file named in a row of results that does not exist or is empty.
///
/// # Errors
/// When it cannot be told whether a file exists.
fn first_missing(folder: &Path, row: &str) -> Result<Option<String>> {
    let Ok(row) = serde_json::from_str::<Value>(row) else { return Ok(None) };
    for name in file_names(&row) {
        let is_there = match below(folder, name) {
            Ok(path) => {
                let found = paths::if_there(std::fs::metadata(&path));
                let found = found.map_err(|e| Error::cannot_read(&path, e))?;
                found.is_some_and(|about| about.is_file() && about.len() > 0)
            }
            Err(_) => false,
        };
        if !is_there {
            return Ok(Some(name.into()));
        }
    }
    Ok(None)
}

/// The names of files in a row of results: the strings in every field `files`.
fn file_names(row: &Value) -> Vec<&str> {
    let mut names = Vec::new();
    let mut open = vec![(row, false)];
    while let Some((value, is_files)) = open.pop() {
        match value {
            Value::String(name) if is_files => names.push(name.as_str()),
            Value::Object(fields) => {
                open.extend(fields.iter().rev().map(|(key, value)| (value, is_files || key == "files")));
            }
            Value::Array(values) => open.extend(values.iter().rev().map(|value| (value, is_files))),
            _ => {}
        }
    }
    names
}

/// Turns a finished run into one in progress, whose pending images are those that failed or lost files.
///
/// # Errors
/// When its files cannot be read or written.
pub fn reopen(disk: &dyn Disk, folder: &Path, spec: &RunSpec) -> Result<()> {
    let shard = spec.shard;
    // Before anything is changed: a run whose arrays cannot be written stays complete.
    array_files::check_writable(folder, shard, &spec.arrays)?;
    if let Some((manifest, _)) =
        finalize::read_manifest(folder, Shard::WHOLE)?.filter(|_| shard == Shard::WHOLE)
    {
        // The journal was deleted when the results were written. Until the manifest is removed, the run
        // counts as finished.
        let header = JournalHeader::new(spec);
        let rows = sound_results(folder, &manifest)?.into_iter().flatten();
        let is_done = |entry: &Result<Entry>| match entry {
            Ok(entry) if entry.failed => Ok(false),
            Ok(entry) => first_missing(folder, entry.row.get()).map(|missing| missing.is_none()),
            Err(_) => Ok(true),
        };
        // Without one of the arrays that have rows, all images are done again, and so are those whose rows cannot be
        // read.
        let arrays = ArrayFiles::read_rows(folder, shard, &spec.arrays, 0..spec.images)?.ok();
        let mut checksums = arrays.as_ref().map(RowReader::new);
        let done = rows.filter_map(|entry| {
            match is_done(&entry) {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error)),
            }
            let checksums = checksums.as_mut()?;
            let entry = match entry {
                Ok(entry) => entry,
                unreadable => return Some(unreadable),
            };
            match spec.arrays.fields.is_empty() {
                true => Some(Ok(entry)),
                false => {
                    checksums.checksum(entry.image).ok().map(|rows| Ok(Entry { rows: Some(rows), ..entry }))
                }
            }
        });
        journal::write(disk, &folder.join(paths::journal(shard)), &header, done)?;
    }
    disk.remove(&folder.join(paths::manifest(shard)))
}

/// Journal entries of all images according to results.jsonl; `None` if that is not the file for which the
/// `manifest` was written.
fn sound_results(folder: &Path, manifest: &Value) -> Result<Option<impl Iterator<Item = Result<Entry>>>> {
    #[derive(Deserialize)]
    struct Row {
        error: Option<IgnoredAny>,
    }
    if !has_results(folder, manifest)? {
        return Ok(None);
    }
    let path = folder.join(paths::RESULTS);
    let file = input_file::open(&path).map_err(|e| Error::refused_by(&path, "file", e))?;
    Ok(Some(BufReader::new(file).lines().enumerate().map(move |(image, line)| {
        let line = line.map_err(|e| Error::refused_by(&path, "file", e))?;
        let wrong = |e: serde_json::Error| Error::refused_by(&path, format!("line {}", image + 1), e);
        let failed = serde_json::from_str::<Row>(&line).map_err(wrong)?.error.is_some();
        let row = RawValue::from_string(line).map_err(wrong)?;
        Ok(Entry { image, failed, files: Vec::new(), rows: None, row })
    })))
}

/// Whether results.jsonl is the file for which the `manifest` was written.
///
/// # Errors
/// When it cannot be read.
pub fn has_results(folder: &Path, manifest: &Value) -> Result<bool> {
    let path = folder.join(paths::RESULTS);
    Ok(paths::is_file(&path)? && manifest["results_sha256"].as_str() == Some(&sha256_of(&path)?))
}

/// SHA-256 of a file's bytes.
fn sha256_of(path: &Path) -> Result<String> {
    let mut digest = Sha256::new();
    each_block(path, |block| digest.update(block)).map_err(|e| Error::refused_by(path, "file", e))?;
    Ok(hex(&digest.finalize()))
}

/// Images in the journal whose files or rows are missing, damaged or cannot be read. This reads every file once.
fn damaged(folder: &Path, journal: &Journal, arrays: &ArrayFiles) -> Result<BTreeSet<usize>> {
    let mut damaged = BTreeSet::new();
    let mut checksums = RowReader::new(arrays);
    let has_rows = arrays.row_sizes().next().is_some();
    for entry in journal.entries() {
        let entry = entry?;
        // Rows that cannot be read are lost like those that have changed.
        let rows_are_lost = if has_rows {
            checksums.checksum(entry.image).map_or(true, |rows| entry.rows != Some(rows))
        } else {
            entry.rows.is_some()
        };
        if rows_are_lost || !is_whole(folder, &entry)? {
            damaged.insert(entry.image);
        }
    }
    Ok(damaged)
}

/// Whether the files of an image have the bytes that were written.
fn is_whole(folder: &Path, entry: &Entry) -> Result<bool> {
    for file in &entry.files {
        if file.damage(folder)?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The journal without the images that have to be done again: those whose files or rows are missing or damaged and,
/// with `retry_failed`, those that failed. Also returns the number of the former, with those whose lines in
/// the journal were damaged.
///
/// # Errors
/// When it cannot be read or written.
pub fn drop_lost(
    disk: &dyn Disk,
    folder: &Path,
    journal: Journal,
    arrays: &ArrayFiles,
    retry_failed: bool,
) -> Result<(Journal, usize)> {
    let damaged = damaged(folder, &journal, arrays)?;
    let lost = damaged.len() + journal.damaged();
    if lost == 0 && !(retry_failed && journal.summary().failed > 0) {
        return Ok((journal, 0));
    }
    // Damaged lines are gone since the journal was opened.
    let again = |entry: &Entry| damaged.contains(&entry.image) || retry_failed && entry.failed;
    Ok((journal.retain(disk, |entry| !again(entry))?, lost))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::array_files::checksum;
    use crate::run::{ArrayField, ArraySpec, ElementKind, RealDisk};

    #[test]
    fn rows_that_cannot_be_read_are_lost_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let field = |key: &str| ArrayField { key: key.into(), kind: ElementKind::U8, shape: vec![2] };
        let spec = RunSpec {
            settings: serde_json::json!({}),
            metadata: serde_json::json!({}),
            arrays: ArraySpec { constants: Vec::new(), fields: vec![field("cam"), field("state")] },
            images: 5,
            shard: Shard::WHOLE,
        };
        let arrays = ArrayFiles::open(&RealDisk, folder.path(), Shard::WHOLE, &spec.arrays, 0..5).unwrap();
        let path = folder.path().join(paths::journal(Shard::WHOLE));
        let mut journal = Journal::create(&RealDisk, &path, &JournalHeader::new(&spec), 0..5).unwrap();
        for image in 0..5 {
            let rows = [[1, image as u8], [3, 4]];
            arrays.write(&RealDisk, image, &rows).unwrap();
            let rows = Some(checksum(rows.iter().map(|row| &row[..])));
            let row = serde_json::value::to_raw_value(&image).unwrap();
            journal.add(&RealDisk, &Entry { image, failed: false, files: vec![], rows, row }).unwrap();
        }
        assert!(damaged(folder.path(), &journal, &arrays).unwrap().is_empty());
        // Behind the open file, as if the disk could not read its end: the rows of images 3 and 4.
        let file =
            std::fs::OpenOptions::new().write(true).open(folder.path().join("arrays/cam.npy")).unwrap();
        file.set_len(file.metadata().unwrap().len() - 3).unwrap();
        assert_eq!(damaged(folder.path(), &journal, &arrays).unwrap(), BTreeSet::from([3, 4]));
    }
}
