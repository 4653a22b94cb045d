//! Going back: a finished run's failures are tried again, lost files are made again.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::journal::{Entry, Header, Journal};
use super::{Disk, Plan, Shard, journal, paths};
use crate::{Error, Result};

/// Makes a finished run one that is under way and has its failures to do.
///
/// # Errors
/// When its parts cannot be read or written.
pub fn reopen(disk: &dyn Disk, folder: &Path, plan: &Plan) -> Result<()> {
    let shard = plan.shard;
    if shard == Shard::WHOLE {
        // Its journal was given up for its results. Until the manifest goes, the run is finished.
        let header = Header::new(shard, plan.images, plan.settings.clone(), plan.remarks.clone());
        journal::write(disk, &folder.join(paths::journal(shard)), &header, rows(folder)?)?;
    }
    disk.remove(&folder.join(paths::manifest(shard)))
}

/// Entries of the images that results.jsonl says are done.
fn rows(folder: &Path) -> Result<impl Iterator<Item = Result<Entry>>> {
    #[derive(Deserialize)]
    struct Row {
        error: Option<IgnoredAny>,
    }
    let path = folder.join(paths::RESULTS);
    let refused = move |place: String, cause: String| Error::refused(&path, place, cause);
    let file = File::open(folder.join(paths::RESULTS)).map_err(|e| refused("file".into(), e.to_string()))?;
    Ok(BufReader::new(file).lines().enumerate().filter_map(move |(image, line)| {
        let entry = || {
            let line = line.map_err(|e| refused("file".into(), e.to_string()))?;
            let wrong = |e: serde_json::Error| refused(format!("line {}", image + 1), e.to_string());
            let failed = serde_json::from_str::<Row>(&line).map_err(wrong)?.error.is_some();
            let row = RawValue::from_string(line).map_err(wrong)?;
            Ok((!failed).then_some(Entry { image, failed, files: Vec::new(), row }))
        };
        entry().transpose()
    }))
}

/// The journal without the images that are to be done again: those whose files are gone or have another
/// length, and, with `retry_failed`, those that failed. How many are of the first kind comes with it.
///
/// # Errors
/// When it cannot be read or written.
pub fn without_lost(
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
    if lost == 0 && !(retry_failed && journal.failed() > 0) {
        return Ok((journal, 0));
    }
    let keep = |entry: &Entry| has_files(entry) && !(retry_failed && entry.failed);
    Ok((journal.retain(disk, keep)?, lost))
}
