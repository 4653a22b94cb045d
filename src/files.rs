//! Writing a file whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{Error, Result};

/// Writes `bytes` to `path` so that a reader sees the old file or the new one, never a part.
///
/// The bytes go to a temporary file beside `path`, which then takes its name. The temporary
/// file carries the final name, so a leftover of a killed process can be told; it is removed
/// when writing fails. The permissions are those of any new file. The data is not forced to the
/// disk: after a power cut a file may be missing or empty. Where that matters there is
/// [`write_durably`].
///
/// # Errors
/// [`Error::Write`], also when `path` names a folder, a device or a pipe: a rename would
/// put a file in its place.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, bytes, false)
}

/// As [`write_atomically`]; and when it returns, the file is on the disk.
///
/// # Errors
/// As [`write_atomically`].
pub fn write_durably(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, bytes, true)
}

fn replace(path: &Path, bytes: &[u8], durable: bool) -> Result<()> {
    if fs::metadata(path).is_ok_and(|about| !about.is_file()) {
        return Err(Error::write(path, "is not a regular file"));
    }
    let (temporary, mut file) = create_beside(path)?;
    let written = file.write_all(bytes).and_then(|()| {
        if durable {
            file.sync_all()?;
        }
        // Closed before the rename; some file systems report a full disk only then.
        drop(file);
        fs::rename(&temporary, path)?;
        if durable { sync_folder(path) } else { Ok(()) }
    });
    written.map_err(|e| {
        // Nothing more can be done if this fails too; the first error is the one to report.
        let _ = fs::remove_file(&temporary);
        Error::write(path, e)
    })
}

/// Puts the new name of `path` on the disk.
#[cfg(unix)]
fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// A folder cannot be opened as a file here.
#[cfg(not(unix))]
fn sync_folder(_: &Path) -> std::io::Result<()> {
    Ok(())
}

/// A new file `.<name>.<process>-<count>.tmp` in `path`'s folder.
fn create_beside(path: &Path) -> Result<(PathBuf, File)> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = path.file_name().ok_or_else(|| Error::write(path, "names no file"))?;
    loop {
        let unique = format!(".{}-{}.tmp", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut temporary_name = OsString::from(".");
        temporary_name.push(shortened(name, NAME_MAX - 1 - unique.len()));
        temporary_name.push(unique);
        let temporary = path.with_file_name(temporary_name);
        match OpenOptions::new().write(true).create_new(true).open(&temporary) {
            Ok(file) => return Ok((temporary, file)),
            // Left by an earlier process of the same number.
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => continue,
            Err(e) => return Err(Error::write(path, e)),
        }
    }
}

/// The longest file name that common file systems take, in bytes.
const NAME_MAX: usize = 255;

/// The start of `name`, at most `limit` bytes of it.
fn shortened(name: &std::ffi::OsStr, limit: usize) -> OsString {
    if name.len() <= limit {
        return name.to_owned();
    }
    // A replacement character takes three bytes where the name may have had one.
    name.to_string_lossy().chars().take(limit / 4).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<OsString> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    }

    #[test]
    fn a_file_is_replaced_and_nothing_else_is_left() {
        for write in [write_atomically, write_durably] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("out.png");
            write(&path, b"old").unwrap();
            write(&path, b"new").unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"new");
            assert_eq!(names(folder.path()), ["out.png"]);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_has_the_permissions_of_any_new_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let [path, other] = ["out", "other"].map(|name| folder.path().join(name));
        fs::write(&other, b"").unwrap();
        write_durably(&path, b"new").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&other));
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_stays_a_pipe() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        if std::process::Command::new("mkfifo").arg(&pipe).status().is_ok_and(|made| made.success()) {
            assert_eq!(write_durably(&pipe, b"new").unwrap_err().exit_code(), 6);
            assert!(!fs::metadata(&pipe).unwrap().is_file());
        }
    }

    #[test]
    fn a_name_as_long_as_the_file_system_takes_can_be_written() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["x".repeat(255), "\u{e4}".repeat(127)] {
            write_atomically(&folder.path().join(name), b"new").unwrap();
        }
        assert_eq!(names(folder.path()).len(), 2);
    }

    #[test]
    fn a_failure_names_the_file_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        let error = write_atomically(&path, b"new").unwrap_err();
        assert!(error.to_string().ends_with("taken: cannot write: is not a regular file"), "{error}");
        let error = write_atomically(&folder.path().join("missing/out.png"), b"new").unwrap_err();
        assert_eq!(error.exit_code(), 6);
        let error = write_atomically(&folder.path().join("x".repeat(256)), b"new").unwrap_err();
        assert_eq!(error.exit_code(), 6);
        assert_eq!(names(folder.path()), ["taken"]);
    }

    #[test]
    fn the_current_folder_needs_no_name() {
        let error = write_atomically(Path::new(".."), b"").unwrap_err();
        assert_eq!(error.exit_code(), 6);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_device_stays_a_device() {
        let error = write_atomically(Path::new("/dev/full"), b"new").unwrap_err();
        assert!(error.to_string().contains("not a regular file"), "{error}");
    }
}
