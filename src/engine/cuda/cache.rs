//! Compiled kernels on disk: `$XDG_CACHE_HOME/msdcam` or `~/.cache/msdcam`. A convenience: what
//! cannot be read or written is as if it were not there.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Length of the checksum at the start of an entry.
const CHECKSUM: usize = 32;

/// The image stored under `key`, if it is whole.
pub(super) fn load(key: &str) -> Option<Vec<u8>> {
    load_from(&folder()?, key)
}

/// Stores `image` under `key`, if that is possible.
pub(super) fn store(key: &str, image: &[u8]) {
    if let Some(folder) = folder() {
        // A cache that cannot be written costs time, nothing else.
        let _ = store_in(&folder, key, image);
    }
}

fn folder() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")))?;
    Some(cache.join("msdcam"))
}

fn load_from(folder: &Path, key: &str) -> Option<Vec<u8>> {
    let mut entry = std::fs::read(folder.join(key)).ok()?;
    if entry.len() <= CHECKSUM {
        return None;
    }
    let image = entry.split_off(CHECKSUM);
    (Sha256::digest(&image).as_slice() == entry).then_some(image)
}

fn store_in(folder: &Path, key: &str, image: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut entry = Sha256::digest(image).to_vec();
    entry.extend_from_slice(image);
    // Written aside and renamed, so that a reader never meets half an entry.
    let aside = folder.join(format!("{key}.{}", std::process::id()));
    std::fs::write(&aside, entry)?;
    std::fs::rename(&aside, folder.join(key)).inspect_err(|_| {
        let _ = std::fs::remove_file(&aside);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_comes_back_unless_a_byte_of_it_changed() {
        let folder = tempfile::tempdir().unwrap();
        let image: Vec<u8> = (0..1000).map(|i| (i % 251) as u8).collect();
        assert_eq!(load_from(folder.path(), "key"), None);
        store_in(folder.path(), "key", &image).unwrap();
        assert_eq!(load_from(folder.path(), "key"), Some(image.clone()));
        let path = folder.path().join("key");
        let whole = std::fs::read(&path).unwrap();
        for position in [0, 31, 32, 500, whole.len() - 1] {
            let mut entry = whole.clone();
            entry[position] ^= 1;
            std::fs::write(&path, &entry).unwrap();
            assert_eq!(load_from(folder.path(), "key"), None, "byte {position}");
        }
        for length in [0, 31, 32, 500] {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(load_from(folder.path(), "key"), None, "{length} bytes");
        }
    }
}
