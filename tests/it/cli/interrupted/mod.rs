//! Every command that writes files, killed or out of disk space at any call that changes the disk: nothing
//! is lost, nothing is half written, and the same command completes the work.
//!
//! The gate takes a sample of the calls; `MSDCAM_CAMPAIGN=all` takes every call.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;

use crate::cli::program::{Place, repository};
use crate::cli::run::{cifar, contents};

/// Names and bytes of the files of a folder.
type Files = BTreeMap<PathBuf, Vec<u8>>;

const SMALL: &str = "--exits 1 --size 16";

#[test]
fn explain_photos() {
    campaign(&[], &format!("explain a.png b.png -o out {SMALL}"));
}

#[test]
fn explain_photos_again() {
    let first = format!("explain a.png b.png -o out {SMALL} --colormap grey");
    campaign(&[&first], &format!("explain a.png b.png -o out {SMALL}"));
}

#[test]
fn explain_a_data_set() {
    campaign(&[], &format!("explain set.bin -o out {SMALL}"));
    campaign(&[], &format!("explain set.bin -o out {SMALL} --pictures none --dtype f16"));
}

#[test]
fn explain_a_shard() {
    let shard = |shard| format!("explain set.bin -o out {SMALL} --shard {shard}");
    campaign(&[&shard("1/2")], &shard("2/2"));
}

#[test]
fn explain_failed_images_again() {
    let explain = format!("explain folder -o out {SMALL}");
    campaign(&[&explain], &format!("{explain} --retry-failed"));
}

#[test]
fn merge_in_place() {
    let [one, two] = ["1/2", "2/2"].map(|shard| format!("explain set.bin -o out {SMALL} --shard {shard}"));
    campaign(&[&one, &two], "merge out");
}

#[test]
fn merge_elsewhere() {
    let [one, two] = [1, 2].map(|shard| format!("explain set.bin -o s{shard} {SMALL} --shard {shard}/2"));
    campaign(&[&one, &two], "merge s1 s2 -o out");
}

#[test]
fn evaluate() {
    campaign(&["evaluate set.bin -o out --exits 1"], "evaluate set.bin -o out --exits 1,2");
}

#[test]
fn faithfulness() {
    campaign(&["faithfulness a.png -o out --exits 1"], "faithfulness a.png -o out --exits 2");
}

#[test]
fn report() {
    campaign(&[&format!("explain set.bin -o out {SMALL}")], "report out");
}

#[test]
fn convert() {
    campaign(
        &["convert tests/net.pth -o out/w.safetensors --dtype f16"],
        "convert tests/net.pth -o out/w.safetensors",
    );
}

#[test]
fn figure() {
    let explain = format!("explain set.bin -o run {SMALL}");
    campaign(&[&explain], "figure run --select hardness>=0 --most 2 -o out/figure.png");
}

/// Kinds of faults, as `disk_faults.c` names them.
const FAULTS: [&str; 4] = ["before", "within", "after", "fails"];

/// Runs `command` after the commands `before`, with every kind of fault at a sample of its calls, and checks
/// the folder `out` after the fault and after the same command without one.
fn campaign(before: &[&str], command: &str) {
    let Some(library) = library() else {
        return skipped!("disk faults in {command}: no C compiler");
    };
    let start = Place::in_memory();
    start.write("set.bin", &cifar(3));
    for name in ["a.png", "b.png", "folder/c.png", "folder/d.png"] {
        start.write(name, &std::fs::read(repository("tests/golden/chelsea_32.png")).unwrap());
    }
    start.write("folder/e.png", b"no image");
    start.write("tests/net.pth", &std::fs::read(repository("tests/golden/nets/blocks-even.pth")).unwrap());
    start.write("out/mine.txt", b"of another program");
    for line in before {
        let run = start.msdcam(line);
        assert!(matches!(run.code, 0 | 3), "{run:?}");
    }
    let old = contents(&start.path().join("out"));
    let whole = copy(&start);
    let calls = whole.path().join("calls");
    let faultless = faulty(&whole, command, library, ("DISK_CALLS", calls.as_os_str())).status.code();
    assert!(matches!(faultless, Some(0 | 3)), "{command}: {faultless:?}");
    let calls: usize = std::fs::read_to_string(calls).unwrap().trim().parse().unwrap();
    assert!(calls > 2, "{command}: {calls} calls");
    let new = contents(&whole.path().join("out"));
    for fault in FAULTS {
        for at in sample(calls, fault.len()) {
            let what = format!("{command}: {fault} call {at} of {calls}");
            let place = copy(&start);
            let spec = format!("{fault}:{at}");
            let ended = faulty(&place, command, library, ("DISK_FAULT", spec.as_ref()));
            check_after_fault(&place, &ended, faultless, (&old, &new), &what);
            let again = place.msdcam(command);
            assert_eq!(Some(again.code), faultless, "{what}: {again:?}");
            assert_complete(&contents(&place.path().join("out")), &new, &what);
        }
    }
}

/// Checks the files beside which the process ended: each is the old or the new one.
fn check_after_fault(
    place: &Place,
    ended: &Output,
    faultless: Option<i32>,
    (old, new): (&Files, &Files),
    what: &str,
) {
    let stderr = String::from_utf8_lossy(&ended.stderr);
    let was_killed = ended.status.signal() == Some(9);
    let errors =
        stderr.lines().filter(|line| line.starts_with("error: ") && line.contains("cannot write")).count();
    let told = ended.status.code() == Some(6) && errors == 1 || ended.status.code() == faultless;
    assert!(was_killed || told, "{what}: {:?}: {stderr}", ended.status);
    for (name, bytes) in contents(&place.path().join("out")) {
        let text = name.to_string_lossy();
        let is_temporary = text.ends_with(".tmp");
        assert!(was_killed || !is_temporary, "{what}: {text} is left");
        let of_a_run = ["journal", "manifest-", "arrays"].iter().any(|begin| text.starts_with(begin));
        if is_temporary || of_a_run || text.contains("lock") {
            continue;
        }
        let is_known = [old, new].iter().any(|files| files.get(&name) == Some(&bytes));
        let marker: Option<Value> = serde_json::from_slice(&bytes).ok();
        // Its times differ from run to run.
        let is_marker = marker.is_some_and(|m| m.get("in_progress").is_some() || text == "evaluation.json");
        assert!(is_known || is_marker, "{what}: {text} is neither the old nor the new file");
    }
}

/// Checks the files after the same command has run to its end.
fn assert_complete(found: &Files, expected: &Files, what: &str) {
    let names = |files: &Files| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(found), names(expected), "{what}");
    for (name, bytes) in expected.iter().filter(|(name, _)| *name != Path::new("evaluation.json")) {
        assert!(found[name] == *bytes, "{what}: {} differs", name.display());
    }
}

/// Numbers of calls from 1 to `calls`: all, or a few that start at another one for another `phase`.
fn sample(calls: usize, phase: usize) -> Vec<usize> {
    const SAMPLE: usize = 3;
    match std::env::var("MSDCAM_CAMPAIGN") {
        Ok(all) if all == "all" => (1..=calls).collect(),
        _ => (0..SAMPLE).map(|i| 1 + (i * calls / SAMPLE + phase) % calls).collect(),
    }
}

/// Runs the program with the faults that `variable` describes.
fn faulty(place: &Place, line: &str, library: &Path, variable: (&str, &std::ffi::OsStr)) -> Output {
    let words: Vec<&str> = line.split(' ').collect();
    place.command(&words).env("LD_PRELOAD", library).env(variable.0, variable.1).output().unwrap()
}

/// A place with the same files.
fn copy(place: &Place) -> Place {
    let other = Place::in_memory();
    for (name, bytes) in contents(place.path()) {
        other.write(name.to_str().unwrap(), &bytes);
    }
    other
}

/// The compiled `disk_faults.c`; `None` without a compiler.
fn library() -> Option<&'static Path> {
    static LIBRARY: OnceLock<Option<PathBuf>> = OnceLock::new();
    let build = || {
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("disk_faults-{}.so", std::process::id()));
        let source = repository("tests/it/cli/interrupted/disk_faults.c");
        let mut compiler = Command::new("cc");
        compiler
            .args(["-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o"])
            .arg(&path)
            .arg(source)
            .arg("-ldl");
        let output = compiler.output().ok()?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Some(path)
    };
    LIBRARY.get_or_init(build).as_deref()
}
