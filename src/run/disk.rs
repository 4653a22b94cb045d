//! Everything that a run does to the disk, so that tests can make each call fail.

use std::fs;
use std::fs::File;
use std::io::{ErrorKind, Write};
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd;
use std::path::Path;

use crate::util::atomic_file::Replacement;
use crate::{Error, Result};

/// Writes a file's bytes; called once.
pub type Fill<'a> = dyn FnMut(&mut dyn Write) -> std::io::Result<()> + 'a;

/// Where a run is kept.
pub trait Disk: Send + Sync {
    /// Makes a folder, and those above it, where they are missing.
    ///
    /// # Errors
    /// [`Error::Write`], like every other call here.
    fn make_folder(&self, path: &Path) -> Result<()>;

    /// Writes a file whole or not at all; where `durable`, it is on the disk afterwards.
    ///
    /// # Errors
    /// When it cannot be written.
    fn replace(&self, path: &Path, durable: bool, fill: &mut Fill) -> Result<()>;

    /// Adds `bytes` at the end of `file`, which is at `path`.
    ///
    /// # Errors
    /// When they cannot be written; a part of them may have been.
    fn append(&self, file: &mut File, path: &Path, bytes: &[u8]) -> Result<()>;

    /// Cuts `file`, which is at `path`, to its first `len` bytes.
    ///
    /// # Errors
    /// When it cannot be cut.
    fn cut(&self, file: &File, path: &Path, len: u64) -> Result<()>;

    /// Makes `to` the same file as `from`, or a copy of it where that is impossible.
    ///
    /// # Errors
    /// When it cannot be made.
    fn link(&self, from: &Path, to: &Path) -> Result<()>;

    /// Has everything in the file system of `folder` written out at once, so that [`Disk::sync`] of each
    /// file then has little to wait for. Promises nothing by itself.
    fn write_out(&self, folder: &Path);

    /// Waits until the bytes of a file, or the names in a folder, are on the disk.
    ///
    /// # Errors
    /// When they cannot be written.
    fn sync(&self, path: &Path) -> Result<()>;

    /// Removes a file if it is there.
    ///
    /// # Errors
    /// When it is there and stays.
    fn remove(&self, path: &Path) -> Result<()>;
}

/// The file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn make_folder(&self, path: &Path) -> Result<()> {
        fs::create_dir_all(path).map_err(|e| Error::write(path, e))
    }

    fn replace(&self, path: &Path, durable: bool, fill: &mut Fill) -> Result<()> {
        let mut replacement = Replacement::create(path)?;
        fill(&mut replacement).map_err(|e| Error::write(path, e))?;
        replacement.commit(durable)
    }

    fn append(&self, file: &mut File, path: &Path, bytes: &[u8]) -> Result<()> {
        file.write_all(bytes).map_err(|e| Error::write(path, e))
    }

    fn cut(&self, file: &File, path: &Path, len: u64) -> Result<()> {
        file.set_len(len).map_err(|e| Error::write(path, e))
    }

    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        if fs::hard_link(from, to).is_ok() {
            return Ok(());
        }
        // Taken by an earlier attempt, on another file system, or on one without links.
        let mut source = File::open(from).map_err(|e| Error::refused(from, "file", e.to_string()))?;
        self.replace(to, false, &mut |target| std::io::copy(&mut source, target).map(drop))
    }

    fn write_out(&self, folder: &Path) {
        #[cfg(target_os = "linux")]
        if let Ok(folder) = File::open(folder) {
            // SAFETY: an open file. What fails here fails in `sync` too, which says so.
            unsafe { libc::syncfs(folder.as_raw_fd()) };
        }
        #[cfg(not(target_os = "linux"))]
        let _ = folder;
    }

    fn sync(&self, path: &Path) -> Result<()> {
        if cfg!(not(unix)) && path.is_dir() {
            return Ok(()); // A folder cannot be opened as a file there.
        }
        File::open(path).and_then(|file| file.sync_all()).map_err(|e| Error::write(path, e))
    }

    fn remove(&self, path: &Path) -> Result<()> {
        match fs::remove_file(path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::write(path, e)),
            _ => Ok(()),
        }
    }
}
