//! Digest of a data set, which identifies it.

use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::{Dataset, SegmentImages};
use crate::util::input_file;
use crate::util::sha256::hex;
use crate::{Error, Result};

impl Dataset {
    /// SHA-256, in lower-case hexadecimal, of the ids and labels of all images and of the contents of
    /// CIFAR files. It does not depend on the contents of photos, which are not read, or on the location
    /// of the data set.
    ///
    /// # Errors
    /// [`Error::Refused`] when a CIFAR file cannot be read.
    pub fn digest(&self) -> Result<String> {
        let mut hash = Sha256::new();
        for segment in &self.segments {
            if let SegmentImages::Cifar(batch) = &segment.images {
                hash.update(content(batch.file())?);
            }
        }
        for item in self.items() {
            // The length prefix separates consecutive ids.
            hash.update((item.id.len() as u64).to_le_bytes());
            hash.update(&item.id);
            hash.update(item.label.map_or(u64::MAX, |label| label as u64).to_le_bytes());
        }
        Ok(hex(&hash.finalize()))
    }
}

/// SHA-256 of a file's contents.
fn content(path: &Path) -> Result<[u8; 32]> {
    let unreadable = |e| Error::cannot_read(path, e);
    let mut hash = Sha256::new();
    let mut file = input_file::open(path).map_err(unreadable)?;
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer).map_err(unreadable)? {
            0 => break,
            len => hash.update(&buffer[..len]),
        }
    }
    Ok(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::dataset::{Format, LabelsBy, open};

    #[test]
    fn depends_on_names_and_labels_and_not_on_location_or_pixels() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        let digest =
            |name: &str, format| open(&[folder.path().join(name)], format).unwrap().digest().unwrap();
        for set in ["a", "elsewhere/b"] {
            write(&format!("{set}/cat/1.png"), b"123");
            write(&format!("{set}/dog/2.png"), b"12");
        }
        let first = digest("a", Format::Auto);
        assert_eq!(first.len(), 64);
        assert_eq!(digest("elsewhere/b", Format::Auto), first);
        let mut unlabeled = open(&[folder.path().join("a")], Format::Auto).unwrap();
        unlabeled.fit_labels(&[], LabelsBy::None).unwrap();
        assert_ne!(unlabeled.digest().unwrap(), first);
        write("a/cat/1.png", b"repaired");
        assert_eq!(digest("a", Format::Auto), first);
        write("a/cat/3.png", b"");
        assert_ne!(digest("a", Format::Auto), first);
    }

    #[test]
    fn depends_on_the_pixels_of_cifar_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("test.bin");
        let mut digests = Vec::new();
        for last in [0, 1] {
            let mut bytes = vec![0; 2 * 3073];
            *bytes.last_mut().unwrap() = last;
            fs::write(&file, bytes).unwrap();
            digests.push(open(std::slice::from_ref(&file), Format::Cifar10).unwrap().digest().unwrap());
        }
        assert_ne!(digests[0], digests[1]);
    }
}
