//! Identity of a file or folder: the same for every path that leads to it.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Identity of a file or folder while it exists: device and inode.
#[cfg(unix)]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileId(u64, u64);

#[cfg(unix)]
impl FileId {
    /// The identity of what `path` leads to, links included.
    pub fn of(path: &Path) -> io::Result<FileId> {
        fs::metadata(path).map(|metadata| FileId::new(&metadata))
    }

    /// The identity of the file with this metadata.
    pub fn new(metadata: &fs::Metadata) -> FileId {
        use std::os::unix::fs::MetadataExt;
        FileId(metadata.dev(), metadata.ino())
    }
}

/// Whether `path` still names the open `file` itself, and not a link to it.
#[cfg(unix)]
pub fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(open), Ok(there)) = (file.metadata(), fs::symlink_metadata(path)) else { return false };
    FileId::new(&open) == FileId::new(&there)
}

/// Whether the open `file` has other names, which what is written into it changes, too.
///
/// # Errors
/// Those of the operating system.
#[cfg(unix)]
pub fn has_hard_links(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    Ok(file.metadata()?.nlink() > 1)
}

/// Not known on this platform.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn has_hard_links(_: &File) -> io::Result<bool> {
    Ok(false)
}

/// Identity of a file or folder: its path without links.
#[cfg(not(unix))]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileId(std::path::PathBuf);

#[cfg(not(unix))]
impl FileId {
    /// The identity of what `path` leads to, links included.
    pub fn of(path: &Path) -> io::Result<FileId> {
        fs::canonicalize(path).map(FileId)
    }
}

/// Whether `path` exists: on this platform an open file cannot be removed or replaced.
#[cfg(not(unix))]
pub fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}
