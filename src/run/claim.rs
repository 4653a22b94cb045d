//! A run's claim on its folder: checks and locks before anything is written.

use std::ffi::OsStr;
use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use super::marker::Marker;
use super::{Disk, Lock, Shard, marker, paths};
use crate::error::path_text;
use crate::util::input_file;
use crate::{Error, Result};

/// Creates `folder` if it is missing and takes the lock called `lock` in it.
///
/// # Errors
/// [`Error::Write`] when `folder` is a file, in use or cannot be created; as [`check_not_within_a_run`].
pub fn create_and_lock(disk: &dyn Disk, folder: &Path, lock: &str) -> Result<Lock> {
    if folder.exists() && !folder.is_dir() {
        return Err(Error::write(folder, "is a file, expected a folder"));
    }
    check_not_within_a_run(folder)?;
    disk.make_folder(folder)?;
    Lock::take(folder, &folder.join(lock))
}

/// Refuses a folder in which a run keeps files of its images, or one below it, by whatever path: a merge would put the
/// arrays of the whole run among those of a shard.
///
/// # Errors
/// [`Error::Usage`] that names the run's folder; [`Error::Refused`] when a folder on the way cannot be read.
pub fn check_not_within_a_run(folder: &Path) -> Result<()> {
    let real = real_path(folder)?;
    for (within, above) in real.ancestors().zip(real.ancestors().skip(1)) {
        let name = within.file_name().and_then(OsStr::to_str).filter(|name| paths::is_reserved(name));
        let Some(name) = name else { continue };
        let is_a_run = match holds_a_run(above) {
            // Whoever may not look into it did not make a run there.
            Err(error) if is_forbidden(&error) => false,
            found => found?,
        };
        if is_a_run {
            let (folder, above) = (path_text(folder), path_text(above));
            return Err(Error::usage(format!(
                "{folder}: {name} belongs to the run in {above}; choose another folder with -o"
            )));
        }
    }
    Ok(())
}

/// `path` without links, `.` and `..`, of which the last parts need not exist.
///
/// # Errors
/// [`Error::Refused`] when a folder on the way cannot be read.
fn real_path(path: &Path) -> Result<PathBuf> {
    let mut real = PathBuf::new();
    let mut is_there = true;
    for part in std::path::absolute(path).map_err(|e| Error::cannot_read(path, e))?.components() {
        match part {
            Component::ParentDir => drop(real.pop()),
            part => real.push(part),
        }
        // The prefix of a Windows path alone is another folder.
        if is_there && real.has_root() {
            match paths::if_there(real.canonicalize()).map_err(|e| Error::cannot_read(&real, e))? {
                Some(found) => real = found,
                None => is_there = false,
            }
        }
    }
    Ok(real)
}

/// Whether the cause of an error is that the user has not the right.
fn is_forbidden(error: &Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| cause.kind() == ErrorKind::PermissionDenied)
}

/// Whether `folder` holds the journal of a run, or its manifest.
fn holds_a_run(folder: &Path) -> Result<bool> {
    if !paths::is_folder(folder)? {
        return Ok(false);
    }
    match paths::shards(folder)?[..] {
        [] => Ok(false),
        // A manifest may be that of something else.
        [Shard::WHOLE] if !paths::exists(&folder.join(paths::journal(Shard::WHOLE)))? => {
            match marker::RUN.read(folder) {
                Ok(found) => Ok(found != Marker::Missing),
                Err(Error::Usage(_)) => Ok(false),
                Err(unreadable) => Err(unreadable),
            }
        }
        _ => Ok(true),
    }
}

/// Refuses a folder whose manifest, results or pictures are not those of a run. A journal is proof of a run;
/// it is checked when it is read.
///
/// # Errors
/// [`Error::Usage`] with the name of the file.
pub fn check_foreign(folder: &Path) -> Result<()> {
    let marker = marker::RUN.read(folder)?;
    if marker == Marker::Missing && paths::shards(folder)?.is_empty() {
        marker::RUN.check_unused(folder, marker::RUN.files)?;
    }
    Ok(())
}

/// Refuses a folder that holds arrays of the name of those of `shard`, which has no journal yet. Those of a whole set
/// may be of a merge, which has left a marker beside them.
///
/// # Errors
/// [`Error::Usage`] with the name of their folder.
pub fn check_foreign_arrays(folder: &Path, shard: Shard) -> Result<()> {
    match shard {
        Shard::WHOLE => Ok(()),
        _ => marker::RUN.check_unused(folder, &[&paths::arrays(shard)]),
    }
}

/// Refuses a folder that holds shards of another division of the set than `shard`.
///
/// # Errors
/// [`Error::Usage`] that names the other shard; [`Error::Refused`] when the folder cannot be read.
pub fn check_other_shards(folder: &Path, shard: Shard) -> Result<()> {
    for other in paths::shards(folder)? {
        let whole = other == Shard::WHOLE;
        let cause = match shard {
            _ if other == shard || other.count() == shard.count() => continue,
            // The manifest tells whether it is the same set and finished.
            _ if whole && paths::exists(&folder.join(paths::manifest(other)))? => continue,
            _ if whole => "a run of the whole set is in progress here".into(),
            Shard::WHOLE => format!("shard {other} is here; `msdcam merge` merges all shards into one run"),
            _ => format!("shard {other} is here, asked for shard {shard}"),
        };
        return Err(Error::usage(format!("{}: {cause}", path_text(folder))));
    }
    Ok(())
}

/// Refuses a folder in which a run of the whole set has begun, and which its journal alone tells: a merge has none.
///
/// # Errors
/// [`Error::Usage`]; [`Error::Refused`] when the folder cannot be read.
pub fn check_no_whole_run(folder: &Path) -> Result<()> {
    if paths::exists(&folder.join(paths::journal(Shard::WHOLE)))? {
        let cause = "a run of the whole set is in progress here; finish it, or choose another folder with -o";
        return Err(Error::usage(format!("{}: {cause}", path_text(folder))));
    }
    Ok(())
}

/// The right to decide whether a run may start in a folder, held for a moment: without it, a run of the
/// whole set and a shard that start together could each see the other and both give up.
///
/// It is a lock of the operating system on the folder itself, which leaves no file behind.
#[derive(Debug)]
pub struct Gate {
    /// `None` where folders cannot be locked.
    _folder: Option<File>,
}

impl Gate {
    /// Waits until no other process decides about `folder`.
    ///
    /// # Errors
    /// [`Error::Write`] when that takes longer than ten seconds.
    pub fn enter(folder: &Path) -> Result<Gate> {
        const PATIENCE: Duration = Duration::from_secs(10);
        let Ok(open) = input_file::open_file_or_folder(folder) else { return Ok(Gate { _folder: None }) };
        let started = Instant::now();
        loop {
            match open.try_lock() {
                Ok(()) => return Ok(Gate { _folder: Some(open) }),
                Err(TryLockError::WouldBlock) if started.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::write(
                        folder,
                        "another process has been starting here for ten seconds",
                    ));
                }
                Err(TryLockError::Error(_)) => return Ok(Gate { _folder: None }),
            }
        }
    }
}
