//! Images that become pending again: failed ones of a finished run, and those whose files are lost.

use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::journal::{Entry, Journal, JournalHeader};
use super::{Disk, RunSpec, Shard, journal, paths};
use crate::util::input_file;
use crate::{Error, Result};

/// Turns a finished run into one in progress whose failed images are pending.
///
/// # Errors
/// When its files cannot be read or written.
pub fn reopen(disk: &dyn Disk, folder: &Path, spec: &RunSpec) -> Result<()> {
    let shard = spec.shard;
    if shard == Shard::WHOLE {
        // The journal was deleted when the results were written. Until the manifest is removed, the run
        // counts as finished.
        let header = JournalHeader::new(shard, spec.images, spec.settings.clone(), spec.metadata.clone());
        journal::write(disk, &folder.join(paths::journal(shard)), &header, read_results(folder)?)?;
    }
    disk.remove(&folder.join(paths::manifest(shard)))
}

/// Journal entries of the images that are done according to results.jsonl.
fn read_results(folder: &Path) -> Result<impl Iterator<Item = Result<Entry>>> {
    #[derive(Deserialize)]
    struct Row {
        error: Option<IgnoredAny>,
    }
    let path = folder.join(paths::RESULTS);
    let file = input_file::open(&path).map_err(|e| Error::refused_by(&path, "file", e))?;
    Ok(BufReader::new(file).lines().enumerate().filter_map(move |(image, line)| {
        let entry = || {
            let line = line.map_err(|e| Error::refused_by(&path, "file", e))?;
            let wrong = |e: serde_json::Error| Error::refused_by(&path, format!("line {}", image + 1), e);
            let failed = serde_json::from_str::<Row>(&line).map_err(wrong)?.error.is_some();
            let row = RawValue::from_string(line).map_err(wrong)?;
            Ok((!failed).then_some(Entry { image, failed, files: Vec::new(), row }))
        };
        entry().transpose()
    }))
}

/// The journal without the images that have to be done again: those whose files are missing or have
/// another length and, with `retry_failed`, those that failed. Also returns the number of the former.
///
/// # Errors
/// When it cannot be read or written.
pub fn drop_lost(
    disk: &dyn Disk,
    folder: &Path,
    journal: Journal,
    retry_failed: bool,
) -> Result<(Journal, usize)> {
    let has_files = |entry: &Entry| {
        let is_whole = |path: &Path, bytes| std::fs::metadata(path).is_ok_and(|about| about.len() == bytes);
        entry.files.iter().all(|file| is_whole(&folder.join(&file.name), file.bytes))
    };
    let mut lost = 0;
    for entry in journal.entries() {
        lost += usize::from(!has_files(&entry?));
    }
    if lost == 0 && !(retry_failed && journal.summary().failed > 0) {
        return Ok((journal, 0));
    }
    let keep = |entry: &Entry| has_files(entry) && !(retry_failed && entry.failed);
    Ok((journal.retain(disk, keep)?, lost))
}
