//! On-disk cache of compiled kernels: `$XDG_CACHE_HOME/msdcam` or `~/.cache/msdcam`. An entry that cannot
//! be read or written counts as missing.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Length in bytes of the checksum at the start of an entry.
const CHECKSUM: usize = 32;

/// The image stored under `key`, if it is there and its checksum matches.
pub(super) fn load(key: &str) -> Option<Vec<u8>> {
    load_from(&folder()?, key)
}

/// Stores `image` under `key`, if possible.
pub(super) fn store(key: &str, image: &[u8]) {
    if let Some(folder) = folder() {
        // Without the cache the next run compiles again.
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
    // Written to a temporary file and renamed, so that a reader never sees a partial entry.
    let temporary = folder.join(format!("{key}.{}", std::process::id()));
    std::fs::write(&temporary, entry)?;
    std::fs::rename(&temporary, folder.join(key)).inspect_err(|_| {
        let _ = std::fs::remove_file(&temporary);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_returned_unless_a_byte_of_it_changed() {
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
