//! A folder with the files that the documents' commands name.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use msdcam::{Model, RgbImage};
use tempfile::TempDir;

use super::program;
use crate::common::cifar::cifar_record;
use crate::common::golden::repository;

/// Most that a command may take.
const LIMIT: Duration = Duration::from_secs(120);

/// The photos of `photos/`, and of `test_batch.bin` with their classes of CIFAR-10. The built-in network takes the
/// second dog for a cat at exit 1, and knows it at exit 10.
const PHOTOS: [(&str, u8, &str); 6] = [
    ("cat/1.png", 3, "tests/golden/images/chelsea_32.png"),
    ("cat/2.png", 3, "tests/golden/images/bits.png"),
    ("cat/3.png", 3, "tests/golden/images/blocks.png"),
    ("dog/1.png", 5, "tests/golden/images/rgba16.png"),
    ("dog/2.png", 5, "tests/golden/images/grey16.png"),
    ("dog/3.png", 5, "tests/golden/images/ramp.png"),
];

/// Files under the names that the documents have for them.
const FILES: [(&str, &str); 6] = [
    ("photo.jpg", "weights/samples/chelsea.png"),
    ("cat.png", "weights/samples/chelsea.png"),
    ("dog.png", "tests/golden/images/blocks.png"),
    ("checkpoint.pth", "tests/golden/nets/subnets-even.pth"),
    ("net.onnx", "tests/onnx/networks/shallow_deep_legacy.onnx"),
    ("weights/samples/chelsea.png", "weights/samples/chelsea.png"),
];

/// [`PHOTOS`] as a batch of CIFAR-10: a class and three planes of 32 x 32 for each.
fn test_batch() -> &'static [u8] {
    static BATCH: OnceLock<Vec<u8>> = OnceLock::new();
    BATCH.get_or_init(|| {
        let model = Model::pretrained().unwrap();
        let record = |(_, class, from): (&str, u8, &str)| {
            cifar_record(class, &model.prepare(&RgbImage::open(repository(from)).unwrap()).seen)
        };
        PHOTOS.into_iter().flat_map(record).collect()
    })
}

/// A finished command.
pub struct Run {
    /// `None` where it was ended.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// The folder in which the commands of a document run.
pub struct Page {
    folder: TempDir,
    /// Beside the files, so that no command finds it among them.
    beside: TempDir,
}

impl Page {
    pub fn new() -> Page {
        let page = Page { folder: tempfile::tempdir().unwrap(), beside: tempfile::tempdir().unwrap() };
        for (name, from) in FILES {
            page.copy(name, from);
        }
        for (name, _, from) in PHOTOS {
            page.copy(&format!("photos/{name}"), from);
        }
        page.write("test_batch.bin", test_batch());
        let python = repository("tests/golden/cifar/cifar-10-batches-py");
        for entry in fs::read_dir(python).unwrap() {
            let entry = entry.unwrap();
            page.copy(&format!("cifar-10-batches-py/{}", entry.file_name().display()), entry.path());
        }
        let boxes = r#"{"cat/1.png": [{"box": [4, 4, 20, 20], "class": "cat"}]}"#;
        page.write("boxes.json", boxes);
        page.link_program();
        page
    }

    /// Writes a file of the folder.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.folder.path().join(name), bytes).unwrap();
    }

    /// Reads a file of the folder.
    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.folder.path().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    fn copy(&self, name: &str, from: impl AsRef<Path>) {
        let to = self.folder.path().join(name);
        fs::create_dir_all(to.parent().expect("a file is in a folder")).unwrap();
        let from = repository("").join(from);
        fs::copy(&from, to).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
    }

    #[cfg(unix)]
    fn link_program(&self) {
        std::os::unix::fs::symlink(program(), self.beside.path().join("msdcam")).unwrap();
    }

    /// Runs a line of a shell.
    pub fn run(&self, line: &str) -> Run {
        let [out, err] = ["stdout", "stderr"].map(|name| self.beside.path().join(name));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(self.beside.path().to_path_buf()).chain(std::env::split_paths(&path));
        let mut child = Command::new("sh")
            .args(["-e", "-c", line])
            .current_dir(self.folder.path())
            .env("PATH", std::env::join_paths(path).unwrap())
            // Results of a GPU may differ in the last digit that is printed.
            .env("CUDA_VISIBLE_DEVICES", "")
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::null())
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&err).unwrap())
            .spawn()
            .unwrap();
        let start = Instant::now();
        let mut code = None;
        while start.elapsed() < LIMIT {
            if let Some(status) = child.try_wait().unwrap() {
                code = status.code();
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        // It has ended, or has to.
        let _ = child.kill();
        child.wait().unwrap();
        let read = |path: &PathBuf| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
        Run { code, stdout: read(&out), stderr: read(&err) }
    }
}

/// Keeps this thread, and what it starts, on one CPU of those that it may use: number `number` of them, in a circle.
pub fn pin(number: usize) {
    #[cfg(target_os = "linux")]
    // SAFETY: both calls get a set of the size that they are told, and change nothing else.
    unsafe {
        let mut allowed: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of_val(&allowed), &mut allowed) != 0 {
            return; // then on all of them
        }
        let cpus: Vec<usize> =
            (0..libc::CPU_SETSIZE as usize).filter(|&cpu| libc::CPU_ISSET(cpu, &allowed)).collect();
        let mut one: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpus[number % cpus.len()], &mut one);
        libc::sched_setaffinity(0, size_of_val(&one), &one);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = number;
}
