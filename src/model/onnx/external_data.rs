//! Tensors that an ONNX file keeps in files beside it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;

use crate::model::source_file::SourceFile;
use crate::util::below::{below, without_links};

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

/// The files beside an ONNX file, each opened once.
pub struct ExternalFiles<'a> {
    /// Folder of the ONNX file.
    folder: &'a Path,
    /// By their locations, with the bytes that tensors have not yet taken: together they need no more than there are.
    files: HashMap<String, (SourceFile, u64)>,
}

impl<'a> ExternalFiles<'a> {
    /// Those in or below `folder`, that of the model.
    pub fn new(folder: &'a Path) -> ExternalFiles<'a> {
        ExternalFiles { folder, files: HashMap::new() }
    }

    /// Reads the bytes of a tensor, as many as `bytes` has, from `data`; its file has them all. Neither a path nor a
    /// symbolic link leads out of the folder.
    ///
    /// # Errors
    /// When the file is outside, missing, too short, or no regular file.
    pub fn read(&mut self, data: &ExternalData, bytes: &mut [u8]) -> Result<(), String> {
        let (location, offset) = (&data.location, data.offset);
        let (file, _) = self.files.get(location).expect("it was opened by `check`");
        file.read_at(offset, bytes).map_err(|e| format!("its file '{location}' cannot be read: {e}"))
    }

    /// Checks that the file of `data` has the `needed` bytes.
    ///
    /// # Errors
    /// As [`ExternalFiles::read`].
    pub fn check(&mut self, data: &ExternalData, needed: usize) -> Result<(), String> {
        let (location, offset, needed) = (&data.location, data.offset, needed as u64);
        if let Some(length) = data.length.filter(|&length| length != needed) {
            return Err(format!("{length} bytes of external data, it needs {needed}"));
        }
        let (file, left) = match self.files.entry(location.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let file = opened(self.folder, location)?;
                let length = file.size();
                place.insert((file, length))
            }
        };
        let length = file.size();
        if offset.checked_add(needed).is_none_or(|end| end > length) {
            return Err(format!(
                "{needed} bytes from {offset} on, but '{location}' has {length}; is it of another model, or cut off?"
            ));
        }
        let enough = left.checked_sub(needed);
        *left = enough.ok_or_else(|| {
            format!("the tensors up to it need more than the {length} bytes of '{location}'")
        })?;
        Ok(())
    }

    /// Checks that no file has changed since it was opened.
    ///
    /// # Errors
    /// When one has.
    pub fn confirm(&self) -> crate::Result<()> {
        self.files.values().try_for_each(|(file, _)| file.confirm())
    }
}

/// The file `location` in or below `folder`.
fn opened(folder: &Path, location: &str) -> Result<SourceFile, String> {
    let name = location.trim_start_matches("./");
    let path = below(folder, name);
    let path = path.map_err(|_| format!("its file '{location}' is outside of the model's folder"))?;
    if path.is_symlink() || without_links(folder, name).is_err() {
        return Err(format!("its file '{location}' is behind a symbolic link: copy it there (cp -L)"));
    }
    SourceFile::open(&path).map_err(|error| match error {
        _ if !path.exists() => format!("its file '{location}' is missing: it belongs beside the ONNX file"),
        crate::Error::Refused { cause, .. } => format!("its file '{location}': {cause}"),
        other => other.to_string(),
    })
}

#[cfg(all(test, unix))]
mod tests {
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
            let mut files = ExternalFiles::new(folder.path());
            files.check(&data, needed)?;
            let mut bytes = vec![0; needed];
            files.read(&data, &mut bytes).map(|()| bytes)
        };
        assert_eq!(read("inside/data", 2, 3), Ok(b"234".to_vec()));
        assert_eq!(read("./inside/data", 9, 1), Ok(b"9".to_vec()));
        for linked in ["link", "folder/data"] {
            let refused = read(linked, 0, 1).unwrap_err();
            assert!(
                refused.starts_with(&format!("its file '{linked}' is behind a symbolic link")),
                "{refused}"
            );
        }
        assert!(read("absent", 0, 1).unwrap_err().contains("'absent' is missing"));
        assert!(read("inside/data", 9, 2).is_err() && read("inside/data", u64::MAX, 2).is_err());
        let mut files = ExternalFiles::new(folder.path());
        let data = ExternalData { location: "inside/data".into(), offset: 0, length: None };
        files.check(&data, 9).unwrap();
        assert!(files.check(&data, 2).unwrap_err().contains("more than the 10 bytes"));
    }
}
