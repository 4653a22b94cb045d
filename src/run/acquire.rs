//! A folder for results that are no run.

use std::path::Path;

use super::{Disk, Lock, Shard, paths};
use crate::error::printable;
use crate::{Error, Result};

/// Makes `folder` if it is missing, and keeps others out of it. `is_run` tells a run's manifest, by its
/// JSON, from others: a run is nothing to write into.
///
/// # Errors
/// [`Error::Write`] when it is a file, in use or cannot be made; [`Error::Usage`] when a run is in it.
pub fn claim(disk: &dyn Disk, folder: &Path, is_run: impl Fn(&serde_json::Value) -> bool) -> Result<Lock> {
    if folder.exists() && !folder.is_dir() {
        return Err(Error::write(folder, "is a file, expected a folder"));
    }
    disk.make_folder(folder)?;
    let lock = Lock::take(folder, &folder.join(paths::lock(Shard::WHOLE)))?;
    let manifest = paths::read_json(&folder.join(paths::manifest(Shard::WHOLE)));
    let has_manifest = matches!(&manifest, Ok(Some(manifest)) if is_run(manifest));
    let has_part = paths::found(folder)?
        .into_iter()
        .any(|shard| shard != Shard::WHOLE || folder.join(paths::journal(shard)).exists());
    if has_manifest || has_part {
        let folder = printable(&folder.to_string_lossy());
        return Err(Error::usage(format!(
            "{folder}: has the run of a data set; choose another folder with -o"
        )));
    }
    Ok(lock)
}
