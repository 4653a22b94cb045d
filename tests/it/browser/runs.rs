//! Runs to report on, made by the program itself.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;
use tempfile::TempDir;

/// Images of the small run.
pub const IMAGES: usize = 24;

/// A run over images with labels, and its report.
pub struct Reported {
    folder: TempDir,
}

impl Reported {
    pub fn page(&self) -> PathBuf {
        self.run().join("report.html")
    }

    pub fn run(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    /// The lines of results.jsonl.
    pub fn results(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.run().join("results.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// 24 images in CIFAR-10's form: stripes and discs, with labels at hand and some that are right.
pub static LABELLED: LazyLock<Reported> =
    LazyLock::new(|| reported(IMAGES, &["--size", "64", "--pictures", "all"]));

/// The same with the last exit alone.
pub static ONE_EXIT: LazyLock<Reported> = LazyLock::new(|| reported(IMAGES, &["--exits", "10"]));

fn reported(images: usize, options: &[&str]) -> Reported {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data_batch.bin");
    std::fs::write(&data, (0..images).flat_map(|i| record(i % IMAGES)).collect::<Vec<u8>>()).unwrap();
    let run = folder.path().join("run");
    let explain = ["explain", path(&data), "--format", "cifar10", "-o", path(&run), "--quiet"];
    msdcam(&[&explain, options].concat());
    msdcam(&["report", path(&run)]);
    Reported { folder }
}

/// The same images forty times over, a thousand but for a few, without pictures.
pub static THOUSAND: LazyLock<Reported> =
    LazyLock::new(|| reported(1000 / IMAGES * IMAGES, &["--pictures", "none"]));

fn record(i: usize) -> Vec<u8> {
    let label = [8, 0, 3, 6][i % 4];
    let mut bytes = vec![label];
    for channel in 0..3 {
        for y in 0..32_usize {
            for x in 0..32_usize {
                let disc = (x.abs_diff(10 + i % 12)).pow(2) + (y.abs_diff(16)).pow(2) < 70;
                let stripe = ((x * (1 + i % 3) + y * (i / 8)) / 5).is_multiple_of(2);
                let ground = if stripe { 60 + 50 * channel } else { 120 + 20 * (i % 5) };
                bytes.push(if disc { 220 - 70 * channel as u8 } else { ground as u8 });
            }
        }
    }
    bytes
}

pub fn msdcam(args: &[&str]) {
    let run = Command::new(env!("CARGO_BIN_EXE_msdcam")).args(args).output().unwrap();
    assert!(run.status.success(), "{args:?}: {}", String::from_utf8_lossy(&run.stderr));
}

pub fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}
