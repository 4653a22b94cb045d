//! The examples at the end of every help text: each is run.

#![cfg(unix)]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::cli::completions::commands;
use crate::cli::program::{Place, Run, repository};
use crate::cli::run::cifar;
use crate::common::cifar::cifar_record;

/// Four golden images with labels, of which the second is a bird for exit 10 and a truck for exit 1, and three others.
fn test_batch() -> Vec<u8> {
    let mut bytes = Vec::new();
    for (label, name) in [(3, "chelsea_32"), (2, "noise"), (0, "ramp"), (0, "blocks")] {
        let path = repository("tests/golden/images").join(name).with_extension("png");
        bytes.extend(cifar_record(label, &msdcam::RgbImage::open(path).unwrap()));
    }
    bytes.extend(cifar(3));
    bytes
}

/// A folder with every file that an example names.
fn place() -> Place {
    let place = Place::in_memory();
    place.cat("photo.png");
    place.write("test_batch.bin", &test_batch());
    for name in ["chelsea_32.png", "noise.png"] {
        place.write(
            &format!("photos/{name}"),
            &std::fs::read(repository("tests/golden/images").join(name)).unwrap(),
        );
    }
    for (name, path) in [
        ("checkpoint.pth", "tests/golden/checkpoints/blocks_zip.pt"),
        ("net.onnx", "tests/onnx/networks/earlyon_legacy.onnx"),
    ] {
        place.write(name, &std::fs::read(repository(path)).unwrap());
    }
    place.write("names.txt", b"crane\nowl\nheron\n");
    for folder in [".local/share/bash-completion/completions", ".zfunc", ".config/fish/completions", "bin"] {
        std::fs::create_dir_all(place.path().join(folder)).unwrap();
    }
    // What `serve --open` starts instead of a browser.
    place.write("bin/xdg-open", b"#!/bin/sh\nexit 0\n");
    let browser = place.path().join("bin/xdg-open");
    std::fs::set_permissions(browser, std::fs::Permissions::from_mode(0o755)).unwrap();
    place
}

/// Runs, or shards of one, that the examples of a command read.
fn with_runs(place: &Place, command: &str) {
    let explain = "explain test_batch.bin --exits 1,5,10 --size 16 -q";
    let lines: &[&str] = match command {
        "report" | "figure" => &["-o run"],
        "merge" => &[
            "-o shard1 --shard 1/2",
            "-o shard2 --shard 2/2",
            "-o shards --shard 1/2",
            "-o shards --shard 2/2",
        ],
        _ => &[],
    };
    for more in lines {
        let run = place.msdcam(&format!("{explain} {more}"));
        assert_eq!(run.code, 0, "{run:?}");
    }
}

/// The command lines at the end of a help text.
fn examples(help: &str) -> Vec<String> {
    let (_, examples) = help.split_once("\nExamples:\n").unwrap_or_else(|| panic!("no examples: {help}"));
    let lines: Vec<String> = examples
        .lines()
        .filter_map(|line| line.strip_prefix("  msdcam "))
        .map(|rest| format!("msdcam {rest}"))
        .collect();
    let others = examples.lines().filter(|line| !line.starts_with("  msdcam ") && !line.trim().is_empty());
    let others: Vec<&str> = others.collect();
    assert!(others.iter().all(|line| line.starts_with("      ")), "the help ends with examples: {examples}");
    assert_eq!(others.len(), lines.len(), "each has a line that says what it does: {examples}");
    assert!((2..=4).contains(&lines.len()), "{examples}");
    assert!(examples.lines().all(|line| line.chars().count() <= 80), "wider than 80 columns: {examples}");
    lines
}

/// A shell with the program on its path, in which `line` is run.
fn shell(place: &Place, line: &str) -> Command {
    let program = Path::new(env!("CARGO_BIN_EXE_msdcam")).parent().unwrap();
    let mut folders = vec![place.path().join("bin"), program.to_path_buf()];
    folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    let mut shell = Command::new("bash");
    shell.args(["--norc", "-o", "pipefail", "-c", line]).current_dir(place.path());
    shell
        .env("HOME", place.path())
        .env("PATH", std::env::join_paths(folders).unwrap())
        .env_remove("RUST_BACKTRACE");
    shell
}

fn succeeds(place: &Place, line: &str) {
    let run: Run = shell(place, line).stdin(Stdio::null()).output().unwrap().into();
    assert_eq!(run.code, 0, "{line}: {run:?}");
    assert!(!run.stderr.contains("error: "), "{line}: {run:?}");
}

/// Starts the server, waits until it gives its address, and ends it as Ctrl-C does.
fn serves(place: &Place, line: &str) {
    let mut child =
        shell(place, &format!("exec {line}")).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut address = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
    assert!(address.starts_with("http://127.0.0.1:"), "{line}: {address}");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130), "{line}");
}

fn check(place: &Place, line: &str) {
    match line {
        // Another server may have the port.
        _ if line.starts_with("msdcam serve") => serves(place, &line.replace("--port 9000", "--port 0")),
        _ if line.contains("--device cuda") => {
            skipped!("example '{line}': needs a GPU; run on the CPU instead");
            succeeds(place, &line.replace("--device cuda", "--device cpu --seconds 0.1"));
        }
        _ if line.contains("| man ") && Command::new("man").arg("--version").output().is_err() => {
            skipped!("example '{line}': man is not installed");
        }
        _ => {
            succeeds(place, &line.replace("--seconds 5", "--seconds 0.1").replace("--limit 100", "--limit 1"))
        }
    }
}

#[test]
fn every_example_of_every_help_works() {
    if Command::new("bash").arg("--version").output().is_err() {
        return skipped!("examples of the help texts: bash is not installed");
    }
    for name in commands(&Place::new()) {
        let place = place();
        with_runs(&place, &name);
        let help = place.msdcam(&format!("{name} --help")).stdout;
        let lines = examples(&help);
        assert!(lines.iter().all(|line| line.starts_with(&format!("msdcam {name}"))), "{lines:?}");
        lines.iter().for_each(|line| check(&place, line));
        // The short help has them too.
        assert_eq!(examples(&place.msdcam(&format!("{name} -h")).stdout), lines, "{name}");
    }
    let place = place();
    examples(&place.msdcam("--help").stdout).iter().for_each(|line| check(&place, line));
}

#[test]
fn no_help_has_the_links_of_the_source() {
    let place = Place::new();
    let helps =
        commands(&place).into_iter().flat_map(|name| [format!("{name} --help"), format!("{name} -h")]);
    for line in helps.chain(["--help".into(), "-h".into()]) {
        let help = place.msdcam(&line).stdout;
        assert!(help.contains("Usage: "), "{line}: {help}");
        let links: Vec<&str> = ["[`", "](", "::"].into_iter().filter(|link| help.contains(link)).collect();
        assert!(links.is_empty(), "{line} has {links:?}: {help}");
    }
}
