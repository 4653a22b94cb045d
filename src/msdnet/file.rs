//! Reading a model file whole, and writing one so that it is either complete or absent.

use crate::{Error, Result};
use sha2::{Digest, Sha256};
use std::fs::{self, File, Metadata};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// Largest model file that is read: far above any MSD-Net's checkpoint with its optimizer.
pub const LARGEST: u64 = 4 << 30;

/// Reads a regular file; pipes, devices and folders are refused before they could block.
pub fn read(path: &Path) -> Result<(Vec<u8>, Stamp)> {
    let refuse = |cause: &str| Err(Error::refused(path, "file", cause));
    let failed = |e: std::io::Error| Error::refused(path, "file", format!("cannot read: {e}"));
    let metadata = fs::metadata(path).map_err(failed)?;
    if metadata.is_dir() {
        return refuse("this is a folder, not a file");
    }
    if !metadata.is_file() {
        return refuse("not a regular file");
    }
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return refuse("not a regular file");
    }
    if metadata.len() > LARGEST {
        return refuse(&format!(
            "{} bytes, more than the {LARGEST} that a model file may have",
            metadata.len()
        ));
    }
    let mut bytes = Vec::new();
    if bytes.try_reserve_exact(metadata.len() as usize + 1).is_err() {
        return refuse(&format!("not enough memory for its {} bytes", metadata.len()));
    }
    file.take(metadata.len() + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 != metadata.len() {
        return refuse("the file changed while it was read");
    }
    Ok((bytes, Stamp::new(&metadata)))
}

/// What tells that a path still leads to the file that was read.
#[derive(Debug, PartialEq, Eq)]
pub struct Stamp {
    len: u64,
    modified: Option<std::time::SystemTime>,
    #[cfg(unix)]
    inode: (u64, u64),
}

impl Stamp {
    fn new(metadata: &Metadata) -> Self {
        Stamp {
            len: metadata.len(),
            modified: metadata.modified().ok(),
            #[cfg(unix)]
            inode: {
                use std::os::unix::fs::MetadataExt;
                (metadata.dev(), metadata.ino())
            },
        }
    }

    /// An error unless `path` still is the file that was read.
    pub fn confirm(&self, path: &Path) -> Result<()> {
        match fs::metadata(path) {
            Ok(metadata) if Stamp::new(&metadata) == *self => Ok(()),
            _ => Err(Error::refused(path, "file", "the file changed while it was read")),
        }
    }
}

/// SHA-256 of `bytes` in lower-case hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether both paths lead to one existing file, through links or not.
pub fn same(a: &Path, b: &Path) -> bool {
    let (Ok(x), Ok(y)) = (fs::metadata(a), fs::metadata(b)) else { return false };
    #[cfg(unix)]
    {
        Stamp::new(&x).inode == Stamp::new(&y).inode
    }
    #[cfg(not(unix))]
    {
        let _ = (x, y);
        fs::canonicalize(a).ok() == fs::canonicalize(b).ok()
    }
}

/// Writes `bytes` to `path`: into a new file beside it, flushed to the disk, then renamed over it.
///
/// On failure the new file is removed and whatever `path` was stays as it was. The permissions
/// are those of any newly created file.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    // A rename would replace a device such as /dev/null by a file.
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(Error::write(path, "this is a folder, a pipe or a device"));
    }
    let Some(name) = path.file_name() else {
        return Err(Error::write(path, "not a file name"));
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let (mut file, beside) = create_beside(folder, name).map_err(|e| Error::write(path, e))?;
    let done = file
        .write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&beside, path))
        .and_then(|()| sync_folder(folder));
    done.map_err(|e| {
        let _ = fs::remove_file(&beside); // the first error is the one to report
        Error::write(path, e)
    })
}

/// A new file in `folder` whose name tells what it was to become.
fn create_beside(folder: &Path, name: &std::ffi::OsStr) -> std::io::Result<(File, PathBuf)> {
    let mut attempt = 0;
    loop {
        let mut beside = std::ffi::OsString::from(".");
        beside.push(name);
        beside.push(format!(".{}-{attempt}.part", std::process::id()));
        let beside = folder.join(beside);
        match File::create_new(&beside) {
            Ok(file) => return Ok((file, beside)),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists && attempt < 100 => attempt += 1,
            Err(e) => return Err(e),
        }
    }
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> std::io::Result<()> {
    Ok(()) // a folder cannot be opened as a file here
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_replaced_whole_with_the_permissions_of_any_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("w"), folder.path().join("other"));
        fs::write(&other, b"").unwrap();
        write(&path, b"first").unwrap();
        write(&path, b"second").unwrap();
        assert_eq!(read(&path).unwrap().0, b"second");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&other));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn pipes_and_folders_are_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(write(folder.path(), b"x").unwrap_err().exit_code(), 6);
        let pipe = folder.path().join("pipe");
        if std::process::Command::new("mkfifo").arg(&pipe).status().is_ok_and(|s| s.success()) {
            assert!(write(&pipe, b"x").is_err());
            assert!(!fs::metadata(&pipe).unwrap().is_file());
        }
    }

    #[test]
    fn a_file_that_was_replaced_after_reading_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w");
        fs::write(&path, b"one").unwrap();
        let (_, stamp) = read(&path).unwrap();
        stamp.confirm(&path).unwrap();
        write(&path, b"two").unwrap();
        assert!(
            stamp.confirm(&path).unwrap_err().to_string().ends_with("the file changed while it was read")
        );
    }
}
