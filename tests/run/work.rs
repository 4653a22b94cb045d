//! A job over a small set, and a disk on which each call can fail.

use std::collections::BTreeMap;
use std::fs;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use msdcam::run::{Disk, Entry, Fill, Opened, Plan, RealDisk, Run, Shard, Summary};
use msdcam::{Error, Result, run};
use serde_json::json;
use serde_json::value::RawValue;
use tempfile::TempDir;

/// Images of the set.
pub const IMAGES: usize = 7;
/// Those that fail, unless they are mended.
pub const BAD: [usize; 2] = [2, 6];

/// A new folder, in memory where that is easy: the tests make tens of thousands of files.
pub fn new_folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// The kind of an error, as the exit code under which the command line reports it.
pub fn exit_code(error: &Error) -> u8 {
    match error {
        Error::Usage(_) => 2,
        Error::Refused { .. } => 4,
        Error::Device(_) => 5,
        Error::Write { .. } => 6,
    }
}

/// What to do.
pub fn plan(shard: Shard) -> Plan {
    Plan {
        settings: json!({"colormap": "jet", "weights": {"sha256": "0a"}, "select": null}),
        remarks: json!({"weights": {"file": "w"}}),
        images: IMAGES,
        shard,
    }
}

/// A job: where it is kept, whether bad images are mended, and which images it has worked on.
pub struct Job {
    pub disk: Arc<dyn Disk>,
    pub plan: Plan,
    pub mended: bool,
    pub retry_failed: bool,
    pub worked_on: Vec<usize>,
}

impl Job {
    pub fn new(disk: Arc<dyn Disk>, shard: Shard) -> Job {
        Job { disk, plan: plan(shard), mended: false, retry_failed: false, worked_on: Vec::new() }
    }

    pub fn open(&self, folder: &Path) -> Result<Opened> {
        Run::open(Arc::clone(&self.disk), folder, self.plan.clone(), self.retry_failed)
    }

    /// Opens the run, does what is pending, and finishes it. Images are done out of order, as threads
    /// would.
    pub fn run(&mut self, folder: &Path) -> Result<Summary> {
        let mut run = match self.open(folder)? {
            Opened::Finished(summary) => return Ok(summary),
            Opened::UnderWay(run) => run,
        };
        let mut pending: Vec<usize> = run.pending().collect();
        pending.chunks_mut(3).for_each(<[usize]>::reverse);
        for image in pending {
            self.worked_on.push(image);
            let entry = self.image(&run, image)?;
            run.record(&entry)?;
        }
        run.finish()
    }

    /// Draws an image, or fails to.
    fn image(&self, run: &Run, image: usize) -> Result<Entry> {
        let failed = BAD.contains(&image) && !self.mended;
        let id = ["cat.png", "CAT.png", "../cat.png"][image % 3];
        let row = if failed {
            format!(r#"{{"image":"{id}","error":"bad \"{image}\""}}"#)
        } else {
            format!(r#"{{"image":"{id}","p":0.{image}}}"#)
        };
        let stem = run::in_set(image, id);
        let files = if failed {
            Vec::new()
        } else {
            let picture = |part| run.write(&format!("{stem}_{part}.png"), &[b'x'; 9].repeat(image + part));
            (0..2).map(picture).collect::<Result<_>>()?
        };
        Ok(Entry { image, failed, files, row: RawValue::from_string(row).unwrap() })
    }
}

/// A job on the real disk from beginning to end.
pub fn whole(folder: &Path) -> Summary {
    Job::new(Arc::new(RealDisk), Shard::WHOLE).run(folder).unwrap()
}

/// Every file below `folder`, and what is in it.
pub fn contents(folder: &Path) -> BTreeMap<PathBuf, String> {
    fn walk(root: &Path, folder: &Path, found: &mut BTreeMap<PathBuf, String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, found);
            } else {
                let name = path.strip_prefix(root).unwrap().to_path_buf();
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(folder, folder, &mut found);
    found
}

/// The real disk, but nothing waits for it: no test cuts the power.
#[derive(Clone, Copy)]
pub struct Quick;

impl Disk for Quick {
    fn make_folder(&self, path: &Path) -> Result<()> {
        RealDisk.make_folder(path)
    }

    fn replace(&self, path: &Path, _: bool, fill: &mut Fill) -> Result<()> {
        RealDisk.replace(path, false, fill)
    }

    fn append(&self, file: &mut File, path: &Path, bytes: &[u8]) -> Result<()> {
        RealDisk.append(file, path, bytes)
    }

    fn cut(&self, file: &File, path: &Path, len: u64) -> Result<()> {
        RealDisk.cut(file, path, len)
    }

    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        RealDisk.link(from, to)
    }

    fn write_out(&self, _: &Path) {}

    fn sync(&self, path: &Path) -> Result<()> {
        File::open(path).map(drop).map_err(|e| Error::write(path, e))
    }

    fn remove(&self, path: &Path) -> Result<()> {
        RealDisk.remove(path)
    }
}

/// How a disk ends the process, or the writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Killed before the call did anything.
    KilledBefore,
    /// Killed half-way.
    KilledWithin,
    /// Killed when all was done.
    KilledAfter,
    /// Full from that call on.
    Full,
}

impl Fault {
    pub const ALL: [Fault; 4] = [Fault::KilledBefore, Fault::KilledWithin, Fault::KilledAfter, Fault::Full];
}

/// The real disk until its call number `at`.
pub struct Faulty {
    fault: Fault,
    at: usize,
    calls: AtomicUsize,
}

impl Faulty {
    pub fn new(fault: Fault, at: usize) -> Arc<Faulty> {
        Arc::new(Faulty { fault, at, calls: AtomicUsize::new(0) })
    }

    /// Whether the fault has come about.
    pub fn struck(&self) -> bool {
        self.calls.load(Ordering::SeqCst) > self.at
    }

    /// Does `call`, or `half` of it, or nothing.
    fn call(
        &self,
        path: &Path,
        half: impl FnOnce(),
        needs_space: bool,
        call: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let now = self.calls.fetch_add(1, Ordering::SeqCst);
        let error = Err(Error::write(path, std::io::Error::from(std::io::ErrorKind::StorageFull)));
        if now < self.at || self.fault == Fault::Full && !needs_space {
            return call();
        }
        match self.fault {
            Fault::KilledWithin if now == self.at => half(),
            Fault::KilledAfter if now == self.at => call()?,
            _ => {}
        }
        error
    }
}

impl Disk for Faulty {
    fn make_folder(&self, path: &Path) -> Result<()> {
        self.call(path, || (), true, || Quick.make_folder(path))
    }

    fn replace(&self, path: &Path, durable: bool, fill: &mut Fill) -> Result<()> {
        let name = path.file_name().unwrap().to_str().unwrap();
        let temporary = path.with_file_name(format!(".{name}.4194304-7.tmp"));
        let half = || fs::write(temporary, "ha").unwrap();
        self.call(path, half, true, || Quick.replace(path, durable, fill))
    }

    fn append(&self, file: &mut File, path: &Path, bytes: &[u8]) -> Result<()> {
        // `file` can be in one of the closures only.
        let mut half = false;
        let done = self.call(path, || half = true, true, || Ok(()));
        match (&done, self.fault) {
            (Ok(()), _) => Quick.append(file, path, bytes)?,
            (_, Fault::KilledAfter) if self.calls.load(Ordering::SeqCst) == self.at + 1 => {
                Quick.append(file, path, bytes)?;
            }
            // A full disk takes a part, too.
            (_, Fault::Full) => Quick.append(file, path, &bytes[..1])?,
            _ if half => Quick.append(file, path, &bytes[..bytes.len() / 2])?,
            _ => {}
        }
        done
    }

    fn cut(&self, file: &File, path: &Path, len: u64) -> Result<()> {
        self.call(path, || (), false, || Quick.cut(file, path, len))
    }

    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        self.call(to, || (), true, || Quick.link(from, to))
    }

    fn write_out(&self, _: &Path) {}

    fn sync(&self, path: &Path) -> Result<()> {
        self.call(path, || (), true, || Quick.sync(path))
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.call(path, || (), false, || Quick.remove(path))
    }
}
