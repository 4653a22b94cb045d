//! Atomic file replacement: a file is written completely or not at all.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{Error, Result};

/// Writes `bytes` to `path` so that a reader sees either the old or the new file, never a partial one.
///
/// The bytes go to a temporary file beside `path`, which is then renamed. The temporary name contains the
/// final one, so that leftovers of a killed process can be identified; the file is removed when writing
/// fails. It gets the default permissions. It is not synced to disk: after a power failure it may be
/// missing or empty. [`write_durably`] also syncs.
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
    temporary: PathBuf,
    /// `None` once closed.
    file: Option<BufWriter<File>>,
    committed: bool,
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
        let (temporary, file) = create_beside(path)?;
        Ok(Replacement { path: path.into(), temporary, file: Some(BufWriter::new(file)), committed: false })
    }

    /// Renames the file into place; with `durable`, it is synced to disk.
    ///
    /// # Errors
    /// As [`write_atomically`].
    pub fn commit(mut self, durable: bool) -> Result<()> {
        let renamed = self.writer().flush().and_then(|()| {
            if durable {
                self.writer().get_ref().sync_all()?;
            }
            // Closed before the rename, which some platforms refuse for open files.
            self.file = None;
            fs::rename(&self.temporary, &self.path)?;
            self.committed = true;
            if durable { sync_folder(&self.path) } else { Ok(()) }
        });
        renamed.map_err(|e| Error::cannot_write(&self.path, e))
    }

    fn writer(&mut self) -> &mut BufWriter<File> {
        self.file.as_mut().expect("open until committed")
    }
}

impl Write for Replacement {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.writer().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.writer().flush()
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if !self.committed {
            self.file = None;
            // A failure here is ignored: the first error is the one to report.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Syncs the directory entry of `path` to disk.
#[cfg(unix)]
fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Folders cannot be opened as files on this platform.
#[cfg(not(unix))]
fn sync_folder(_: &Path) -> std::io::Result<()> {
    Ok(())
}

/// Creates the file `.<name>.<process>-<count>.tmp` in the folder of `path`.
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
            // Left behind by an earlier process with the same id.
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => continue,
            Err(e) => return Err(Error::cannot_write(path, e)),
        }
    }
}

/// The final name of the temporary file `name`, shortened if it is very long; `None` if `name` is not a
/// temporary file of this module.
pub fn temporary_for(name: &OsStr) -> Option<&OsStr> {
    let (of, unique) = name.to_str()?.strip_prefix('.')?.strip_suffix(".tmp")?.rsplit_once('.')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (process, count) = unique.split_once('-')?;
    (is_number(process) && is_number(count)).then_some(OsStr::new(of))
}

/// Maximum length of a file name on common file systems, in bytes.
const NAME_MAX: usize = 255;

/// `name` truncated to at most `limit` bytes.
fn shortened(name: &OsStr, limit: usize) -> OsString {
    if name.len() <= limit {
        return name.to_owned();
    }
    // A replacement character takes three bytes where the name may have had one byte.
    name.to_string_lossy().chars().take(limit / 4).collect::<String>().into()
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn a_temporary_name_contains_the_final_name() {
        let folder = tempfile::tempdir().unwrap();
        let _unfinished = Replacement::create(&folder.path().join("a.b.png")).unwrap();
        let [name] = &names(folder.path())[..] else { panic!() };
        assert_eq!(temporary_for(name), Some(OsStr::new("a.b.png")));
        for name in ["a.b.png", ".a.tmp", ".a.1.tmp", ".a.1-x.tmp", ".a.-1.tmp", "a.1-2.tmp", ".a.1-2.png"] {
            assert_eq!(temporary_for(OsStr::new(name)), None, "{name}");
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
