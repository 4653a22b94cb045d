//! Reading the result lines of a run, finished or in progress.

use std::io::{BufRead, BufReader, ErrorKind};
use std::path::Path;

use serde_json::Value;

use super::journal::Journal;
use super::spec::merged;
use super::{marker, paths};
use crate::util::input_file;
use crate::{Error, Result};

/// State of a run and its manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct RunInfo {
    /// The manifest of a finished run; of a run in progress, the settings and metadata of its journal.
    /// Null if there are only results.
    pub manifest: Value,
    /// Whether the run is finished.
    pub finished: bool,
    /// Number of images in the set, if known.
    pub images: Option<usize>,
}

/// Calls `each` with the index in the set and the result line of every image in `folder`, in the order of the
/// set: the lines of results.jsonl or, while the run is in progress, those of the journals of all its shards.
/// Nothing is locked or changed. Returns `None` if there is no run.
///
/// # Errors
/// The errors of `each`, or when a file cannot be read.
pub fn read_results(
    folder: &Path,
    mut each: impl FnMut(usize, &str) -> Result<()>,
) -> Result<Option<RunInfo>> {
    if let Some(found) = finished(folder, &mut each)? {
        return Ok(Some(found));
    }
    let mut found = None;
    for shard in paths::shards(folder)? {
        let path = folder.join(paths::journal(shard));
        let file = match input_file::open(&path) {
            // A finished shard that has been merged has a manifest only.
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            file => file.map_err(|e| Error::refused_by(&path, "file", e))?,
        };
        let journal = Journal::read(&path, file, |header| Ok(shard.range(header.images)))?;
        for entry in journal.entries() {
            let entry = entry?;
            each(entry.image, entry.row.get())?;
        }
        let header = journal.header();
        let manifest = merged(&header.settings, &header.metadata);
        found = Some(RunInfo { manifest, finished: false, images: Some(header.images) });
    }
    Ok(found)
}

/// Reads results.jsonl, if there is one.
fn finished(folder: &Path, each: &mut impl FnMut(usize, &str) -> Result<()>) -> Result<Option<RunInfo>> {
    let path = folder.join(paths::RESULTS);
    let file = match input_file::open(&path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        file => file.map_err(|e| Error::refused_by(&path, "file", e))?,
    };
    for (i, line) in BufReader::new(file).lines().enumerate() {
        each(i, &line.map_err(|e| Error::refused_by(&path, format!("line {}", i + 1), e))?)?;
    }
    let manifest = paths::read_json(&folder.join(paths::MANIFEST))?;
    let finished = manifest.as_ref().is_some_and(|manifest| !marker::is_in_progress(manifest));
    let images = manifest.as_ref().and_then(|m| m["images"].as_u64()).map(|n| n as usize);
    Ok(Some(RunInfo { finished, manifest: manifest.unwrap_or_default(), images }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Shard;
    use crate::run::journal::JournalHeader;
    use crate::run::{Disk, Entry, RealDisk, RunSpec};

    fn read(folder: &Path) -> (Vec<String>, Option<RunInfo>) {
        let mut lines = Vec::new();
        let found = read_results(folder, |_, line| {
            lines.push(line.to_string());
            Ok(())
        });
        (lines, found.unwrap())
    }

    #[test]
    fn a_run_in_progress_yields_the_lines_of_all_shards_in_order() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()), (vec![], None));
        let disk: &dyn Disk = &RealDisk;
        for index in [2, 1] {
            let shard = Shard::new(index, 2).unwrap();
            let spec = RunSpec {
                settings: serde_json::json!({ "exits": [1] }),
                metadata: serde_json::json!({}),
                arrays: Default::default(),
                images: 10,
                shard,
            };
            let header = JournalHeader::new(&spec);
            let path = folder.path().join(paths::journal(shard));
            let mut journal = Journal::create(disk, &path, &header, shard.range(10)).unwrap();
            let last = shard.range(10).last().unwrap();
            for image in [last, last - 1] {
                let row = serde_json::value::to_raw_value(&image).unwrap();
                journal.add(disk, &Entry { image, failed: false, files: vec![], rows: None, row }).unwrap();
            }
        }
        let (lines, found) = read(folder.path());
        let found = found.unwrap();
        assert_eq!((found.finished, found.images), (false, Some(10)));
        assert_eq!(found.manifest["exits"][0], 1);
        assert_eq!(lines, ["3", "4", "8", "9"]);
    }

    #[test]
    fn results_take_precedence_over_journals() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("results.jsonl"), "1\n2\n").unwrap();
        let (lines, found) = read(folder.path());
        assert_eq!((lines.len(), found.unwrap().finished), (2, false));
        std::fs::write(folder.path().join("manifest.json"), r#"{"images": 2}"#).unwrap();
        assert_eq!(read(folder.path()).1.unwrap().images, Some(2));
    }
}
