//! Instruction counts of one run, which do not depend on the load of the machine.
//!
//!     cargo bench --bench callgrind               # compare with benches/callgrind/instructions.json
//!     cargo bench --bench callgrind -- --update   # write it
//!
//! Counts all exits of the default model on the sample photo with one thread and the AVX2 kernels
//! (valgrind does not support AVX-512), with and without Grad-CAM. This program runs itself under
//! callgrind, which counts only inside [`counted_run`]: without start-up and the first run, which
//! allocates. The count depends on the compiler, so a file of another rustc is not compared, and
//! the program says so. Exit codes: 0 unchanged or not comparable, 1 changed.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use msdcam::engine::cpu::{Cpu, Isa};
use msdcam::engine::device::Device;
use msdcam::engine::plan::Order;
use msdcam::explain::{Classifier, ExplainRequest, Explainer};
use serde::{Deserialize, Serialize};

#[path = "../support/mod.rs"]
mod support;

/// Relative difference from the stored count that is a change.
const TOLERANCE: f64 = 0.03;
const MODES: [&str; 2] = ["forward", "grad_cam"];

/// The stored file.
#[derive(Debug, Serialize, Deserialize)]
struct Counts {
    /// Release and host of the compiler; counts of different compilers are not compared.
    rustc: String,
    /// Instructions of one run, by mode.
    instructions: BTreeMap<String, u64>,
}

/// The reason why instructions cannot be counted here.
struct Skipped(String);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let outcome = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["run", mode] => return run_mode(mode),
        [] => compare(),
        ["--update"] => update(),
        _ => {
            eprintln!("usage: callgrind [--update]");
            return ExitCode::from(2);
        }
    };
    outcome.unwrap_or_else(|Skipped(reason)| {
        println!("skipped: instruction counts: {reason}");
        ExitCode::SUCCESS
    })
}

/// The program that runs under callgrind.
fn run_mode(mode: &str) -> ExitCode {
    let model = support::default_network();
    let device = Device::Cpu(Cpu::with_isa(1, Isa::Avx2).expect("the CPU has AVX2"));
    let photo = msdcam::RgbImage::open(&support::repository("weights/samples/chelsea.png"));
    let image = model.prepare(&photo.expect("the photo is there")).tensor;
    if mode == "grad_cam" {
        let request = ExplainRequest::grad_cam(&model);
        let mut explainer = Explainer::new(&model, &request, &device, 1).expect("the model loads");
        explainer.explain(&image).expect("the CPU runs");
        counted_run(|| drop(black_box(explainer.explain(&image).expect("the CPU runs"))));
    } else {
        let exits: Vec<usize> = (1..=model.exits.len()).collect();
        let mut classifier =
            Classifier::new(&model, &exits, Order::Depth, &device, 1).expect("the model loads");
        classifier.classify(&image).expect("the CPU runs");
        counted_run(|| drop(black_box(classifier.classify(&image).expect("the CPU runs"))));
    }
    ExitCode::SUCCESS
}

/// callgrind identifies it by its name.
#[inline(never)]
fn counted_run(run: impl FnOnce()) {
    run();
}

fn file() -> PathBuf {
    support::repository("benches/callgrind/instructions.json")
}

fn compare() -> Result<ExitCode, Skipped> {
    let path = file();
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let kept: Counts = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let rustc = rustc()?;
    if kept.rustc != rustc {
        return Err(Skipped(format!("the file is of {}, this is {rustc}", kept.rustc)));
    }
    let mut code = ExitCode::SUCCESS;
    for (mode, now) in count_all()? {
        let Some(&before) = kept.instructions.get(&mode) else {
            println!("{mode}: {now} instructions, none in the file");
            code = ExitCode::FAILURE;
            continue;
        };
        let change = now as f64 / before as f64 - 1.0;
        let verdict = if change > TOLERANCE {
            "MORE: make it fewer, or accept it with --update"
        } else if change < -TOLERANCE {
            "FEWER: lower the number in the file with --update"
        } else {
            "as in the file"
        };
        println!("{mode}: {now} instructions, {before} in the file ({:+.2} %): {verdict}", change * 100.0);
        if change.abs() > TOLERANCE {
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

fn update() -> Result<ExitCode, Skipped> {
    let counts = Counts { rustc: rustc()?, instructions: count_all()? };
    let path = file();
    let text = serde_json::to_string_pretty(&counts).expect("plain fields have a JSON form") + "\n";
    std::fs::write(&path, &text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    print!("{text}");
    Ok(ExitCode::SUCCESS)
}

fn count_all() -> Result<BTreeMap<String, u64>, Skipped> {
    if !Isa::available().contains(&Isa::Avx2) {
        return Err(Skipped("they are of AVX2 kernels, which this machine cannot run".into()));
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        return Err(Skipped("no valgrind".into()));
    }
    // In parallel: the counts do not depend on speed.
    let counts = std::thread::scope(|scope| {
        MODES
            .map(|mode| scope.spawn(move || count(mode)))
            .map(|thread| thread.join().expect("valgrind counts"))
    });
    Ok(MODES.into_iter().map(String::from).zip(counts).collect())
}

/// Instructions of one run.
fn count(mode: &str) -> u64 {
    let myself = std::env::current_exe().expect("a program knows its path");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*counted_run*"])
        .arg(myself)
        .args(["run", mode])
        .output()
        .expect("valgrind starts");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "valgrind failed:\n{log}");
    let collected = log.lines().find_map(|line| line.split_once("Collected : "));
    let total = collected.and_then(|(_, number)| number.trim().parse().ok());
    total.filter(|&n| n > 0).unwrap_or_else(|| panic!("no count in what callgrind says:\n{log}"))
}

/// Release and host of the installed compiler, which built this program.
fn rustc() -> Result<String, Skipped> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").arg("--verbose").output();
    let text = String::from_utf8(output.map_err(|e| Skipped(format!("no rustc: {e}")))?.stdout);
    let text = text.unwrap_or_default();
    let field = |name: &str| text.lines().find_map(|l| l.strip_prefix(name)).unwrap_or("?").trim().to_owned();
    Ok(format!("rustc {} {}", field("release:"), field("host:")))
}
