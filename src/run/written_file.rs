//! A file of an image, as the run has recorded it: name, length and checksum.

use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::paths;
use crate::Result;
use crate::util::below::below;
use crate::util::input_file;

/// A file that a run has written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenFile {
    /// Path relative to the run's folder, with `/` between components.
    pub name: String,
    /// Length.
    pub bytes: u64,
    /// CRC-32 of the bytes.
    pub crc32: u32,
}

impl WrittenFile {
    /// The record of a file that was written with these `bytes`.
    pub fn new(name: String, bytes: &[u8]) -> WrittenFile {
        WrittenFile { name, bytes: bytes.len() as u64, crc32: crc32fast::hash(bytes) }
    }

    /// What is wrong with the file below `folder`; `None` if it has the bytes that were written. After a
    /// power failure a file can have its length and none of its content, so the content is read.
    ///
    /// # Errors
    /// [`crate::Error::Refused`] when its name leads out of `folder`.
    pub fn damage(&self, folder: &Path) -> Result<Option<String>> {
        let path = below(folder, &self.name)?;
        let length = match paths::if_there(std::fs::symlink_metadata(&path)) {
            Ok(Some(about)) if about.is_file() => about.len(),
            Ok(Some(_)) => return Ok(Some("is not a regular file".into())),
            Ok(None) => return Ok(Some("is missing".into())),
            Err(error) => return Ok(Some(format!("cannot be read: {error}"))),
        };
        if length != self.bytes {
            return Ok(Some(format!("has {length} bytes; it was written with {}", self.bytes)));
        }
        Ok(match crc32(&path) {
            Ok(crc32) if crc32 == self.crc32 => None,
            Ok(_) => Some("has another content than was written".into()),
            Err(error) => Some(format!("cannot be read: {error}")),
        })
    }
}

/// CRC-32 of a file's bytes.
fn crc32(path: &Path) -> std::io::Result<u32> {
    let mut hasher = crc32fast::Hasher::new();
    each_block(path, |block| hasher.update(block))?;
    Ok(hasher.finalize())
}

/// Calls `each` with the bytes of a file, block after block.
///
/// # Errors
/// When it cannot be read.
pub fn each_block(path: &Path, mut each: impl FnMut(&[u8])) -> std::io::Result<()> {
    let mut reader = BufReader::with_capacity(1 << 16, input_file::open(path)?);
    loop {
        let block = reader.fill_buf()?;
        if block.is_empty() {
            return Ok(());
        }
        each(block);
        let read = block.len();
        reader.consume(read);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_told_by_existence_length_and_content() {
        let folder = tempfile::tempdir().unwrap();
        let file = WrittenFile::new("a/b.png".into(), b"content");
        let path = folder.path().join("a/b.png");
        let damage = || file.damage(folder.path()).unwrap().unwrap_or_default();
        assert_eq!(damage(), "is missing");
        std::fs::create_dir_all(&path).unwrap();
        assert_eq!(damage(), "is not a regular file");
        std::fs::remove_dir(&path).unwrap();
        for (bytes, cause) in [
            (&b"conten"[..], "has 6 bytes; it was written with 7"),
            (&[0; 7], "has another content than was written"),
            (b"content", ""),
        ] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(damage(), cause);
        }
        let outside = WrittenFile::new("../b.png".into(), b"content");
        assert!(outside.damage(folder.path()).unwrap_err().to_string().contains("outside"));
    }
}
