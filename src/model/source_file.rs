//! Model files, checkpoints and weights: opened once, and checked to be unchanged when they were read.

use std::fs::{File, Metadata};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::util::file_id::FileId;
use crate::util::input_file;
use crate::{Error, Result};

/// Maximum size of a model file in bytes: far above that of an MSD-Net checkpoint with optimizer state.
pub const LARGEST: u64 = 4 << 30;

/// Bytes by which formats are told apart.
const HEAD: u64 = 64;

/// The bytes of a model file.
///
/// # Errors
/// When it is not a regular file, too large, or changes while it is read.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    input_file::read(path, LARGEST)
}

/// An open model file. Whatever its path leads to meanwhile, every reading is of the same file.
#[derive(Debug)]
pub struct SourceFile {
    path: PathBuf,
    file: File,
    /// Its state when it was opened.
    state: State,
}

impl SourceFile {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// When it is not a regular file or cannot be read.
    pub fn open(path: &Path) -> Result<SourceFile> {
        let failed = |e| Error::cannot_read(path, e);
        let file = input_file::open(path).map_err(failed)?;
        let state = State::new(&file.metadata().map_err(failed)?);
        Ok(SourceFile { path: path.into(), file, state })
    }

    /// Its path as the user named it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.state.len
    }

    /// Its first bytes, by which formats are told apart.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn head(&self) -> Result<Vec<u8>> {
        let mut head = Vec::new();
        let read = (&self.file).rewind().and_then(|()| (&self.file).take(HEAD).read_to_end(&mut head));
        read.map_err(|e| Error::cannot_read(&self.path, e))?;
        Ok(head)
    }

    /// Reads as many bytes as `bytes` has from `offset` on.
    ///
    /// # Errors
    /// Those of the operating system, and when there are fewer.
    pub fn read_at(&self, offset: u64, bytes: &mut [u8]) -> std::io::Result<()> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(bytes)
    }

    /// Its bytes as a stream, and their number. When they are read, [`SourceFile::confirm`] says whether they were
    /// those of one state.
    ///
    /// # Errors
    /// When it cannot be read, or is too large.
    pub fn stream(&self) -> Result<(impl Read + '_, u64)> {
        let len = self.state.len;
        if len > LARGEST {
            return Err(Error::refused(&self.path, "file", format!("{len} bytes, the limit is {LARGEST}")));
        }
        (&self.file).rewind().map_err(|e| Error::cannot_read(&self.path, e))?;
        Ok(((&self.file).take(len), len))
    }

    /// Its bytes.
    ///
    /// # Errors
    /// As [`read`].
    pub fn bytes(&self) -> Result<Vec<u8>> {
        (&self.file).rewind().map_err(|e| Error::cannot_read(&self.path, e))?;
        input_file::read_open(&self.path, &self.file, LARGEST)
    }

    /// A path for readers that open files themselves: where the system has one, of the open file itself.
    pub fn open_path(&self) -> PathBuf {
        #[cfg(target_os = "linux")]
        {
            use std::os::fd::AsRawFd;
            let open = PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()));
            if open.exists() {
                return open;
            }
        }
        self.path.clone()
    }

    /// Checks that neither the file nor what [`SourceFile::open_path`] leads to has changed since it was
    /// opened.
    ///
    /// # Errors
    /// When one has.
    pub fn confirm(&self) -> Result<()> {
        let state = self.file.metadata().map(|metadata| State::new(&metadata));
        let same_path = || self.open_path() != self.path || same_file(&self.file, &self.path);
        match state {
            Ok(state) if state == self.state && same_path() => Ok(()),
            _ => Err(Error::refused(&self.path, "file", "changed while it was read")),
        }
    }
}

#[cfg(unix)]
fn same_file(file: &File, path: &Path) -> bool {
    let open = file.metadata().map(|metadata| FileId::new(&metadata));
    matches!((open, FileId::of(path)), (Ok(open), Ok(there)) if open == there)
}

/// An open file cannot be replaced on this platform.
#[cfg(not(unix))]
fn same_file(_: &File, _: &Path) -> bool {
    true
}

/// What changes with the content of a file. The time of the last change of the inode cannot be set, unlike
/// the time of modification.
#[derive(Debug, PartialEq, Eq)]
struct State {
    len: u64,
    modified: Option<SystemTime>,
    #[cfg(unix)]
    changed: (i64, i64),
}

impl State {
    fn new(metadata: &Metadata) -> State {
        State {
            len: metadata.len(),
            modified: metadata.modified().ok(),
            #[cfg(unix)]
            changed: {
                use std::os::unix::fs::MetadataExt;
                (metadata.ctime(), metadata.ctime_nsec())
            },
        }
    }
}

/// Whether both paths lead to the same existing file, links included.
pub fn same(a: &Path, b: &Path) -> bool {
    matches!((FileId::of(a), FileId::of(b)), (Ok(a), Ok(b)) if a == b)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;

    #[test]
    fn another_file_under_the_same_name_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w");
        fs::write(&path, b"one").unwrap();
        let source = SourceFile::open(&path).unwrap();
        assert_eq!(source.bytes().unwrap(), b"one");
        source.confirm().unwrap();
        fs::rename(&path, folder.path().join("moved")).unwrap();
        fs::write(&path, b"two").unwrap();
        assert_eq!(source.bytes().unwrap(), b"one");
        assert_eq!(fs::read(source.open_path()).unwrap(), b"one");
    }

    #[test]
    fn a_file_that_is_rewritten_in_place_is_noticed_whatever_its_time_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w");
        fs::write(&path, b"one").unwrap();
        let source = SourceFile::open(&path).unwrap();
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        // Longer than a tick of the clock of file systems.
        std::thread::sleep(Duration::from_millis(30));
        fs::write(&path, b"two").unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(before).unwrap();
        let error = source.confirm().unwrap_err().to_string();
        assert!(error.ends_with("w: file: changed while it was read"), "{error}");
    }
}
