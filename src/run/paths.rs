//! Names of a run's bookkeeping files: results, failures, journals, manifests, locks, and of its folder of arrays.

use std::fs::Metadata;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::{Shard, file_names};
use crate::util::input_file;
use crate::{Error, Result};

pub const RESULTS: &str = "results.jsonl";
pub const FAILED: &str = "failed.jsonl";
pub const MANIFEST: &str = "manifest.json";
/// Folder of the arrays of a whole run.
pub const ARRAYS: &str = "arrays";

/// `journal.jsonl`, or a shard's `journal-2-of-4.jsonl`.
pub fn journal(shard: Shard) -> String {
    named("journal", shard, ".jsonl")
}

/// `manifest.json`, or a shard's `manifest-2-of-4.json`.
pub fn manifest(shard: Shard) -> String {
    named("manifest", shard, ".json")
}

/// `lock`, or a shard's `lock-2-of-4`.
pub fn lock(shard: Shard) -> String {
    named("lock", shard, "")
}

/// The folder `arrays`, or a shard's `arrays-2-of-4`.
pub fn arrays(shard: Shard) -> String {
    named(ARRAYS, shard, "")
}

/// Whether a run keeps files of its images in folders called `name`: `images`, `arrays`, `arrays-2-of-4`.
pub fn is_reserved(name: &str) -> bool {
    name == file_names::IMAGES
        || name.strip_prefix(ARRAYS).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

fn named(kind: &str, shard: Shard, ending: &str) -> String {
    if shard == Shard::WHOLE {
        return format!("{kind}{ending}");
    }
    format!("{kind}-{}-of-{}{ending}", shard.index(), shard.count())
}

/// Names of the journals and manifests of the shards in `folder`.
pub fn shard_files(folder: &Path) -> impl Iterator<Item = String> {
    let shards = shards(folder).unwrap_or_default().into_iter();
    shards.flat_map(|shard| [journal(shard), manifest(shard)])
}

/// Shards of which `folder` holds a journal or a manifest, including [`Shard::WHOLE`]; ascending and
/// unique.
///
/// # Errors
/// When the folder cannot be read.
pub fn shards(folder: &Path) -> Result<Vec<Shard>> {
    let refused = |e: std::io::Error| Error::refused_by(folder, "folder", e);
    let mut shards = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(refused)? {
        let name = entry.map_err(refused)?.file_name();
        shards.extend(name.to_str().and_then(shard_of));
    }
    shards.sort_unstable();
    shards.dedup();
    Ok(shards)
}

fn shard_of(name: &str) -> Option<Shard> {
    if name == journal(Shard::WHOLE) || name == manifest(Shard::WHOLE) {
        return Some(Shard::WHOLE);
    }
    let journal = name.strip_prefix("journal-").and_then(|rest| rest.strip_suffix(".jsonl"));
    let manifest = || name.strip_prefix("manifest-").and_then(|rest| rest.strip_suffix(".json"));
    let (index, count) = journal.or_else(manifest)?.split_once("-of-")?;
    Shard::new(index.parse().ok()?, count.parse().ok()?)
}

/// `None` where nothing is there. Any other error says nothing of that, and stays one: a file that cannot be looked at
/// may be there.
pub fn if_there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        found => found.map(Some),
    }
}

/// Whether something is at `path`; links are followed.
///
/// # Errors
/// [`Error::Refused`] when that cannot be told.
pub fn exists(path: &Path) -> Result<bool> {
    Ok(about(path)?.is_some())
}

/// Whether a folder is at `path`; links are followed.
///
/// # Errors
/// As [`exists`].
pub fn is_folder(path: &Path) -> Result<bool> {
    Ok(about(path)?.is_some_and(|about| about.is_dir()))
}

/// Whether a regular file is at `path`; links are followed.
///
/// # Errors
/// As [`exists`].
pub fn is_file(path: &Path) -> Result<bool> {
    Ok(about(path)?.is_some_and(|about| about.is_file()))
}

/// What is at `path`, if something is; links are followed.
fn about(path: &Path) -> Result<Option<Metadata>> {
    if_there(std::fs::metadata(path)).map_err(|e| Error::cannot_read(path, e))
}

/// A parsed JSON file; `None` if there is no such file.
///
/// # Errors
/// When it cannot be read or is not JSON.
pub fn read_json(path: &Path) -> Result<Option<serde_json::Value>> {
    let Some(bytes) = input_file::read_if_exists(path, input_file::JSON)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|e| Error::refused_by(path, "JSON", e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_found_by_file_name() {
        let folder = tempfile::tempdir().unwrap();
        for name in
            ["journal-2-of-3.jsonl", "manifest-2-of-3.json", "journal.jsonl", "manifest-4-of-3.json", "x"]
        {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let expected = [Shard::WHOLE, Shard::new(2, 3).unwrap()];
        assert_eq!(shards(folder.path()).unwrap(), expected);
        for shard in expected {
            assert_eq!(shard_of(&journal(shard)), Some(shard));
            assert_eq!(shard_of(&manifest(shard)), Some(shard));
        }
    }
}
