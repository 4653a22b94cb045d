//! What a finished run has besides its pictures.

use std::path::Path;

use serde_json::Value;

use super::journal::{Entry, Header, Journal, write_lines};
use super::in_progress::Summary;
use super::settings::{differences, merged};
use super::{Disk, Shard, file_names, paths};
use crate::{Error, Result};

/// Puts the files of `journal`'s images on the disk.
///
/// # Errors
/// When one is not there.
pub fn sync(disk: &dyn Disk, folder: &Path, journal: &Journal) -> Result<()> {
    // One after another, each file would wait milliseconds for a write of its own.
    disk.write_out(folder);
    let mut last = None;
    for entry in journal.entries() {
        let entry = entry?;
        for file in &entry.files {
            disk.sync(&folder.join(&file.name))?;
        }
        let within = (!entry.files.is_empty()).then(|| file_names::folder(entry.image));
        if let Some(within) = within.filter(|within| last.as_ref() != Some(within)) {
            disk.sync(&folder.join(&within))?;
            last = Some(within);
        }
    }
    Ok(())
}

/// Writes results, list of failures and, last, manifest of a whole set.
///
/// # Errors
/// When one cannot be written, or the first error among `entries`.
pub fn write<I: Iterator<Item = Result<Entry>>>(
    disk: &dyn Disk,
    folder: &Path,
    header: &Header,
    summary: Summary,
    entries: impl Fn() -> I,
) -> Result<()> {
    let row = |entry: Result<Entry>| Ok(String::from(Box::<str>::from(entry?.row)));
    write_lines(disk, &folder.join(paths::RESULTS), entries().map(row))?;
    let failed = folder.join(paths::FAILED);
    if summary.failed > 0 {
        let failures = entries().filter(|entry| entry.as_ref().map_or(true, |entry| entry.failed));
        write_lines(disk, &failed, failures.map(row))?;
    } else {
        disk.remove(&failed)?;
    }
    write_manifest(disk, folder, Shard::WHOLE, header, summary)
}

/// Writes the manifest of `shard`: it is finished.
///
/// # Errors
/// When it cannot be written.
pub fn write_manifest(
    disk: &dyn Disk,
    folder: &Path,
    shard: Shard,
    header: &Header,
    summary: Summary,
) -> Result<()> {
    let mut manifest = merged(&header.settings, &header.remarks);
    manifest["images"] = summary.images.into();
    manifest["failed"] = summary.failed.into();
    if shard == Shard::WHOLE {
        manifest["results"] = paths::RESULTS.into();
    } else {
        manifest["shard"] = shard.to_string().into();
    }
    let text = serde_json::to_string_pretty(&manifest).expect("a JSON value has a text form");
    write_lines(disk, &folder.join(paths::manifest(shard)), std::iter::once(Ok(text)))
}

/// The manifest of `shard`, and what it counts; `None` where it is not finished.
///
/// # Errors
/// When it cannot be read.
pub fn read_manifest(folder: &Path, shard: Shard) -> Result<Option<(Value, Summary)>> {
    let path = folder.join(paths::manifest(shard));
    let Some(manifest) = paths::read_json(&path)? else { return Ok(None) };
    let count = |key: &str| {
        let count = manifest[key].as_u64().and_then(|count| usize::try_from(count).ok());
        count.ok_or_else(|| Error::refused(&path, key, "is missing"))
    };
    let summary = Summary { images: count("images")?, failed: count("failed")? };
    Ok(Some((manifest, summary)))
}

/// Refuses to go on in `folder`, whose journal or manifest says `found`, with other settings.
///
/// # Errors
/// [`Error::Usage`] with each difference.
pub fn compare(folder: &Path, found: &Value, settings: &Value, remarks: &Value) -> Result<()> {
    // What a manifest says besides settings.
    let mut besides = remarks.clone();
    for key in ["images", "failed", "results", "shard"] {
        besides[key] = true.into();
    }
    match differences("the run has", found, "asked for", settings, &besides) {
        None => Ok(()),
        Some(told) => Err(Error::usage(format!(
            "{}: {told} (choose another folder with -o, or remove this one)",
            folder.to_string_lossy()
        ))),
    }
}
