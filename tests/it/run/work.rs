//! A job over a small set, and a disk with fault injection.

use std::collections::BTreeMap;
use std::fs;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use msdcam::run::{
    ArrayField, ArraySpec, ConstantArray, ConstantValues, Disk, ElementKind, Entry, Fill, Opened, RealDisk,
    Run, RunSpec, Shard, Summary,
};
use msdcam::{Error, Result, run};
use serde_json::json;
use serde_json::value::RawValue;
use tempfile::TempDir;

/// Number of images in the set.
pub const IMAGES: usize = 7;
/// Images that fail, unless they are repaired.
pub const BAD: [usize; 2] = [2, 6];

/// A temporary folder, in memory where possible: the tests create tens of thousands of files.
pub fn new_folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Kind of an error, as the exit code under which the command line reports it.
pub fn exit_code(error: &Error) -> u8 {
    match error {
        Error::Usage(_) | Error::Request(_) | Error::Graph(_) => 2,
        Error::Refused { .. } => 4,
        Error::Device(_) => 5,
        Error::Write { .. } => 6,
        other => panic!("an error without an exit code: {other:?}"),
    }
}

/// Specification of the job.
pub fn spec(shard: Shard) -> RunSpec {
    RunSpec {
        settings: json!({"colormap": "jet", "weights": {"sha256": "0a"}, "select": null}),
        metadata: json!({"weights": {"file": "w"}}),
        arrays: arrays(),
        images: IMAGES,
        shard,
    }
}

/// The arrays of the job: 14 bytes an image.
fn arrays() -> ArraySpec {
    let field = |key: &str, kind, shape: &[usize]| ArrayField { key: key.into(), kind, shape: shape.into() };
    ArraySpec {
        constants: vec![ConstantArray {
            key: "exit".into(),
            shape: vec![2],
            values: ConstantValues::I64(vec![1, 4]),
        }],
        fields: vec![
            field("class", ElementKind::I64, &[]),
            field("cam", ElementKind::F16, &[1, 2]),
            field("state", ElementKind::U8, &[2]),
        ],
    }
}

/// The rows of an image that is done: no byte is zero.
pub fn rows(image: usize) -> [Vec<u8>; 3] {
    [8, 4, 2].map(|bytes| (0..bytes).map(|i| (1 + image * 16 + i) as u8).collect())
}

/// A job: its disk, whether bad images are repaired, and the images that it has processed.
pub struct Job {
    pub disk: Arc<dyn Disk>,
    pub spec: RunSpec,
    pub mended: bool,
    pub retry_failed: bool,
    pub worked_on: Vec<usize>,
}

impl Job {
    pub fn new(disk: Arc<dyn Disk>, shard: Shard) -> Job {
        Job { disk, spec: spec(shard), mended: false, retry_failed: false, worked_on: Vec::new() }
    }

    pub fn open(&self, folder: &Path) -> Result<Opened> {
        Run::open(Arc::clone(&self.disk), folder, self.spec.clone(), self.retry_failed)
    }

    /// Opens the run, processes the pending images, and finishes it. Images are processed out of order, as by
    /// threads.
    pub fn run(&mut self, folder: &Path) -> Result<Summary> {
        let mut run = match self.open(folder)? {
            Opened::Finished(summary) => return Ok(summary),
            Opened::InProgress(run) => run,
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

    /// Processes an image.
    fn image(&self, run: &Run, image: usize) -> Result<Entry> {
        let failed = BAD.contains(&image) && !self.mended;
        let id = ["cat.png", "CAT.png", "../cat.png"][image % 3];
        let stem = run::image_stem(image, id);
        let row = if failed {
            format!(r#"{{"image":"{id}","error":"bad \"{image}\""}}"#)
        } else {
            let files = format!(r#"{{"cam":"{stem}_0.png","more":["{stem}_1.png"]}}"#);
            format!(r#"{{"image":"{id}","p":0.{image},"exits":[{{"files":{files}}}]}}"#)
        };
        let files = if failed {
            Vec::new()
        } else {
            let picture =
                |part| run.write(&format!("{stem}_{part}.png"), &[b'x'; 9].repeat(image + part + 1));
            (0..2).map(picture).collect::<Result<_>>()?
        };
        let rows = rows(image).map(|row| if failed { vec![0; row.len()] } else { row });
        let rows = run.write_rows(image, &[rows.to_vec()])?[0];
        Ok(Entry { image, failed, files, rows, row: RawValue::from_string(row).unwrap() })
    }
}

/// A line of a journal with its checksum.
pub fn sealed(json: &str) -> String {
    format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()))
}

/// An uninterrupted job on the real disk.
pub fn whole(folder: &Path) -> Summary {
    Job::new(Arc::new(RealDisk), Shard::WHOLE).run(folder).unwrap()
}

/// All files below `folder` with their contents, each byte as the character of its number.
pub fn contents(folder: &Path) -> BTreeMap<PathBuf, String> {
    fn walk(root: &Path, folder: &Path, found: &mut BTreeMap<PathBuf, String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, found);
            } else {
                let name = path.strip_prefix(root).unwrap().to_path_buf();
                found.insert(name, fs::read(&path).unwrap().into_iter().map(char::from).collect());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(folder, folder, &mut found);
    found
}

/// Makes `to` a copy of the folder `from` whose files are hard links, as `cp -al` and `rsync --link-dest` do.
#[cfg(unix)]
pub fn hard_linked(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            hard_linked(&entry.path(), &to);
        } else {
            fs::hard_link(entry.path(), to).unwrap();
        }
    }
}

/// The real disk without syncing: no test simulates a power failure.
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

    fn write_at(&self, file: &File, path: &Path, offset: u64, bytes: &[u8]) -> Result<()> {
        RealDisk.write_at(file, path, offset, bytes)
    }

    fn cut(&self, file: &File, path: &Path, len: u64) -> Result<()> {
        RealDisk.cut(file, path, len)
    }

    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        RealDisk.link(from, to)
    }

    fn unshare(&self, path: &Path) -> Result<()> {
        RealDisk.unshare(path)
    }

    fn write_out(&self, _: &Path) {}

    fn sync(&self, path: &Path) -> Result<()> {
        File::open(path).map(drop).map_err(|e| Error::write(path, e))
    }

    fn remove(&self, path: &Path) -> Result<()> {
        RealDisk.remove(path)
    }

    fn remove_folder(&self, path: &Path) -> Result<()> {
        RealDisk.remove_folder(path)
    }
}

/// Fault of a disk operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Killed before the operation.
    KilledBefore,
    /// Killed halfway through the operation.
    KilledWithin,
    /// Killed after the operation.
    KilledAfter,
    /// Disk full from this operation on.
    Full,
}

impl Fault {
    pub const ALL: [Fault; 4] = [Fault::KilledBefore, Fault::KilledWithin, Fault::KilledAfter, Fault::Full];
}

/// The real disk until operation number `at`.
pub struct Faulty {
    fault: Fault,
    at: usize,
    calls: AtomicUsize,
}

impl Faulty {
    pub fn new(fault: Fault, at: usize) -> Arc<Faulty> {
        Arc::new(Faulty { fault, at, calls: AtomicUsize::new(0) })
    }

    /// Whether the fault has occurred.
    pub fn struck(&self) -> bool {
        self.calls.load(Ordering::SeqCst) > self.at
    }

    /// Performs `call`, or `half` of it, or nothing.
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

/// What a killed process leaves of a file that was to replace the one at `path`.
fn half_a_file(path: &Path) {
    let name = path.file_name().unwrap().to_str().unwrap();
    fs::write(path.with_file_name(format!(".{name}.4194304-7.tmp")), "ha").unwrap();
}

impl Disk for Faulty {
    fn make_folder(&self, path: &Path) -> Result<()> {
        self.call(path, || (), true, || Quick.make_folder(path))
    }

    fn replace(&self, path: &Path, durable: bool, fill: &mut Fill) -> Result<()> {
        self.call(path, || half_a_file(path), true, || Quick.replace(path, durable, fill))
    }

    fn append(&self, file: &mut File, path: &Path, bytes: &[u8]) -> Result<()> {
        // Only one of the closures can borrow `file`.
        let mut half = false;
        let done = self.call(path, || half = true, true, || Ok(()));
        match (&done, self.fault) {
            (Ok(()), _) => Quick.append(file, path, bytes)?,
            (_, Fault::KilledAfter) if self.calls.load(Ordering::SeqCst) == self.at + 1 => {
                Quick.append(file, path, bytes)?;
            }
            // A full disk also writes a part.
            (_, Fault::Full) => Quick.append(file, path, &bytes[..1])?,
            _ if half => Quick.append(file, path, &bytes[..bytes.len() / 2])?,
            _ => {}
        }
        done
    }

    fn write_at(&self, file: &File, path: &Path, offset: u64, bytes: &[u8]) -> Result<()> {
        let half = || Quick.write_at(file, path, offset, &bytes[..bytes.len() / 2]).unwrap();
        self.call(path, half, true, || Quick.write_at(file, path, offset, bytes))
    }

    fn cut(&self, file: &File, path: &Path, len: u64) -> Result<()> {
        self.call(path, || (), false, || Quick.cut(file, path, len))
    }

    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        self.call(to, || (), true, || Quick.link(from, to))
    }

    fn unshare(&self, path: &Path) -> Result<()> {
        self.call(path, || half_a_file(path), true, || Quick.unshare(path))
    }

    fn write_out(&self, _: &Path) {}

    fn sync(&self, path: &Path) -> Result<()> {
        self.call(path, || (), true, || Quick.sync(path))
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.call(path, || (), false, || Quick.remove(path))
    }

    fn remove_folder(&self, path: &Path) -> Result<()> {
        self.call(path, || (), false, || Quick.remove_folder(path))
    }
}
