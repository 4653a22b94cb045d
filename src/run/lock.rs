//! File lock: one process at a time writes into a folder.

use std::fs;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::util::temporary::Unfinished;
use crate::util::{file_id, input_file};
use crate::{Error, Result};

/// First word of a lock file.
const PROCESS: &str = "process ";
/// Maximum length of a lock file that is read, in bytes.
const LONGEST: u64 = 4096;

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
    unfinished: Unfinished,
}

impl Lock {
    /// Takes the lock file `path` of `folder`.
    ///
    /// # Errors
    /// [`Error::Write`] that names the holder, or the reason why the file cannot be created; also when
    /// `path` is a link or holds anything but the name of a holder, which a lock would destroy.
    pub fn take(folder: &Path, path: &Path) -> Result<Lock> {
        let failed = |e| Error::cannot_write(path, e);
        loop {
            if fs::symlink_metadata(path).is_ok_and(|about| about.is_symlink()) {
                return Err(Error::write(path, "is a symbolic link, expected the lock of a run"));
            }
            let Some(mut file) = open(path).map_err(failed)? else { continue };
            let enforced = match file.try_lock() {
                Ok(()) => true,
                Err(TryLockError::WouldBlock) => return Err(Error::write(folder, held_by(path))),
                Err(TryLockError::Error(e)) if e.kind() == ErrorKind::Interrupted => continue,
                Err(TryLockError::Error(e)) if has_no_locks(&e) => false,
                Err(TryLockError::Error(e)) => return Err(failed(e)),
            };
            // The previous holder may have removed the file between opening and locking.
            if file_id::is_at(&file, path) {
                let mut text = String::new();
                let foreign = || Error::write(path, "is not the lock of a run; choose another folder");
                match (&file).take(LONGEST).read_to_string(&mut text) {
                    Err(e) if e.kind() == ErrorKind::InvalidData => return Err(foreign()),
                    Err(e) => return Err(failed(e)),
                    Ok(_) if !text.is_empty() && !text.starts_with(PROCESS) => return Err(foreign()),
                    Ok(_) => {}
                }
                // Left behind, and in a copy of the folder by hard links: the name of the holder would change there, too.
                if file_id::has_hard_links(&file).map_err(failed)? {
                    fs::remove_file(path).map_err(failed)?;
                    continue;
                }
                // Informative only: a full disk must not prevent resuming, nor the file of another user.
                let cleared = file.set_len(0).and_then(|()| file.rewind());
                let _ = cleared.and_then(|()| file.write_all(holder(SystemTime::now()).as_bytes()));
                let unfinished = Unfinished::new(path);
                return Ok(Lock { path: path.into(), _file: file, enforced, unfinished });
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
        self.unfinished.forget();
    }
}

/// Opens the lock file or creates it; `None` if another process created it at the same time.
fn open(path: &Path) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    let opened = match input_file::open_with(path, &mut options) {
        Err(e) if e.kind() == ErrorKind::NotFound => options.create_new(true).open(path),
        // Left behind by another user; locking it takes no right to write.
        Err(e) if e.kind() == ErrorKind::PermissionDenied => input_file::open(path),
        opened => opened,
    };
    match opened {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(None),
        opened => opened.map(Some),
    }
}

/// Whether the error says that the file system has no locks, as some network file systems: they are not
/// implemented, or their server does not run.
fn has_no_locks(error: &io::Error) -> bool {
    #[cfg(unix)]
    if error.raw_os_error() == Some(libc::ENOLCK) {
        return true;
    }
    error.kind() == ErrorKind::Unsupported
}

/// The text of a lock file that is taken at the time `now`.
fn holder(now: SystemTime) -> String {
    let host = input_file::read_text(Path::new("/proc/sys/kernel/hostname"), LONGEST).ok();
    let host = host.or_else(|| std::env::var("HOSTNAME").ok()).or_else(|| std::env::var("COMPUTERNAME").ok());
    let host = host.as_deref().map_or("an unknown host", str::trim);
    let since = time(now).map_or(String::new(), |time| format!(" since {time}"));
    format!("{PROCESS}{} on {host}{since}\n", std::process::id())
}

/// The time in RFC 3339; `None` for a year before 1970 or after 9999, which a wrong clock can give.
fn time(now: SystemTime) -> Option<String> {
    /// The year 10000.
    const END: Duration = Duration::from_secs(253_402_300_800);
    now.duration_since(SystemTime::UNIX_EPOCH).ok().filter(|since| *since < END)?;
    Some(humantime::format_rfc3339_seconds(now).to_string())
}

fn held_by(path: &Path) -> String {
    let holder = input_file::read_text(path, LONGEST).unwrap_or_default();
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

    #[test]
    fn the_file_of_something_else_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        for text in [&b"mine\n"[..], b"\xff"] {
            fs::write(&path, text).unwrap();
            let error = Lock::take(folder.path(), &path).unwrap_err().to_string();
            assert!(error.contains("lock: cannot write: is not the lock of a run"), "{error}");
            assert_eq!(fs::read(&path).unwrap(), text);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_or_a_pipe_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let victim = folder.path().join("victim");
        for exists in [false, true] {
            if exists {
                fs::write(&victim, "").unwrap();
            }
            std::os::unix::fs::symlink("victim", &path).unwrap();
            let error = Lock::take(folder.path(), &path).unwrap_err().to_string();
            assert!(error.contains("lock: cannot write: is a symbolic link"), "{error}");
            fs::remove_file(&path).unwrap();
            assert_eq!(victim.exists(), exists);
        }
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let error = Lock::take(folder.path(), &path).unwrap_err().to_string();
        assert!(error.contains("is a pipe or a device"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_system_without_locks_is_known_by_its_error() {
        for (code, expected) in [(libc::ENOLCK, true), (libc::ENOSYS, true), (libc::EIO, false)] {
            assert_eq!(has_no_locks(&io::Error::from_raw_os_error(code)), expected, "{code}");
        }
    }

    #[test]
    fn a_wrong_clock_is_no_error() {
        let year = Duration::from_secs(31_557_600);
        for (now, known) in [(-1, false), (0, true), (56, true), (8029, true), (8031, false)] {
            let now = match now {
                -1 => SystemTime::UNIX_EPOCH - year,
                years => SystemTime::UNIX_EPOCH + years as u32 * year,
            };
            let text = holder(now);
            assert_eq!(text.contains(" since "), known, "{text}");
            assert!(text.starts_with("process ") && text.ends_with('\n'), "{text}");
        }
    }
}
