//! Input files: opened without blocking, and read whole up to a limit.
//!
//! Every file that is read is opened here. A named pipe would block the opening, a device the reading
//! or the memory, so both are refused.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use super::text;
use crate::{Error, Result};

/// Limit of a text that a person writes, such as class names or thresholds, in bytes.
pub const TEXT: u64 = 16 << 20;

/// Limit of a JSON text that a program writes, such as a manifest or the boxes of a data set, in bytes.
pub const JSON: u64 = 1 << 30;

/// Opens a regular file for reading.
///
/// # Errors
/// Those of the operating system, and [`ErrorKind::InvalidInput`] for anything but a regular file.
pub fn open(path: &Path) -> io::Result<File> {
    open_with(path, OpenOptions::new().read(true))
}

/// As [`open`], with other `options`.
///
/// # Errors
/// As [`open`].
pub fn open_with(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    // Opening a device can have effects of its own, so the kind of file is known before.
    check_kind(&fs::metadata(path)?)?;
    without_blocking(options);
    let file = options.open(path)?;
    // It may have been replaced in between.
    check_kind(&file.metadata()?)?;
    Ok(file)
}

/// Opens a regular file, or a folder in order to sync or lock it.
///
/// # Errors
/// As [`open`].
pub fn open_file_or_folder(path: &Path) -> io::Result<File> {
    if fs::metadata(path)?.is_dir() { File::open(path) } else { open(path) }
}

/// Refuses what is not a regular file.
fn check_kind(metadata: &fs::Metadata) -> io::Result<()> {
    let refuse = |kind| Err(io::Error::new(ErrorKind::InvalidInput, kind));
    match metadata.file_type() {
        kind if kind.is_file() => Ok(()),
        kind if kind.is_dir() => refuse("is a folder, not a file"),
        _ => refuse("is a pipe or a device, not a file"),
    }
}

/// Makes the opening of a pipe return at once; regular files are not affected.
#[cfg(unix)]
fn without_blocking(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;
    options.custom_flags(libc::O_NONBLOCK);
}

/// Opening blocks on no file of this platform.
#[cfg(not(unix))]
fn without_blocking(_: &mut OpenOptions) {}

/// The bytes of the regular file `path`, at most `limit`.
///
/// # Errors
/// [`Error::Refused`] when it cannot be read, has more bytes, or changes meanwhile.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = open(path).map_err(|e| Error::cannot_read(path, e))?;
    read_open(path, &file, limit)
}

/// As [`read`]; `None` if there is no such file.
///
/// # Errors
/// As [`read`].
pub fn read_if_exists(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    match open(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        file => read_open(path, &file.map_err(|e| Error::cannot_read(path, e))?, limit).map(Some),
    }
}

/// As [`read`], of a file that [`text::decode`] reads.
///
/// # Errors
/// As [`read`], and for other text.
pub fn read_text(path: &Path, limit: u64) -> Result<String> {
    text::decode(read(path, limit)?).map_err(|e| Error::refused_by(path, e.encoding, e))
}

/// The bytes of the open `file` from its start; `path` is named in errors.
///
/// # Errors
/// As [`read`].
pub fn read_open(path: &Path, file: &File, limit: u64) -> Result<Vec<u8>> {
    let unreadable = |e| Error::cannot_read(path, e);
    let refuse = |cause: String| Err(Error::refused(path, "file", cause));
    let too_large = |bytes: u64| refuse(format!("{bytes} bytes, the limit is {limit}"));
    let state = || file.metadata().map(|metadata| (metadata.len(), metadata.modified().ok()));
    let before = state().map_err(unreadable)?;
    if before.0 > limit {
        return too_large(before.0);
    }
    let mut bytes = Vec::new();
    if usize::try_from(before.0).ok().is_none_or(|len| bytes.try_reserve_exact(len + 1).is_err()) {
        return refuse(format!("not enough memory for its {} bytes", before.0));
    }
    // The file may grow while it is read.
    file.take(limit + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > limit {
        return too_large(bytes.len() as u64);
    }
    if state().map_err(unreadable)? != before {
        return refuse("changed while it was read".into());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text");
        fs::write(&path, "four").unwrap();
        assert_eq!(read(&path, 4).unwrap(), b"four");
        assert_eq!(read_text(&path, 5).unwrap(), "four");
        assert!(read(&path, 3).unwrap_err().to_string().ends_with("text: file: 4 bytes, the limit is 3"));
        fs::write(&path, b"\xff").unwrap();
        assert!(read_text(&path, 5).unwrap_err().to_string().contains("text: UTF-8: "));
        assert_eq!(read_if_exists(&folder.path().join("absent"), 5).unwrap(), None);
        assert_eq!(read_if_exists(&path, 5).unwrap().unwrap(), b"\xff");
    }

    #[cfg(unix)]
    #[test]
    fn pipes_devices_and_folders_are_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [&pipe, Path::new("/dev/zero"), Path::new("/dev/null")] {
            let error = read(path, TEXT).unwrap_err().to_string();
            assert!(error.ends_with(": file: cannot read: is a pipe or a device, not a file"), "{error}");
            assert!(open_with(path, OpenOptions::new().read(true).append(true)).is_err());
            assert!(open_file_or_folder(path).is_err());
        }
        let error = read(folder.path(), TEXT).unwrap_err().to_string();
        assert!(error.ends_with(": file: cannot read: is a folder, not a file"), "{error}");
        assert!(open_file_or_folder(folder.path()).is_ok());
    }
}
