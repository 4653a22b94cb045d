//! Signals and limits of every command: what a command that is stopped says and leaves behind.

#![cfg(unix)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::cli::program::{Place, Run, repository};
use crate::cli::run::{cifar, contents};

const CHECKPOINT: &str = "tests/golden/checkpoints/blocks_zip.pt";

/// A set, a run over it, the same run in two shards, a photo and a checkpoint.
fn place() -> Place {
    let place = Place::in_memory();
    place.write("set.bin", &cifar(4));
    place.small("noise.png");
    place.write("net.pt", &std::fs::read(repository(CHECKPOINT)).unwrap());
    let explain = "explain set.bin --exits 1,10 --size 16 -q";
    for more in ["-o run", "-o s1 --shard 1/2", "-o s2 --shard 2/2"] {
        assert_eq!(place.msdcam(&format!("{explain} {more}")).code, 0);
    }
    place
}

/// A command for every kind of output, into `out`.
const WRITING: [&str; 8] = [
    "explain noise.png --exits 1 -o out",
    "explain set.bin --exits 1 --size 16 -o out",
    "evaluate set.bin -o out",
    "convert net.pt -o out/w.safetensors",
    "report run -o out",
    "faithfulness noise.png --exits 1 -o out",
    "figure run --rows set/00000 -o out/figure.png",
    "merge s1 s2 -o out",
];

fn temporaries(place: &Place) -> Vec<String> {
    let names = contents(place.path()).into_keys().map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(".tmp")).collect()
}

#[test]
fn a_file_above_the_size_limit_is_exit_code_6() {
    let place = place();
    for line in WRITING {
        std::fs::create_dir_all(place.path().join("out")).unwrap();
        let script = format!("ulimit -f 1; exec \"$0\" {line}");
        let mut shell = Command::new("sh");
        shell.current_dir(place.path()).args(["-c", &script, env!("CARGO_BIN_EXE_msdcam")]);
        let run: Run = shell.output().unwrap().into();
        run.refused(6, &["out", ": cannot write: ", "File too large"]);
        assert_eq!(temporaries(&place), [""; 0], "{line}");
        std::fs::remove_dir_all(place.path().join("out")).unwrap();
    }
}

/// Starts a command and waits until it announces the device, after which the work begins.
fn at_work(place: &Place, line: &str) -> Child {
    let words: Vec<&str> = line.split(' ').collect();
    let mut child = place.command(&words).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let announced = BufReader::new(child.stderr.as_mut().unwrap()).lines().any(|line| {
        let line = line.unwrap();
        line.starts_with("device: ")
    });
    assert!(announced, "{line}");
    child
}

fn code(mut child: Child) -> Option<i32> {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(60) {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    panic!("still at work")
}

#[test]
fn a_signal_ends_every_command_without_leftovers() {
    let place = Place::in_memory();
    place.write("set.bin", &cifar(8).repeat(500));
    place.cat("cat.png");
    let photos = ["cat.png"; 200].join(" ");
    for line in [
        &format!("explain {photos} --exits 1 -o out"),
        "evaluate set.bin -o out",
        "faithfulness set.bin --exits 1 -o out",
        "classify set.bin",
        "bench --seconds 60",
    ] {
        for (signal, expected) in [("-INT", 130), ("-TERM", 143)] {
            let child = at_work(&place, line);
            let id = child.id().to_string();
            assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
            assert_eq!(code(child), Some(expected), "{signal} of {line}");
            assert_eq!(temporaries(&place), [""; 0], "{signal} of {line}");
            assert!(!place.path().join("out/lock").exists(), "{signal} of {line}");
        }
    }
}

#[test]
fn what_a_killed_command_left_is_removed_when_the_file_is_written_again() {
    let place = place();
    place.cat("cat.png");
    let photos = ["cat.png"; 200].join(" ");
    let mut child = at_work(&place, &format!("explain {photos} --exits 1 -o out"));
    child.kill().unwrap();
    assert_eq!(code(child), None);
    assert!(!temporaries(&place).is_empty(), "the results of photos are in a temporary file until the end");
    for line in WRITING {
        std::fs::create_dir_all(place.path().join("out")).unwrap();
        for name in ["results.jsonl", "evaluation.json", "w.safetensors", "report.html", "figure.png"] {
            place.write(&format!("out/.{name}.1-2.tmp"), b"left");
        }
        place.write("out/.manifest.json.1-2.tmp", b"left");
        place.write("out/.other.1-2.tmp", b"of something else");
        let run = place.msdcam(line);
        assert_eq!(run.code, 0, "{run:?}");
        for name in place.names("out").iter().filter(|name| !name.starts_with('.')) {
            let is_for = |left: &String| left.starts_with(&format!("out/.{name}."));
            assert!(!temporaries(&place).iter().any(is_for), "{line}: {name}");
        }
        assert!(place.path().join("out/.other.1-2.tmp").exists());
        std::fs::remove_dir_all(place.path().join("out")).unwrap();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_cannot_be_written_is_refused_before_the_work() {
    let place = Place::new();
    place.small("noise.png");
    place.write("file", b"");
    for command in ["evaluate", "faithfulness"] {
        let line = format!("{command} noise.png --weights absent.safetensors -o");
        place.msdcam(&format!("{line} /proc/msdcam/out")).refused(6, &["/proc/msdcam/out: cannot write: "]);
        let file = "file: cannot write: is a file, expected a folder";
        place.msdcam(&format!("{line} file")).refused(6, &[file]);
        place.msdcam(&format!("{line} out/below")).refused(4, &["absent.safetensors"]);
    }
    assert_eq!(place.names("."), ["file", "noise.png"]);
}
