//! The files of a run's arrays: created at their final size, written and read by rows.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::arrays::{ArrayField, ArraySpec};
use super::{Disk, Shard, paths};
use crate::util::below::{below, without_links};
use crate::util::file_id::has_hard_links;
use crate::util::{allocation, input_file};
use crate::{Error, Result};

/// Largest size of the blocks in which the rows of all fields are read, in bytes, unless those of one image are larger.
const BLOCK: usize = 1 << 22;

/// The open files of all arrays of a shard.
#[derive(Debug)]
pub struct ArrayFiles {
    folder: PathBuf,
    constants: Vec<PathBuf>,
    files: Vec<ArrayFile>,
    /// Indices of the images that have rows.
    range: Range<usize>,
}

/// An open array.
#[derive(Debug)]
struct ArrayFile {
    path: PathBuf,
    file: File,
    /// Bytes before the first row.
    begin: usize,
    /// Bytes of a row.
    row: usize,
}

impl ArrayFiles {
    /// Opens the arrays of `shard`, whose images are `range`, for writing. Files that are missing or of other
    /// dimensions are created with rows of zeros. A file that has hard links, such as those of a backup, is replaced by
    /// a copy, because rows are written in place.
    ///
    /// # Errors
    /// [`Error::Write`].
    ///
    /// # Panics
    /// Unless `spec` has passed [`ArraySpec::check`].
    pub fn open(
        disk: &dyn Disk,
        folder: &Path,
        shard: Shard,
        spec: &ArraySpec,
        range: Range<usize>,
    ) -> Result<ArrayFiles> {
        let name = paths::arrays(shard);
        let target = |key: &str| target(folder, shard, key);
        if !spec.is_empty() {
            disk.make_folder(&folder.join(&name))?;
        }
        let mut constants = Vec::new();
        for constant in &spec.constants {
            let path = target(&constant.key)?;
            let bytes = constant.bytes();
            let found = input_file::read_if_exists(&path, bytes.len() as u64);
            if found.ok().flatten().as_ref() != Some(&bytes) {
                disk.replace(&path, false, &mut |file| file.write_all(&bytes))?;
            }
            constants.push(path);
        }
        let create = |field: &ArrayField| {
            let path = target(&field.key)?;
            let layout = Layout::of(field, range.len()).ok_or_else(|| Error::write(&path, "is too large"))?;
            let unwritable = |e| Error::cannot_write(&path, e);
            let reopened =
                || open_to_write(&path)?.ok_or_else(|| Error::write(&path, "removed by another process"));
            // A file whose beginning cannot be read is lost like one that has changed.
            let file = match open_to_write(&path)?.filter(|file| layout.begins(file).unwrap_or(false)) {
                Some(file) if has_hard_links(&file).map_err(unwritable)? => {
                    disk.unshare(&path)?;
                    reopened()?
                }
                Some(file) => file,
                None => {
                    disk.replace(&path, false, &mut |file| file.write_all(&layout.header))?;
                    reopened()?
                }
            };
            if file.metadata().map_err(unwritable)?.len() != layout.len {
                disk.cut(&file, &path, layout.len)?;
            }
            Ok(ArrayFile { begin: layout.header.len(), row: layout.row, path, file })
        };
        let files = spec.fields.iter().map(create).collect::<Result<_>>()?;
        Ok(ArrayFiles { folder: folder.join(name), constants, files, range })
    }

    /// Opens the arrays of `shard` for reading. The inner error is [`Error::Refused`] for an array that is missing or not
    /// the one that was written.
    ///
    /// # Errors
    /// [`Error::Refused`] when one cannot be read, which says nothing of what it is.
    pub fn read(
        folder: &Path,
        shard: Shard,
        spec: &ArraySpec,
        range: Range<usize>,
    ) -> Result<Sound<ArrayFiles>> {
        check_claimed(folder, shard, spec)?;
        for constant in &spec.constants {
            let (file, path, len) = match open_to_read(folder, shard, &constant.key)? {
                Ok(found) => found,
                Err(missing) => return Ok(Err(missing)),
            };
            let expected = constant.bytes();
            if len != expected.len() as u64 || input_file::read_open(&path, &file, len)? != expected {
                return Ok(Err(refused(&path, "has another content than was written")));
            }
        }
        ArrayFiles::read_rows(folder, shard, spec, range)
    }

    /// Opens the arrays of `shard` that have rows for reading. The others follow from the specification.
    ///
    /// # Errors
    /// As [`ArrayFiles::read`].
    pub fn read_rows(
        folder: &Path,
        shard: Shard,
        spec: &ArraySpec,
        range: Range<usize>,
    ) -> Result<Sound<ArrayFiles>> {
        check_claimed(folder, shard, spec)?;
        let mut files = Vec::new();
        for field in &spec.fields {
            let (file, path, len) = match open_to_read(folder, shard, &field.key)? {
                Ok(found) => found,
                Err(missing) => return Ok(Err(missing)),
            };
            let layout = Layout::of(field, range.len()).ok_or_else(|| refused(&path, "is too large"))?;
            if len != layout.len {
                let cause = format!("has {len} bytes; it was written with {}", layout.len);
                return Ok(Err(refused(&path, &cause)));
            }
            if !layout.begins(&file).map_err(|e| Error::cannot_read(&path, e))? {
                return Ok(Err(refused(&path, "has another type or other dimensions than were written")));
            }
            files.push(ArrayFile { begin: layout.header.len(), row: layout.row, path, file });
        }
        Ok(Ok(ArrayFiles { folder: folder.join(paths::arrays(shard)), constants: Vec::new(), files, range }))
    }

    /// Sizes in bytes of the rows of one image, in the order of the fields.
    pub fn row_sizes(&self) -> impl Iterator<Item = usize> {
        self.files.iter().map(|file| file.row)
    }

    /// Writes the rows of consecutive images from `first` on: for each field, their bytes one after another.
    ///
    /// # Errors
    /// [`Error::Write`]; some rows may have been written.
    ///
    /// # Panics
    /// When the number of fields or of bytes is not the one of whole rows.
    pub fn write<B: AsRef<[u8]>>(&self, disk: &dyn Disk, first: usize, fields: &[B]) -> Result<()> {
        assert_eq!(fields.len(), self.files.len(), "fields");
        for (of, bytes) in self.files.iter().zip(fields) {
            let bytes = bytes.as_ref();
            assert!(bytes.len().checked_rem(of.row).unwrap_or(bytes.len()) == 0, "{} bytes", bytes.len());
            disk.write_at(&of.file, &of.path, of.offset(first - self.range.start), bytes)?;
        }
        Ok(())
    }

    /// Syncs all files and their folder to disk.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn sync(&self, disk: &dyn Disk) -> Result<()> {
        let files = self.files.iter().map(|file| &file.path).chain(&self.constants);
        files.into_iter().try_for_each(|path| disk.sync(path))?;
        if self.files.is_empty() && self.constants.is_empty() { Ok(()) } else { disk.sync(&self.folder) }
    }
}

/// Checks that the arrays of `shard` can be opened for writing, those of them that are there; nothing is changed.
///
/// # Errors
/// [`Error::Write`].
pub fn check_writable(folder: &Path, shard: Shard, spec: &ArraySpec) -> Result<()> {
    for key in spec.keys() {
        open_to_write(&target(folder, shard, key)?)?;
    }
    Ok(())
}

/// The file of the array called `key`, into which rows may be written: no link leads to it.
fn target(folder: &Path, shard: Shard, key: &str) -> Result<PathBuf> {
    let path = without_links(folder, &format!("{}/{key}.npy", paths::arrays(shard)))?;
    match path.is_symlink() {
        true => Err(Error::write(&path, "is a symbolic link, expected an array of a run")),
        false => Ok(path),
    }
}

/// The array at `path`, to read and write; `None` if there is none.
fn open_to_write(path: &Path) -> Result<Option<File>> {
    match input_file::open_with(path, OpenOptions::new().read(true).write(true)) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        file => file.map(Some).map_err(|e| Error::cannot_write(path, e)),
    }
}

/// What is as it was written, or the error that says what has become of it.
pub type Sound<T> = Result<T>;

/// The array called `key`, to read, with its path and its length in bytes.
fn open_to_read(folder: &Path, shard: Shard, key: &str) -> Result<Sound<(File, PathBuf, u64)>> {
    let name = format!("{}/{key}.npy", paths::arrays(shard));
    let path = below(folder, &name)?;
    let unreadable = |e| Error::cannot_read(&path, e);
    let Some(file) = paths::if_there(input_file::open(&path)).map_err(unreadable)? else {
        return Ok(Err(Error::refused(folder, name, "is missing")));
    };
    let len = file.metadata().map_err(unreadable)?.len();
    Ok(Ok((file, path, len)))
}

/// Refuses arrays of `shard` that [`ArraySpec::check`] refuses.
fn check_claimed(folder: &Path, shard: Shard, spec: &ArraySpec) -> Result<()> {
    spec.check().map_err(|cause| refused(&folder.join(paths::arrays(shard)), &cause))
}

fn refused(path: &Path, cause: &str) -> Error {
    Error::refused(path, "array", cause)
}

/// Removes the arrays of `shard`, of which nothing else is in their folder.
///
/// # Errors
/// [`Error::Write`].
pub fn remove(disk: &dyn Disk, folder: &Path, shard: Shard, spec: &ArraySpec) -> Result<()> {
    let name = paths::arrays(shard);
    for key in spec.keys() {
        disk.remove(&without_links(folder, &format!("{name}/{key}.npy"))?)?;
    }
    disk.remove_folder(&folder.join(name))
}

impl ArrayFile {
    /// Offset of a row, from 0, in bytes.
    fn offset(&self, row: usize) -> u64 {
        self.begin as u64 + row as u64 * self.row as u64
    }
}

/// The bytes of an array's file.
struct Layout {
    header: Vec<u8>,
    row: usize,
    len: u64,
}

impl Layout {
    /// That of `images` rows; `None` if it cannot be counted.
    fn of(field: &ArrayField, images: usize) -> Option<Layout> {
        let row = field.row_bytes()?;
        let header = field.header(images);
        let rows = (row as u64).checked_mul(images as u64)?;
        let len = rows.checked_add(header.len() as u64).filter(|&len| i64::try_from(len).is_ok())?;
        Some(Layout { header, row, len })
    }

    /// Whether `file` begins with the header.
    ///
    /// # Errors
    /// When it cannot be read.
    fn begins(&self, mut file: &File) -> io::Result<bool> {
        let mut bytes = vec![0; self.header.len()];
        match file.seek(SeekFrom::Start(0)).and_then(|_| file.read_exact(&mut bytes)) {
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => Ok(false),
            read => read.map(|()| bytes == self.header),
        }
    }
}

/// Reader of the rows of consecutive images, a block at a time.
pub struct RowReader<'a> {
    files: &'a ArrayFiles,
    /// Images of the block.
    block: Range<usize>,
    /// Its bytes, for each field.
    bytes: Vec<Vec<u8>>,
    /// Images before this one are read alone: they are of a block that could not be read.
    alone: usize,
}

impl<'a> RowReader<'a> {
    pub fn new(files: &'a ArrayFiles) -> RowReader<'a> {
        RowReader { files, block: 0..0, bytes: vec![Vec::new(); files.files.len()], alone: 0 }
    }

    /// Checksum of the rows of an image: the CRC-32 of their bytes, field after field.
    ///
    /// # Errors
    /// When they cannot be read; those of other images still can.
    pub fn checksum(&mut self, image: usize) -> Result<u32> {
        self.load(image)?;
        let at = image - self.block.start;
        let rows = self.files.files.iter().zip(&self.bytes);
        Ok(checksum(rows.map(|(file, bytes)| &bytes[at * file.row..][..file.row])))
    }

    /// The images of the block that begins with `first`, and for each field the bytes of their rows.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn block(&mut self, first: usize) -> Result<(Range<usize>, &[Vec<u8>])> {
        self.load(first)?;
        Ok((self.block.clone(), &self.bytes))
    }

    /// Reads the block that begins with `image`, unless it is in the one at hand. Where that fails, the block is of
    /// this image alone.
    fn load(&mut self, image: usize) -> Result<()> {
        if self.block.contains(&image) {
            return Ok(());
        }
        let together: usize = self.files.row_sizes().sum();
        let images = (BLOCK / together.max(1)).clamp(1, 1024).min(self.files.range.end - image);
        if image >= self.alone && images > 1 {
            if self.read(image, images).is_ok() {
                return Ok(());
            }
            self.alone = image + images;
        }
        self.read(image, 1)
    }

    /// Reads the block of `images` images that begins with `image`.
    fn read(&mut self, image: usize, images: usize) -> Result<()> {
        self.block = 0..0;
        for (ArrayFile { path, file, begin, row }, bytes) in self.files.files.iter().zip(&mut self.bytes) {
            let len = images * row;
            if len > bytes.len() {
                *bytes = allocation::vec("the rows of an array", len, 0)?;
            }
            bytes.truncate(len);
            let offset = *begin as u64 + (image - self.files.range.start) as u64 * *row as u64;
            let mut file = file;
            let read = file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(bytes));
            read.map_err(|e| Error::cannot_read(path, e))?;
        }
        self.block = image..image + images;
        Ok(())
    }
}

/// Checksum of the rows of an image, one for each field.
pub fn checksum<'a>(rows: impl Iterator<Item = &'a [u8]>) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    rows.for_each(|row| hasher.update(row));
    hasher.finalize()
}
