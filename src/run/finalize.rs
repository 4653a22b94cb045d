//! The end of a run: files synced to disk, results, list of failures and manifest.

use std::path::Path;

use serde_json::Value;

use super::journal::{Entry, Journal, JournalHeader, write_lines};
use super::marker::Marker;
use super::spec::{differences, merged};
use super::{Disk, Shard, Summary, file_names, marker, paths};
use crate::util::below::below;
use crate::{Error, Result};

/// Syncs the files of `journal`'s images, and the folders that name them, to disk.
///
/// # Errors
/// When a file is missing.
pub fn sync(disk: &dyn Disk, folder: &Path, journal: &Journal) -> Result<()> {
    // Syncing file by file would cost a disk write of milliseconds each.
    disk.write_out(folder);
    let mut last = None;
    for entry in journal.entries() {
        let entry = entry?;
        for file in &entry.files {
            disk.sync(&below(folder, &file.name)?)?;
        }
        let within = (!entry.files.is_empty()).then(|| file_names::folder(entry.image));
        if let Some(within) = within.filter(|within| last.as_ref() != Some(within)) {
            disk.sync(&folder.join(&within))?;
            last = Some(within);
        }
    }
    Ok(())
}

/// Writes the results, the list of failures and, last, the manifest of a whole set.
///
/// # Errors
/// When one cannot be written, or the first error among `entries`.
pub fn write<I: Iterator<Item = Result<Entry>>>(
    disk: &dyn Disk,
    folder: &Path,
    header: &JournalHeader,
    summary: Summary,
    entries: impl Fn() -> I,
) -> Result<()> {
    let row = |entry: Result<Entry>| Ok(String::from(Box::<str>::from(entry?.row)));
    let results = write_lines(disk, &folder.join(paths::RESULTS), entries().map(row))?;
    let failed = folder.join(paths::FAILED);
    if summary.failed > 0 {
        let failures = entries().filter(|entry| entry.as_ref().map_or(true, |entry| entry.failed));
        write_lines(disk, &failed, failures.map(row))?;
    } else {
        disk.remove(&failed)?;
    }
    let mut manifest = manifest(header, summary);
    manifest["results"] = paths::RESULTS.into();
    manifest["results_sha256"] = results.into();
    write_marker(disk, &folder.join(paths::MANIFEST), marker::RUN.complete(&manifest))
}

/// Writes the manifest of a shard, which marks it as finished.
///
/// # Errors
/// When it cannot be written.
pub fn write_shard_manifest(
    disk: &dyn Disk,
    folder: &Path,
    shard: Shard,
    header: &JournalHeader,
    summary: Summary,
) -> Result<()> {
    let mut manifest = manifest(header, summary);
    manifest["shard"] = shard.to_string().into();
    write_marker(disk, &folder.join(paths::manifest(shard)), marker::RUN.complete(&manifest))
}

/// Marks `folder` as that of the run `header`, none of whose files is complete.
///
/// # Errors
/// When it cannot be written.
pub fn write_in_progress(disk: &dyn Disk, folder: &Path, header: &JournalHeader) -> Result<()> {
    let marker = marker::RUN.in_progress(&merged(&header.settings, &header.metadata));
    write_marker(disk, &folder.join(paths::MANIFEST), marker)
}

/// The manifest of a whole set or a shard, apart from the fields that only one of them has.
fn manifest(header: &JournalHeader, summary: Summary) -> Value {
    let mut manifest = merged(&header.settings, &header.metadata);
    manifest["images"] = summary.images.into();
    manifest["failed"] = summary.failed.into();
    manifest
}

fn write_marker(disk: &dyn Disk, path: &Path, text: String) -> Result<()> {
    disk.replace(path, true, &mut |file| file.write_all(text.as_bytes()))
}

/// The manifest of `shard` with its counts; `None` if the shard is not finished.
///
/// # Errors
/// When it cannot be read, or is not that of a run.
pub fn read_manifest(folder: &Path, shard: Shard) -> Result<Option<(Value, Summary)>> {
    let name = paths::manifest(shard);
    let Marker::Complete(manifest) = marker::RUN.read_as(folder, &name)? else { return Ok(None) };
    let count = |key: &str| {
        let count = manifest[key].as_u64().and_then(|count| usize::try_from(count).ok());
        count.ok_or_else(|| Error::refused(&folder.join(&name), key, "is missing"))
    };
    let summary = Summary { images: count("images")?, failed: count("failed")? };
    Ok(Some((manifest, summary)))
}

/// Refuses to continue in `folder`, whose journal or manifest has the settings `found`, with other
/// `settings`.
///
/// # Errors
/// [`Error::Usage`] with each difference.
pub fn compare(folder: &Path, found: &Value, settings: &Value, metadata: &Value) -> Result<()> {
    // Fields of a manifest that are not settings.
    let mut ignored = merged(metadata, &marker::added());
    for key in ["images", "failed", "results", "results_sha256", "shard"] {
        ignored[key] = true.into();
    }
    match differences("the run has", found, "asked for", settings, &ignored) {
        None => Ok(()),
        Some(differences) => Err(Error::usage(format!(
            "{}: {differences} (choose another folder with -o, or remove this one)",
            folder.to_string_lossy()
        ))),
    }
}
