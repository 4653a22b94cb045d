//! Checks and locks that protect a directory before anything is written into it.

use std::path::Path;

use super::{Disk, Lock, Shard, paths};
use crate::error::printable;
use crate::{Error, Result};

/// Creates `folder` if it is missing and locks it, for output that is not a run. `is_run` tells from the
/// JSON of a manifest whether it belongs to a run, which must not be written into.
///
/// # Errors
/// [`Error::Write`] when `folder` is a file, in use or cannot be created; [`Error::Usage`] when it holds
/// a run.
pub fn acquire(disk: &dyn Disk, folder: &Path, is_run: impl Fn(&serde_json::Value) -> bool) -> Result<Lock> {
    let lock = create_and_lock(disk, folder, Shard::WHOLE)?;
    let manifest = paths::read_json(&folder.join(paths::manifest(Shard::WHOLE)));
    let has_manifest = matches!(&manifest, Ok(Some(manifest)) if is_run(manifest));
    let has_part = paths::shards(folder)?
        .into_iter()
        .any(|shard| shard != Shard::WHOLE || folder.join(paths::journal(shard)).exists());
    if has_manifest || has_part {
        let folder = printable(&folder.to_string_lossy());
        return Err(Error::usage(format!(
            "{folder}: holds the run of a data set; choose another folder with -o"
        )));
    }
    Ok(lock)
}

/// Creates `folder` if it is missing and takes the lock of `shard` in it.
///
/// # Errors
/// [`Error::Write`] when `folder` is a file, in use or cannot be created.
pub fn create_and_lock(disk: &dyn Disk, folder: &Path, shard: Shard) -> Result<Lock> {
    if folder.exists() && !folder.is_dir() {
        return Err(Error::write(folder, "is a file, expected a folder"));
    }
    disk.make_folder(folder)?;
    Lock::take(folder, &folder.join(paths::lock(shard)))
}

/// Refuses a folder that holds shards of another division of the set than `shard`.
///
/// # Errors
/// [`Error::Usage`] that names the other shard.
pub fn check_other_shards(folder: &Path, shard: Shard) -> Result<()> {
    for other in paths::shards(folder)? {
        let whole = other == Shard::WHOLE;
        let cause = match shard {
            _ if other == shard || other.count() == shard.count() => continue,
            // The manifest tells whether it is the same set and finished.
            _ if whole && folder.join(paths::manifest(other)).exists() => continue,
            _ if whole => "a run of the whole set is in progress here".into(),
            Shard::WHOLE => format!("shard {other} is here; `msdcam merge` merges all shards into one run"),
            _ => format!("shard {other} is here, asked for shard {shard}"),
        };
        return Err(Error::usage(format!("{}: {cause}", printable(&folder.to_string_lossy()))));
    }
    Ok(())
}
