//! Temporary files: each lies beside the file that it becomes, and does not outlive its process.
//!
//! A temporary file is removed when it is dropped, and by [`remove_all`] when a signal ends the process.
//! One that a killed process left is removed by the next process that writes the same file.
//!
//! Whether a process still writes a temporary file is told by a lock of the operating system on it, not
//! by the process id in its name: an id means nothing on the other hosts of a shared folder or in another
//! process namespace, and is soon given to another process. Where a file system has no locks, leftovers
//! stay. Where each host has locks of its own (NFS mounted with `local_lock`), two hosts that write the
//! same file at once can remove each other's temporary file: then one of them fails, and the file is
//! still whole.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, TryLockError};
use std::time::{Duration, Instant};

use super::{file_id, input_file};

/// A temporary file, removed when it is dropped before it was renamed.
#[derive(Debug)]
pub struct Temporary {
    path: PathBuf,
    unfinished: Unfinished,
    renamed: bool,
}

impl Temporary {
    /// Creates the file `.<name>.<process>-<count>.tmp` beside `target`, the file that it becomes, and
    /// removes what killed processes left under such names. The file is locked until it is closed.
    ///
    /// # Errors
    /// When `target` names no file or the file cannot be created.
    pub fn create(target: &Path) -> io::Result<(Temporary, File)> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = target.file_name().ok_or_else(|| io::Error::other("names no file"))?;
        remove_leftovers(target, name);
        loop {
            let unique = format!(".{}-{}.tmp", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
            let mut temporary_name = OsString::from(".");
            temporary_name.push(shortened(name, NAME_MAX - 1 - unique.len()));
            temporary_name.push(unique);
            let path = target.with_file_name(temporary_name);
            let all = all();
            let file = match OpenOptions::new().write(true).create_new(true).open(&path) {
                // Left behind by an earlier process with the same id.
                Err(e) if e.kind() == ErrorKind::AlreadyExists => continue,
                file => file?,
            };
            // Until it was locked, another process may have removed it as a leftover.
            let taken = matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock));
            if !taken && file_id::is_at(&file, &path) {
                let unfinished = Unfinished::register(&all, &path);
                return Ok((Temporary { path, unfinished, renamed: false }, file));
            }
        }
    }

    /// Renames the file to `target`. It may be open and locked on Unix; elsewhere it has to be closed.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn rename(mut self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            // A failure here is ignored: the first error is the one to report.
            let _ = fs::remove_file(&self.path);
        }
        self.unfinished.forget();
    }
}

/// A file that is removed when a signal ends the process.
#[derive(Debug)]
pub struct Unfinished {
    path: PathBuf,
}

/// The files of this process that must not outlive it, in the order of their creation. Whoever creates one
/// holds the outer lock for reading until it is in the list.
static ALL: RwLock<Mutex<Vec<PathBuf>>> = RwLock::new(Mutex::new(Vec::new()));

fn all() -> RwLockReadGuard<'static, Mutex<Vec<PathBuf>>> {
    ALL.read().unwrap_or_else(PoisonError::into_inner)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Unfinished {
    /// Has the existing file `path` removed when a signal ends the process.
    pub fn new(path: &Path) -> Unfinished {
        Unfinished::register(&all(), path)
    }

    fn register(all: &Mutex<Vec<PathBuf>>, path: &Path) -> Unfinished {
        locked(all).push(path.into());
        Unfinished { path: path.into() }
    }

    /// Ends the registration: the file was removed or renamed.
    pub fn forget(&self) {
        let all = all();
        let mut all = locked(&all);
        if let Some(at) = all.iter().rposition(|path| *path == self.path) {
            all.remove(at);
        }
    }
}

/// Removes the temporary files and locks of this process, which has to end now: no thread can create
/// another. A thread that takes longer than a second to create one, as on a file system that hangs, is not
/// waited for.
pub fn remove_all() {
    let patience = Instant::now() + Duration::from_secs(1);
    let all = loop {
        match ALL.try_write() {
            Ok(all) => break all,
            Err(TryLockError::Poisoned(all)) => break all.into_inner(),
            Err(TryLockError::WouldBlock) if Instant::now() > patience => return,
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    // A lock is older than what is written under it.
    for path in locked(&all).iter().rev() {
        let _ = fs::remove_file(path);
    }
    std::mem::forget(all);
}

/// Removes the temporary files that killed processes left for `target`, which is called `name`. Each folder
/// is listed once: when this process first writes into it.
fn remove_leftovers(target: &Path, name: &OsStr) {
    static FOLDERS: LazyLock<Mutex<HashMap<PathBuf, Vec<OsString>>>> = LazyLock::new(Mutex::default);
    let folder = target.parent().unwrap_or(Path::new(""));
    let mut folders = locked(&FOLDERS);
    let found = folders.entry(folder.into()).or_insert_with(|| temporaries(folder));
    found.retain(|found| !(is_for(found, name) && remove_abandoned(&folder.join(found))));
}

/// Names of the temporary files in `folder`.
fn temporaries(folder: &Path) -> Vec<OsString> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name()).filter(|name| temporary_for(name).is_some()).collect()
}

/// Whether the temporary file `temporary` is one for the file `name`.
fn is_for(temporary: &OsStr, name: &OsStr) -> bool {
    temporary_for(temporary).is_some_and(|of| {
        let unique = temporary.len() - 1 - of.len();
        of == shortened(name, NAME_MAX - 1 - unique)
    })
}

/// Removes the temporary file at `path` unless a process still writes it.
fn remove_abandoned(path: &Path) -> bool {
    // Some network file systems lock only what is open for writing.
    let Ok(file) = input_file::open_with(path, OpenOptions::new().read(true).write(true)) else {
        return false;
    };
    file.try_lock().is_ok() && file_id::is_at(&file, path) && fs::remove_file(path).is_ok()
}

/// The final name of the temporary file `name`, shortened if it is very long; `None` if `name` is not a
/// temporary file of this module.
pub fn temporary_for(name: &OsStr) -> Option<&OsStr> {
    let (of, unique) = name.to_str()?.strip_prefix('.')?.strip_suffix(".tmp")?.rsplit_once('.')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (process, count) = unique.split_once('-')?;
    (is_number(process) && is_number(count)).then_some(OsStr::new(of))
}

/// Maximum length of a file name on common file systems, in bytes.
const NAME_MAX: usize = 255;

/// `name` truncated to at most `limit` bytes.
fn shortened(name: &OsStr, limit: usize) -> OsString {
    if name.len() <= limit {
        return name.to_owned();
    }
    // A replacement character takes three bytes where the name may have had one byte.
    name.to_string_lossy().chars().take(limit / 4).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<OsString> {
        let mut names: Vec<OsString> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_temporary_name_contains_the_final_name() {
        let folder = tempfile::tempdir().unwrap();
        let _unfinished = Temporary::create(&folder.path().join("a.b.png")).unwrap();
        let [name] = &names(folder.path())[..] else { panic!() };
        assert_eq!(temporary_for(name), Some(OsStr::new("a.b.png")));
        for name in ["a.b.png", ".a.tmp", ".a.1.tmp", ".a.1-x.tmp", ".a.-1.tmp", "a.1-2.tmp", ".a.1-2.png"] {
            assert_eq!(temporary_for(OsStr::new(name)), None, "{name}");
        }
    }

    #[test]
    fn leftovers_of_the_same_name_are_removed_unless_they_are_being_written() {
        let folder = tempfile::tempdir().unwrap();
        let long = "x".repeat(255);
        let cut = format!(".{}.1-12.tmp", "x".repeat((255 - 1 - ".1-12.tmp".len()) / 4));
        let path = |name: &str| folder.path().join(name);
        for name in [".a.png.1-0.tmp", ".a.png.999-3.tmp", ".b.png.1-1.tmp", ".a.png.tmp", &cut] {
            fs::write(path(name), "left").unwrap();
        }
        let busy = File::create(path(".a.png.2-2.tmp")).unwrap();
        busy.lock().unwrap();
        drop(Temporary::create(&path("a.png")).unwrap());
        drop(Temporary::create(&path(&long)).unwrap());
        assert_eq!(names(folder.path()), [".a.png.2-2.tmp", ".a.png.tmp", ".b.png.1-1.tmp"]);
        drop(busy);
        drop(Temporary::create(&path("a.png")).unwrap());
        assert_eq!(names(folder.path()), [".a.png.tmp", ".b.png.1-1.tmp"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_leftover_that_is_a_link_or_a_pipe_leads_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("victim"), "kept").unwrap();
        std::os::unix::fs::symlink("victim", path(".a.1-1.tmp")).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(path(".a.1-2.tmp")).status().unwrap().success());
        drop(Temporary::create(&path("a")).unwrap());
        assert_eq!(fs::read(path("victim")).unwrap(), b"kept");
    }
}
