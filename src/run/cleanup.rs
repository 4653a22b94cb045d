//! Temporary files that a killed process left.

use std::ffi::OsStr;
use std::ops::Range;
use std::path::Path;

use super::file_names::{IMAGES, IN_A_FOLDER};
use super::{Disk, Shard, paths};
use crate::Result;
use crate::util::atomic_file::temporary_for;

/// Removes what a killed run of `shard`, whose images are `range`, left half-written in `folder`:
/// nothing that another shard is writing now.
///
/// # Errors
/// When something cannot be removed.
pub fn sweep(disk: &dyn Disk, folder: &Path, shard: Shard, range: Range<usize>) -> Result<()> {
    let ours = [paths::journal(shard), paths::manifest(shard), paths::RESULTS.into(), paths::FAILED.into()];
    let ours = &ours[..if shard == Shard::WHOLE { 4 } else { 2 }];
    remove(disk, folder, |name| ours.iter().any(|ours| ours == name))?;
    let folders = range.start / IN_A_FOLDER..range.end.div_ceil(IN_A_FOLDER);
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

/// Removes the temporary files of the names that are `ours`.
fn remove(disk: &dyn Disk, folder: &Path, ours: impl Fn(&str) -> bool) -> Result<()> {
    // A folder that is not there, or cannot be read, has nothing that could be removed.
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if temporary_for(&entry.file_name()).and_then(OsStr::to_str).is_some_and(&ours) {
            disk.remove(&entry.path())?;
        }
    }
    Ok(())
}
