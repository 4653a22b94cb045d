//! On-disk cache of compiled kernels: `$XDG_CACHE_HOME/msdcam` or `~/.cache/msdcam`. An entry that cannot
//! be read or written counts as missing.
//!
//! An image is code that runs on the GPU, and its checksum only proves that it is whole. Therefore folder
//! and entries are used only if nobody but this user can have written them.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::util::atomic_file::Replacement;
use crate::util::private;

/// Length in bytes of the checksum at the start of an entry.
const CHECKSUM: usize = 32;

/// The folder of this user's cache, whether it exists or not; `None` where no variable tells.
pub(super) fn folder() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let all = variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")));
    all.map(|all| all.join("msdcam"))
}

/// The cache, or the reason why it is not used.
pub(super) struct Cache {
    folder: Option<PathBuf>,
    problem: Option<String>,
}

impl Cache {
    /// The cache of this user.
    pub(super) fn open() -> Cache {
        match folder() {
            Some(folder) => Cache::at(&folder),
            None => Cache { folder: None, problem: None },
        }
    }

    fn at(folder: &Path) -> Cache {
        match private::make_folder(folder) {
            Ok(()) => Cache { folder: Some(folder.into()), problem: None },
            Err(e) => Cache { folder: None, problem: Some(format!("{}: {e}", folder.display())) },
        }
    }

    /// Why its folder is not used.
    pub(super) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// The image stored under `key`, if it is there, private and its checksum matches.
    pub(super) fn load(&self, key: &str) -> Option<Vec<u8>> {
        let mut entry = Vec::new();
        private::open(&self.folder.as_ref()?.join(key)).ok()?.read_to_end(&mut entry).ok()?;
        if entry.len() <= CHECKSUM {
            return None;
        }
        let image = entry.split_off(CHECKSUM);
        (Sha256::digest(&image).as_slice() == entry).then_some(image)
    }

    /// Stores `image` under `key`, if possible: without the cache the next process compiles again.
    pub(super) fn store(&self, key: &str, image: &[u8]) {
        let Some(folder) = &self.folder else { return };
        let _ = Replacement::create(&folder.join(key)).and_then(|mut entry| {
            let written = entry
                .restrict()
                .and_then(|()| entry.write_all(&Sha256::digest(image)))
                .and_then(|()| entry.write_all(image));
            written.map_err(|e| crate::Error::cannot_write(folder, e))?;
            entry.commit(false)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Vec<u8> {
        (0..1000).map(|i| (i % 251) as u8).collect()
    }

    #[test]
    fn an_entry_is_returned_unless_a_byte_of_it_changed() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(&folder.path().join("msdcam"));
        assert_eq!(cache.load("key"), None);
        cache.store("key", &image());
        assert_eq!(cache.load("key"), Some(image()));
        let path = folder.path().join("msdcam/key");
        let whole = std::fs::read(&path).unwrap();
        for position in [0, 31, 32, 500, whole.len() - 1] {
            let mut entry = whole.clone();
            entry[position] ^= 1;
            std::fs::write(&path, &entry).unwrap();
            assert_eq!(cache.load("key"), None, "byte {position}");
        }
        for length in [0, 31, 32, 500] {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(cache.load("key"), None, "{length} bytes");
        }
        cache.store("key", &image());
        assert_eq!(cache.load("key"), Some(image()));
        assert_eq!(std::fs::read_dir(folder.path().join("msdcam")).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn what_others_can_write_is_not_believed() {
        use std::fs::{Permissions, set_permissions};
        use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("msdcam");
        let cache = Cache::at(&own);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(&own), 0o700);
        cache.store("key", &image());
        let key = own.join("key");
        assert_eq!(mode(&key), 0o600);

        // The entry.
        for (bits, believed) in [(0o622, false), (0o620, false), (0o602, false), (0o644, true)] {
            set_permissions(&key, Permissions::from_mode(bits)).unwrap();
            assert_eq!(cache.load("key").is_some(), believed, "{bits:o}");
        }
        symlink("key", own.join("link")).unwrap();
        assert_eq!(cache.load("link"), None);
        assert!(std::process::Command::new("mkfifo").arg(own.join("pipe")).status().unwrap().success());
        assert_eq!(cache.load("pipe"), None);
        // A link under the name of an entry is replaced, not followed.
        cache.store("link", b"new");
        assert_eq!((cache.load("link").unwrap(), cache.load("key").unwrap()), (b"new".to_vec(), image()));

        // The folder.
        symlink("msdcam", folder.path().join("linked")).unwrap();
        set_permissions(&own, Permissions::from_mode(0o777)).unwrap();
        for (name, problem) in [("msdcam", "other users can write to it"), ("linked", "is not a folder")] {
            let cache = Cache::at(&folder.path().join(name));
            assert!(cache.problem().unwrap().ends_with(&format!("{name}: {problem}")));
            assert_eq!(cache.load("key"), None);
            cache.store("other", &image());
            assert!(!own.join("other").exists());
        }
        // SAFETY: the call takes nothing and always succeeds.
        if unsafe { libc::geteuid() } == 0 {
            set_permissions(&own, Permissions::from_mode(0o700)).unwrap();
            std::os::unix::fs::chown(&key, Some(65534), None).unwrap();
            assert_eq!(Cache::at(&own).load("key"), None, "an entry of another user");
            std::os::unix::fs::chown(&own, Some(65534), None).unwrap();
            assert!(Cache::at(&own).problem().unwrap().ends_with("belongs to another user"));
        }
    }
}
