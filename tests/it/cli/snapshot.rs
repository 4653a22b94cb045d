//! Byte-for-byte snapshots of the output of `explain`: arrays, pictures and result lines.
//!
//! The portable CPU kernels give the same bits on every x86-64 machine with the same C library, so
//! a change that should not alter any output can be held to that. After a change that should, run
//! the test with `MSDCAM_BLESS=1`: it rewrites `tests/golden/explain.sha256`.

use std::fmt::Write;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::cli::program::{Place, repository};

const SNAPSHOT: &str = "tests/golden/explain.sha256";

const ALL_METHODS: &str = "grad-cam,grad-cam++,hires-cam,xgrad-cam,layer-cam,grad-cam-elementwise,eigen-cam,\
    eigen-grad-cam,score-cam,ablation-cam,input-gradient,guided-backprop,guided-grad-cam,gradient-x-input,\
    smooth-grad,integrated-gradients";

/// (Output folder, arguments of `explain`).
fn requests() -> Vec<(&'static str, String)> {
    vec![
        ("default", "chelsea.png chelsea_32.png noise.png blocks.png".into()),
        (
            "methods",
            format!("chelsea_32.png --exits 1,4 --method {ALL_METHODS} --samples 2 --steps 2 --class top2"),
        ),
        (
            "taps",
            "chelsea.png --exits 2,9 --tap all-scales --fuse mean --class final --score margin --smooth flips \
             --contours --boxes 15%"
                .into(),
        ),
        ("difference", "chelsea.png --exits 2,9 --class dog --minus exit2".into()),
    ]
}

#[test]
fn explain_writes_the_same_bytes_as_before() {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu")) {
        return skipped!("the byte snapshot of explain: it was made on x86-64 Linux with glibc");
    }
    let place = Place::new();
    place.cat("chelsea.png");
    ["chelsea_32.png", "noise.png", "blocks.png"].iter().for_each(|name| place.small(name));
    let mut found = String::new();
    for (folder, arguments) in requests() {
        let line = format!("explain {arguments} --threads 2 --quiet -o {folder}");
        let output = place
            .command(&line.split(' ').collect::<Vec<_>>())
            .env("MSDCAM_CPU", "portable")
            .output()
            .unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
        // The manifest holds the program's version, which a release changes.
        for name in place.names(folder).iter().filter(|name| *name != "manifest.json") {
            let digest = Sha256::digest(place.read(&format!("{folder}/{name}")));
            let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            writeln!(found, "{digest}  {folder}/{name}").unwrap();
        }
    }
    let snapshot = repository(SNAPSHOT);
    if std::env::var_os("MSDCAM_BLESS").is_some_and(|value| value == "1") {
        std::fs::write(&snapshot, found).unwrap();
        return;
    }
    compare(&snapshot, &found);
}

/// Panics if `found` differs from the file `snapshot`, and names the files.
fn compare(snapshot: &Path, found: &str) {
    let expected = std::fs::read_to_string(snapshot).unwrap();
    let missing = |lines: &str, of: &str| -> Vec<String> {
        let of: std::collections::HashSet<&str> = of.lines().collect();
        let absent = lines.lines().filter(|line| !of.contains(line));
        absent.map(|line| line.split("  ").nth(1).unwrap_or(line).to_string()).collect()
    };
    let (changed, gone) = (missing(found, &expected), missing(&expected, found));
    assert!(
        changed.is_empty() && gone.is_empty(),
        "{} of {} files differ from {SNAPSHOT}: {changed:?}; expected {gone:?}",
        changed.len(),
        found.lines().count()
    );
}
