//! The file system operations of a run, as a trait so that tests can make each call fail.

use std::fs;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd;
use std::path::Path;

use crate::util::atomic_file::Replacement;
use crate::util::input_file;
use crate::{Error, Result};

/// Callback that writes a file's bytes; called once.
pub type Fill<'a> = dyn FnMut(&mut dyn Write) -> io::Result<()> + 'a;

/// Storage of a run.
pub trait Disk: Send + Sync {
    /// Creates a folder and its parents if they are missing.
    ///
    /// # Errors
    /// [`Error::Write`], like every other call here.
    fn make_folder(&self, path: &Path) -> Result<()>;

    /// Replaces a file atomically; with `durable`, it is synced to disk afterwards.
    ///
    /// # Errors
    /// When it cannot be written.
    fn replace(&self, path: &Path, durable: bool, fill: &mut Fill) -> Result<()>;

    /// Appends `bytes` to `file`, which is at `path`.
    ///
    /// # Errors
    /// When they cannot be written; some of them may have been.
    fn append(&self, file: &mut File, path: &Path, bytes: &[u8]) -> Result<()>;

    /// Writes `bytes` at `offset` of `file`, which is at `path`.
    ///
    /// # Errors
    /// When they cannot be written; some of them may have been.
    fn write_at(&self, file: &File, path: &Path, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Truncates `file`, which is at `path`, to `len` bytes, or extends it with zeros.
    ///
    /// # Errors
    /// When its length cannot be changed.
    fn cut(&self, file: &File, path: &Path, len: u64) -> Result<()>;

    /// Makes `to` a hard link to `from`, or a copy where links are impossible.
    ///
    /// # Errors
    /// When it cannot be created.
    fn link(&self, from: &Path, to: &Path) -> Result<()>;

    /// Makes the file at `path` a copy of itself without hard links, atomically and durably. Zeros that take no space on
    /// the disk take none in the copy.
    ///
    /// # Errors
    /// When it cannot be read or written; then it is unchanged.
    fn unshare(&self, path: &Path) -> Result<()>;

    /// Flushes the file system of `folder`, so that a following [`Disk::sync`] of each file is fast. Best
    /// effort, without a guarantee of its own.
    fn write_out(&self, folder: &Path);

    /// Syncs the bytes of a file, or the names in a folder, to disk.
    ///
    /// # Errors
    /// When they cannot be written.
    fn sync(&self, path: &Path) -> Result<()>;

    /// Removes a file if it exists.
    ///
    /// # Errors
    /// When it exists and cannot be removed.
    fn remove(&self, path: &Path) -> Result<()>;

    /// Removes a folder if it exists and is empty.
    ///
    /// # Errors
    /// When it is empty and cannot be removed.
    fn remove_folder(&self, path: &Path) -> Result<()>;
}

/// The real file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn make_folder(&self, path: &Path) -> Result<()> {
        fs::create_dir_all(path).map_err(|e| Error::cannot_write(path, e))
    }

    fn replace(&self, path: &Path, durable: bool, fill: &mut Fill) -> Result<()> {
        let mut replacement = Replacement::create(path)?;
        fill(&mut replacement).map_err(|e| Error::cannot_write(path, e))?;
        replacement.commit(durable)
    }

    fn append(&self, file: &mut File, path: &Path, bytes: &[u8]) -> Result<()> {
        file.write_all(bytes).map_err(|e| Error::cannot_write(path, e))
    }

    fn write_at(&self, mut file: &File, path: &Path, offset: u64, bytes: &[u8]) -> Result<()> {
        let written = file.seek(SeekFrom::Start(offset)).and_then(|_| file.write_all(bytes));
        written.map_err(|e| Error::cannot_write(path, e))
    }

    fn cut(&self, file: &File, path: &Path, len: u64) -> Result<()> {
        file.set_len(len).map_err(|e| Error::cannot_write(path, e))
    }

    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        if fs::hard_link(from, to).is_ok() {
            return Ok(());
        }
        // The name may exist from an earlier attempt, or the file system may not support links.
        let mut source = input_file::open(from).map_err(|e| Error::refused_by(from, "file", e))?;
        self.replace(to, false, &mut |target| io::copy(&mut source, target).map(drop))
    }

    fn unshare(&self, path: &Path) -> Result<()> {
        let source = input_file::open(path).map_err(|e| Error::refused_by(path, "file", e))?;
        let mut replacement = Replacement::create(path)?;
        copy_sparse(source, &mut replacement).map_err(|e| Error::cannot_write(path, e))?;
        replacement.commit(true)
    }

    fn write_out(&self, folder: &Path) {
        #[cfg(target_os = "linux")]
        if let Ok(folder) = input_file::open_file_or_folder(folder) {
            // SAFETY: the descriptor is open. A failure here also shows in `sync`, which reports it.
            unsafe { libc::syncfs(folder.as_raw_fd()) };
        }
        #[cfg(not(target_os = "linux"))]
        let _ = folder;
    }

    fn sync(&self, path: &Path) -> Result<()> {
        if cfg!(not(unix)) && path.is_dir() {
            return Ok(()); // Folders cannot be opened as files on this platform.
        }
        input_file::open_file_or_folder(path)
            .and_then(|file| file.sync_all())
            .map_err(|e| Error::cannot_write(path, e))
    }

    fn remove(&self, path: &Path) -> Result<()> {
        match fs::remove_file(path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::cannot_write(path, e)),
            _ => Ok(()),
        }
    }

    fn remove_folder(&self, path: &Path) -> Result<()> {
        match fs::remove_dir(path) {
            Err(e) if !matches!(e.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => {
                Err(Error::cannot_write(path, e))
            }
            _ => Ok(()),
        }
    }
}

/// Copies a file; blocks of zeros are left out, which read as zeros and take no space.
fn copy_sparse(mut source: File, target: &mut Replacement) -> io::Result<()> {
    const BLOCK: u64 = 1 << 16;
    let len = source.metadata()?.len();
    target.set_len(len)?;
    let mut block = Vec::with_capacity(BLOCK as usize);
    let mut at = 0;
    while at < len {
        block.clear();
        let read = (&mut source).take(BLOCK).read_to_end(&mut block)?;
        if read == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if block.iter().any(|&byte| byte != 0) {
            target.seek(SeekFrom::Start(at))?;
            target.write_all(&block)?;
        }
        at += read as u64;
    }
    Ok(())
}
