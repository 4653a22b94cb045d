//! File lock: one process at a time writes into a folder.

use std::fs;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::{Error, Result};

/// Exclusive right to write into a folder, held until it is dropped or the process ends.
///
/// It is a lock of the operating system on a file, so a dead process blocks nobody. The file names its
/// holder and is removed on release; a killed process leaves it behind, unlocked.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    /// Closing the file releases the lock.
    _file: File,
    enforced: bool,
}

impl Lock {
    /// Takes the lock file `path` of `folder`.
    ///
    /// # Errors
    /// [`Error::Write`] that names the holder, or the reason why the file cannot be created.
    pub fn take(folder: &Path, path: &Path) -> Result<Lock> {
        loop {
            let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
            let mut file = options.map_err(|e| Error::cannot_write(path, e))?;
            let enforced = match file.try_lock() {
                Ok(()) => true,
                Err(TryLockError::WouldBlock) => return Err(Error::write(folder, held_by(path))),
                // Some network file systems do not support locks.
                Err(TryLockError::Error(e)) if e.kind() == ErrorKind::Unsupported => false,
                Err(TryLockError::Error(e)) => return Err(Error::cannot_write(path, e)),
            };
            // The previous holder may have removed the file between opening and locking.
            if is_at(&file, path) {
                // Informative only: a full disk must not prevent resuming.
                let _ = file.set_len(0).and_then(|()| file.write_all(holder().as_bytes()));
                return Ok(Lock { path: path.into(), _file: file, enforced });
            }
        }
    }

    /// Whether the file system enforces the lock.
    pub fn is_enforced(&self) -> bool {
        self.enforced
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The file is still locked, so no other process can hold a lock under this name.
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether `path` still names the open `file`.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let (Ok(open), Ok(there)) = (file.metadata(), fs::metadata(path)) else { return false };
    identity(open) == identity(there)
}

/// On this platform an open file cannot be removed.
#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

fn holder() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = host.or_else(|| std::env::var("HOSTNAME").ok()).or_else(|| std::env::var("COMPUTERNAME").ok());
    let host = host.as_deref().map_or("an unknown host", str::trim);
    let since = humantime::format_rfc3339_seconds(SystemTime::now());
    format!("process {} on {host} since {since}\n", std::process::id())
}

fn held_by(path: &Path) -> String {
    let holder = fs::read_to_string(path).unwrap_or_default();
    let holder = if holder.trim().is_empty() { "another process" } else { holder.trim() };
    format!("in use by {holder}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_names_the_holder_and_a_leftover_file_does_not_block() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        fs::write(&path, "process 1 on a host that is long dead, and the line is longer than the new one\n")
            .unwrap();
        let first = Lock::take(folder.path(), &path).unwrap();
        assert!(first.is_enforced());
        let error = Lock::take(folder.path(), &path).unwrap_err();
        let me = format!("cannot write: in use by process {} on ", std::process::id());
        assert!(error.to_string().contains(&me), "{error}");
        assert!(error.to_string().ends_with('Z') && !error.to_string().contains("dead"), "{error}");
        assert!(matches!(error, Error::Write { .. }), "{error}");
        drop(first);
        assert!(!path.exists());
        Lock::take(folder.path(), &path).unwrap();
    }

    #[test]
    fn only_one_thread_holds_the_lock_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let holders = std::sync::atomic::AtomicUsize::new(0);
        let taken = std::sync::atomic::AtomicUsize::new(0);
        let order = std::sync::atomic::Ordering::SeqCst;
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        if let Ok(lock) = Lock::take(folder.path(), &path) {
                            assert_eq!(holders.fetch_add(1, order), 0);
                            taken.fetch_add(1, order);
                            holders.fetch_sub(1, order);
                            drop(lock);
                        }
                    }
                });
            }
        });
        assert!(taken.into_inner() > 0);
    }
}
