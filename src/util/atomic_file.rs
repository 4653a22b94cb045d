//! Atomic file replacement: a file is written completely or not at all.

use std::fs;
use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::temporary::Temporary;
use super::{input_file, private};
use crate::{Error, Result};

pub use super::temporary::temporary_for;

/// Writes `bytes` to `path` so that a reader sees either the old or the new file, never a partial one.
///
/// The bytes go to a temporary file beside `path`, which is then renamed, or removed when writing fails;
/// what a killed process left is removed when the same file is written again. The file gets the default
/// permissions. It is not synced to disk: after a power failure it may be missing or empty.
/// [`write_durably`] also syncs.
///
/// # Errors
/// [`Error::Write`], also when `path` names a folder, a device or a pipe, which a rename would replace.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, bytes, false)
}

/// As [`write_atomically`], and syncs the file to disk before it returns.
///
/// # Errors
/// As [`write_atomically`].
pub fn write_durably(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, bytes, true)
}

/// Creates `folder` and its parents if they are missing.
///
/// # Errors
/// [`Error::Write`] when it is a file or cannot be created.
pub fn make_folder(folder: &Path) -> Result<()> {
    match fs::metadata(folder) {
        Ok(about) if !about.is_dir() => Err(Error::write(folder, "is a file, expected a folder")),
        _ => fs::create_dir_all(folder).map_err(|e| Error::cannot_write(folder, e)),
    }
}

/// Checks that files can be created in `folder` or, if it does not exist, in the folder above it that does:
/// a temporary file is created and removed. Called before the work whose results are written there.
///
/// # Errors
/// [`Error::Write`] when it is a file, or no file can be created.
pub fn check_writable(folder: &Path) -> Result<()> {
    let in_current = |path| if path == Path::new("") { Path::new(".") } else { path };
    let existing = folder.ancestors().map(in_current).find(|path| fs::symlink_metadata(path).is_ok());
    let existing = existing.unwrap_or(folder);
    if fs::metadata(existing).is_ok_and(|about| !about.is_dir()) {
        return Err(Error::write(existing, "is a file, expected a folder"));
    }
    Temporary::create(&existing.join("msdcam")).map(drop).map_err(|e| Error::cannot_write(folder, e))
}

/// Removes the file `path` if it exists.
///
/// # Errors
/// [`Error::Write`] when it cannot be removed.
pub fn remove_old(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::cannot_write(path, e)),
        _ => Ok(()),
    }
}

fn replace(path: &Path, bytes: &[u8], durable: bool) -> Result<()> {
    let mut replacement = Replacement::create(path)?;
    replacement.write_all(bytes).map_err(|e| Error::cannot_write(path, e))?;
    replacement.commit(durable)
}

/// A file that is written in pieces and renamed into place when it is complete, as with
/// [`write_atomically`]. If it is dropped before, nothing remains.
#[derive(Debug)]
pub struct Replacement {
    path: PathBuf,
    /// Closed before it is removed, which some platforms refuse for open files.
    file: BufWriter<File>,
    temporary: Temporary,
}

impl Replacement {
    /// Creates the temporary file for `path`.
    ///
    /// # Errors
    /// As [`write_atomically`].
    pub fn create(path: &Path) -> Result<Replacement> {
        if fs::metadata(path).is_ok_and(|about| !about.is_file()) {
            return Err(Error::write(path, "is not a regular file"));
        }
        let (temporary, file) = Temporary::create(path).map_err(|e| Error::cannot_write(path, e))?;
        Ok(Replacement { path: path.into(), file: BufWriter::new(file), temporary })
    }

    /// Takes the right to read and to write the file from everybody but this user.
    ///
    /// # Errors
    /// Those of the operating system.
    pub(crate) fn restrict(&self) -> std::io::Result<()> {
        private::restrict(self.file.get_ref())
    }

    /// Extends the file with zeros that take no space to `len` bytes.
    ///
    /// # Errors
    /// Those of the operating system.
    pub(crate) fn set_len(&mut self, len: u64) -> std::io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().set_len(len)
    }

    /// Renames the file into place; with `durable`, it is synced to disk.
    ///
    /// # Errors
    /// As [`write_atomically`].
    pub fn commit(self, durable: bool) -> Result<()> {
        let Replacement { path, temporary, mut file } = self;
        let mut rename = || {
            file.flush()?;
            if durable {
                file.get_ref().sync_all()?;
            }
            Ok(())
        };
        let renamed = rename().and_then(|()| {
            // On Unix it stays open, and so locked, until it has its final name.
            let _open = cfg!(unix).then_some(file);
            temporary.rename(&path)?;
            if durable { sync_folder(&path) } else { Ok(()) }
        });
        renamed.map_err(|e| Error::cannot_write(&path, e))
    }
}

impl Seek for Replacement {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.file.seek(to)
    }
}

impl Write for Replacement {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// Syncs the directory entry of `path` to disk.
#[cfg(unix)]
fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    input_file::open_file_or_folder(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Folders cannot be opened as files on this platform.
#[cfg(not(unix))]
fn sync_folder(_: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn names(folder: &Path) -> Vec<OsString> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    }

    #[test]
    fn a_file_is_replaced_without_leftovers() {
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
    fn a_file_has_default_permissions() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let [path, other] = ["out", "other"].map(|name| folder.path().join(name));
        fs::write(&other, b"").unwrap();
        write_durably(&path, b"new").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&other));
    }

    #[test]
    fn a_replacement_appears_only_when_committed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        for (end, expected) in [(false, None), (true, Some("one\ntwo\n"))] {
            let mut file = Replacement::create(&path).unwrap();
            file.write_all(b"one\n").and_then(|()| file.write_all(b"two\n")).unwrap();
            assert!(!path.exists());
            if end {
                file.commit(false).unwrap()
            } else {
                drop(file)
            }
            assert_eq!(fs::read_to_string(&path).ok().as_deref(), expected);
            assert_eq!(names(folder.path()).len(), usize::from(end));
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_stays_a_pipe() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        if std::process::Command::new("mkfifo").arg(&pipe).status().is_ok_and(|made| made.success()) {
            assert!(matches!(write_durably(&pipe, b"new"), Err(Error::Write { .. })));
            assert!(!fs::metadata(&pipe).unwrap().is_file());
        }
    }

    #[test]
    fn names_of_the_maximum_length_can_be_written() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["x".repeat(255), "\u{e4}".repeat(127)] {
            write_atomically(&folder.path().join(name), b"new").unwrap();
        }
        assert_eq!(names(folder.path()).len(), 2);
    }

    #[test]
    fn a_failure_names_the_file_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        let error = write_atomically(&path, b"new").unwrap_err();
        assert!(error.to_string().ends_with("taken: cannot write: is not a regular file"), "{error}");
        let error = write_atomically(&folder.path().join("missing/out.png"), b"new").unwrap_err();
        assert!(matches!(error, Error::Write { .. }), "{error}");
        let error = write_atomically(&folder.path().join("x".repeat(256)), b"new").unwrap_err();
        assert!(matches!(error, Error::Write { .. }), "{error}");
        assert_eq!(names(folder.path()), ["taken"]);
    }

    #[test]
    fn a_path_without_a_file_name_is_an_error() {
        let error = write_atomically(Path::new(".."), b"").unwrap_err();
        assert!(matches!(error, Error::Write { .. }), "{error}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_device_stays_a_device() {
        let error = write_atomically(Path::new("/dev/full"), b"new").unwrap_err();
        assert!(error.to_string().contains("not a regular file"), "{error}");
    }
}
