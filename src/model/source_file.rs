//! Reading of model files, and the check that a file has not changed since.

use crate::{Error, Result};
use std::fs;
use std::fs::{File, Metadata};
use std::io::Read;
use std::path::Path;

/// Maximum size of a model file in bytes: far above that of an MSD-Net checkpoint with optimizer state.
pub const LARGEST: u64 = 4 << 30;

/// Reads a regular file; pipes, devices and folders are refused before a read could block.
pub fn read(path: &Path) -> Result<(Vec<u8>, Stamp)> {
    let refuse = |cause: &str| Err(Error::refused(path, "file", cause));
    let failed = |e: std::io::Error| Error::cannot_read(path, e);
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

/// The identity of a file that was read: size, modification time and inode.
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

    /// Checks that `path` is still the file that was read.
    pub fn confirm(&self, path: &Path) -> Result<()> {
        match fs::metadata(path) {
            Ok(metadata) if Stamp::new(&metadata) == *self => Ok(()),
            _ => Err(Error::refused(path, "file", "the file changed while it was read")),
        }
    }
}

/// Whether both paths lead to the same existing file, links included.
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

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::util::atomic_file::write_atomically;

    #[test]
    fn a_file_that_was_replaced_after_reading_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w");
        fs::write(&path, b"one").unwrap();
        let (_, stamp) = read(&path).unwrap();
        stamp.confirm(&path).unwrap();
        write_atomically(&path, b"two").unwrap();
        assert!(
            stamp.confirm(&path).unwrap_err().to_string().ends_with("the file changed while it was read")
        );
    }
}
