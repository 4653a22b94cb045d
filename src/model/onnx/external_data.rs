//! Tensors that an ONNX file keeps in files beside it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::path::Path;

use crate::util::below::{below, without_links};
use crate::util::input_file;

/// Where the elements of a tensor are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalData {
    /// Path of the file, from the folder of the ONNX file on.
    location: String,
    /// First byte.
    offset: u64,
    /// Number of bytes, if it is said.
    length: Option<u64>,
}

impl ExternalData {
    /// The place that the `entries` of a tensor name.
    ///
    /// # Errors
    /// When they name no file, or something else than numbers.
    pub fn new(entries: &HashMap<String, String>) -> Result<ExternalData, String> {
        let location = entries.get("location").ok_or("external data without a location")?;
        let number = |key: &str| match entries.get(key) {
            None => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| format!("external data of {key} '{text}'")),
        };
        let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
        Ok(ExternalData { location: location.clone(), offset, length })
    }
}

impl ExternalData {
    /// The file below `folder`, that of the model, at the first of `needed` bytes, all of which it has: neither a path
    /// nor a symbolic link leads out of the folder.
    ///
    /// # Errors
    /// When the file is outside, missing, too short, or no regular file.
    pub fn open(&self, folder: &Path, needed: usize) -> Result<File, String> {
        let (location, offset) = (&self.location, self.offset);
        if let Some(length) = self.length.filter(|&length| length != needed as u64) {
            return Err(format!("{length} bytes of external data, it needs {needed}"));
        }
        let name = location.trim_start_matches("./");
        let path = below(folder, name);
        let path = path.map_err(|_| format!("its file '{location}' is outside of the model's folder"))?;
        if path.is_symlink() || without_links(folder, name).is_err() {
            return Err(format!("its file '{location}' is behind a symbolic link"));
        }
        let unreadable = |e: io::Error| self.unreadable(&e);
        let mut file = input_file::open(&path).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        if offset.checked_add(needed as u64).is_none_or(|end| end > length) {
            return Err(format!(
                "{needed} bytes from {offset} on, but '{location}' has {length}; is it of another model, or cut off?"
            ));
        }
        file.seek(SeekFrom::Start(offset)).map_err(unreadable)?;
        Ok(file)
    }

    /// What is said of an error of the file.
    pub fn unreadable(&self, error: &io::Error) -> String {
        format!("its file '{}' cannot be read: {error}", self.location)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn links_are_not_followed_and_parts_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        std::fs::create_dir(place("inside")).unwrap();
        std::fs::write(place("inside/data"), b"0123456789").unwrap();
        std::os::unix::fs::symlink(place("inside/data"), place("link")).unwrap();
        std::os::unix::fs::symlink(place("inside"), place("folder")).unwrap();
        let read = |location: &str, offset: u64, needed| {
            let data = ExternalData { location: location.into(), offset, length: None };
            let mut bytes = vec![0; needed];
            data.open(folder.path(), needed)?.read_exact(&mut bytes).map_err(|e| data.unreadable(&e))?;
            Ok(bytes)
        };
        assert_eq!(read("inside/data", 2, 3), Ok(b"234".to_vec()));
        assert_eq!(read("./inside/data", 9, 1), Ok(b"9".to_vec()));
        for linked in ["link", "folder/data"] {
            assert_eq!(read(linked, 0, 1), Err(format!("its file '{linked}' is behind a symbolic link")));
        }
        assert!(read("inside/data", 9, 2).is_err() && read("inside/data", u64::MAX, 2).is_err());
    }
}
