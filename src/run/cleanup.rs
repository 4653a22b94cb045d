//! Removal of temporary files that a killed process left behind.

use std::ffi::OsStr;
use std::ops::Range;
use std::path::Path;

use super::file_names::{IMAGES, IMAGES_PER_FOLDER};
use super::{Disk, Shard, paths};
use crate::Result;
use crate::util::atomic_file::temporary_for;

/// Removes the temporary files in `folder` of a killed run of `shard`, whose images are `range`. Files
/// that another shard may be writing are left alone.
///
/// # Errors
/// When a file cannot be removed.
pub fn remove_temporaries(disk: &dyn Disk, folder: &Path, shard: Shard, range: Range<usize>) -> Result<()> {
    let ours = [paths::journal(shard), paths::manifest(shard), paths::RESULTS.into(), paths::FAILED.into()];
    let ours = &ours[..if shard == Shard::WHOLE { 4 } else { 2 }];
    remove(disk, folder, |name| ours.iter().any(|ours| ours == name))?;
    remove(disk, &folder.join(paths::arrays(shard)), |_| true)?;
    let folders = range.start / IMAGES_PER_FOLDER..range.end.div_ceil(IMAGES_PER_FOLDER);
    let images = folder.join(IMAGES);
    for entry in std::fs::read_dir(&images).into_iter().flatten().flatten() {
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if number.is_some_and(|number| folders.contains(&number)) {
            let in_range = |name: &str| {
                let digits = name.split('_').next().unwrap_or_default();
                digits.parse().is_ok_and(|image| range.contains(&image))
            };
            remove(disk, &entry.path(), in_range)?;
        }
    }
    Ok(())
}

/// Removes the temporary files of those names for which `ours` holds.
fn remove(disk: &dyn Disk, folder: &Path, ours: impl Fn(&str) -> bool) -> Result<()> {
    // A folder that is missing or unreadable holds nothing to remove.
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if temporary_for(&entry.file_name()).and_then(OsStr::to_str).is_some_and(&ours) {
            disk.remove(&entry.path())?;
        }
    }
    Ok(())
}
