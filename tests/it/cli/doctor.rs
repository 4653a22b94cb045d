//! `msdcam doctor`: what it finds on machines that have and lack things, and its exit code.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cli::program::{Place, Run, repository};
use crate::common::gpu;

/// Variables that change what is found.
const VARIABLES: [&str; 10] = [
    "MSDCAM_CPU",
    "MSDCAM_NVRTC",
    "MSDCAM_CUBIN",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_HOME",
    "CUDA_PATH",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "XDG_CACHE_HOME",
    "NO_COLOR",
];

/// What `command` says; it is ended, and the test fails, where it takes ten minutes.
fn ended(mut command: Command) -> Run {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > Duration::from_secs(600) {
            child.kill().unwrap();
            panic!("{command:?} hangs");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let run: Run = child.wait_with_output().unwrap().into();
    assert!(!run.stderr.contains("panicked") && !run.stderr.contains("internal error"), "{run:?}");
    run
}

/// `msdcam doctor --json` without variables of this machine, at home in `place`.
fn doctor(place: &Place, environment: &[(&str, &str)]) -> Run {
    let mut command = place.command(&["doctor", "--json"]);
    for name in VARIABLES {
        command.env_remove(name);
    }
    command.env("HOME", place.path()).envs(environment.iter().copied());
    ended(command)
}

/// The same under the stand-in driver, whose compiled kernels are kept.
fn under_standin(environment: &[(&str, &str)]) -> Run {
    let mut command = Command::new(repository("tests/standin/run"));
    command.args([env!("CARGO_BIN_EXE_msdcam"), "doctor", "--json"]).current_dir(repository(""));
    for name in VARIABLES {
        command.env_remove(name);
    }
    gpu::as_standin(&mut command).envs(environment.iter().copied());
    ended(command)
}

fn report(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|e| panic!("{e}: {run:?}"))
}

/// State, text and advice of the only finding about `topic`.
#[track_caller]
fn about<'a>(report: &'a Value, topic: &str) -> [&'a str; 3] {
    let findings = report["findings"].as_array().unwrap().iter().filter(|finding| finding["topic"] == topic);
    let [finding] = findings.collect::<Vec<_>>()[..] else { panic!("{topic}: {report:#}") };
    ["state", "text", "advice"].map(|key| finding[key].as_str().unwrap_or(""))
}

/// Whether this machine has neither a driver nor an NVRTC of its own; says what is skipped if it does.
fn is_plain(report: &Value, what: &str) -> bool {
    let plain = ["driver", "nvrtc"].iter().all(|topic| about(report, topic)[0] == "note");
    if !plain {
        skipped!("{what}: this machine has a driver or an NVRTC of its own");
    }
    plain
}

#[test]
fn a_machine_without_a_gpu_works_and_says_what_it_lacks() {
    let place = Place::new();
    let run = doctor(&place, &[]);
    let report = report(&run);
    for topic in ["program", "cpu", "cpu kernels", "kernel cache", "environment", "network"] {
        assert_eq!(about(&report, topic)[0], "ok", "{topic}: {report:#}");
    }
    for finding in report["findings"].as_array().unwrap() {
        let is_ok = finding["state"] == "ok";
        assert_eq!(finding["advice"].is_null(), is_ok, "what is not in order has an advice: {finding}");
    }
    assert!(!place.path().join(".cache").exists(), "it makes no folder");
    if is_plain(&report, "doctor without a GPU") {
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
        assert_eq!((&report["works"], &report["devices"]), (&true.into(), &serde_json::json!(["cpu"])));
        let [_, text, advice] = about(&report, "driver");
        assert!(
            text.contains("no NVIDIA driver") && advice.contains("install NVIDIA's driver"),
            "{report:#}"
        );
        let [state, text, _] = about(&report, "self-test");
        assert!(state == "ok" && text.starts_with("cpu (") && text.contains("10 exits"), "{text}");
        let facts = &report["findings"].as_array().unwrap().last().unwrap()["facts"];
        assert!(facts["difference_from_stored"].as_f64().unwrap() < 1e-4, "{facts}");
    }
    // The same as text: a line for each finding at least, within a terminal.
    let text = place.msdcam("doctor").stdout;
    for finding in report["findings"].as_array().unwrap() {
        let topic = finding["topic"].as_str().unwrap();
        assert!(
            text.lines()
                .any(|line| line.split_at_checked(7).is_some_and(|(_, rest)| rest.starts_with(topic)))
        );
    }
    assert!(text.lines().filter(|line| !line.contains('/')).all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn every_instruction_set_is_chosen_by_the_variable_and_a_wrong_one_is_exit_code_5() {
    let place = Place::new();
    for isa in msdcam::engine::cpu::Isa::available() {
        let report = report(&doctor(&place, &[("MSDCAM_CPU", isa.name())]));
        let [_, text, _] = about(&report, "cpu kernels");
        assert!(text.starts_with(isa.name()) && text.contains("MSDCAM_CPU"), "{text}");
        assert!(report["devices"].as_array().unwrap().contains(&"cpu".into()), "{report:#}");
    }
    let run = doctor(&place, &[("MSDCAM_CPU", "mmx")]);
    run.refused(5, &["cpu kernels"]);
    let report = report(&run);
    let [state, text, advice] = about(&report, "cpu kernels");
    assert!(state == "wrong" && text.contains("mmx") && advice.contains("portable"), "{report:#}");
}

#[test]
fn a_broken_path_of_nvrtc_is_a_note_where_nothing_needs_it() {
    let place = Place::new();
    place.write("libnvrtc.so", b"no library");
    let file = place.path().join("libnvrtc.so");
    for path in ["/nonexistent", place.path().to_str().unwrap(), file.to_str().unwrap()] {
        let run = doctor(&place, &[("MSDCAM_NVRTC", path)]);
        let report = report(&run);
        let [state, text, advice] = about(&report, "nvrtc");
        assert!(state != "ok" && text.contains(path) && advice.contains("unset MSDCAM_NVRTC"), "{report:#}");
        if is_plain(&report, "a broken path of NVRTC") {
            assert_eq!(run.code, 0, "{run:?}");
        }
        assert!(about(&report, "environment")[1].contains("MSDCAM_NVRTC="), "{report:#}");
    }
}

#[cfg(unix)]
#[test]
fn a_cache_that_cannot_be_used_is_a_note_that_says_why() {
    use std::os::unix::fs::PermissionsExt;

    let place = Place::new();
    place.write("file", b"");
    let folder = place.path().join("open/msdcam");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    let path = |name: &str| place.path().join(name).to_str().unwrap().to_string();
    for (cache, said, advised) in [
        (path("file"), "file", "XDG_CACHE_HOME"),
        (path("open"), "other users can write to it", "chmod 700"),
        ("/proc/nowhere".into(), "cannot write", "XDG_CACHE_HOME"),
    ] {
        let run = doctor(&place, &[("XDG_CACHE_HOME", &cache)]);
        let report = report(&run);
        let [state, text, advice] = about(&report, "kernel cache");
        assert!(
            state == "note" && text.contains(said) && text.contains("at every start"),
            "{cache}: {report:#}"
        );
        assert!(advice.contains(advised), "{cache}: {report:#}");
        if is_plain(&report, "a cache that cannot be used") {
            assert_eq!(run.code, 0, "{run:?}");
        }
    }
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).unwrap();
    place.write("open/msdcam/key", &[0; 1000]);
    let report = report(&doctor(&place, &[("XDG_CACHE_HOME", &path("open"))]));
    let [state, text, _] = about(&report, "kernel cache");
    assert!(state == "ok" && text.contains("mode 0700, 1 file"), "{text}");
}

#[test]
fn a_variable_that_is_misspelled_or_has_no_such_value_is_noted() {
    let variables = [
        ("MSDCAM_NVTRC", "/opt", "unknown to this version: MSDCAM_NVTRC"),
        ("MSDCAM_SHARDS", "abc", "MSDCAM_SHARDS is 'abc', expected a number"),
    ];
    for (name, value, says) in variables {
        let report = report(&doctor(&Place::new(), &[(name, value)]));
        let [state, text, advice] = about(&report, "environment");
        assert!(state == "note" && text.contains(says) && advice.contains("MSDCAM_NVRTC"), "{report:#}");
    }
}

#[test]
fn a_gpu_that_works_is_compared_with_the_cpu() {
    let name = test_name!();
    if gpu::at_hand() || !gpu::standin_works(name) {
        return;
    }
    let run = under_standin(&[]);
    assert_eq!(run.code, 0, "{run:?}");
    let report = report(&run);
    assert_eq!(report["devices"], serde_json::json!(["cpu", "cuda:0"]), "{report:#}");
    let [_, text, _] = about(&report, "gpu");
    assert!(text.contains("compute capability 9.0") && text.contains("GiB"), "{text}");
    assert!(
        about(&report, "driver")[1].contains("1 GPU") && about(&report, "nvrtc")[0] == "ok",
        "{report:#}"
    );
    let facts = &report["findings"].as_array().unwrap().last().unwrap()["facts"];
    assert!(facts["difference_of_heatmaps_from_cpu"].as_f64().unwrap() < 1e-4, "{facts}");
}

#[test]
fn a_driver_without_a_gpu_is_a_note() {
    let name = test_name!();
    if gpu::at_hand() || !gpu::standin_works(name) {
        return;
    }
    for hidden in [("STANDIN_DEVICES", "0"), ("CUDA_VISIBLE_DEVICES", "")] {
        let run = under_standin(&[hidden]);
        let report = report(&run);
        assert_eq!((run.code, &report["devices"]), (0, &serde_json::json!(["cpu"])), "{report:#}");
        let [state, text, advice] = about(&report, "driver");
        assert!(
            state == "note" && text.contains("no GPU") && advice.contains("CUDA_VISIBLE_DEVICES"),
            "{report:#}"
        );
    }
}

#[test]
fn a_gpu_that_does_not_work_is_exit_code_5_with_what_to_do() {
    let name = test_name!();
    if gpu::at_hand() || !gpu::standin_works(name) {
        return;
    }
    // A kernel that fails.
    let run = under_standin(&[("STANDIN_FAULT", "1")]);
    run.refused(5, &["not in order: self-test"]);
    // An NVRTC that is named and cannot be loaded.
    let run = under_standin(&[("MSDCAM_NVRTC", "/nonexistent")]);
    run.refused(5, &["nvrtc, self-test"]);
    assert!(about(&report(&run), "nvrtc")[2].contains("unset MSDCAM_NVRTC"), "{run:?}");
    // Machine code of another build.
    let run = under_standin(&[("MSDCAM_CUBIN", "/nonexistent")]);
    run.refused(5, &["self-test"]);
    assert!(run.stdout.contains("unset MSDCAM_CUBIN"), "{run:?}");
    // Neither built-in machine code nor a compiler.
    let nowhere = [
        ("HOME", "/nonexistent"),
        ("PATH", "/usr/bin:/bin"),
        ("STANDIN_NO_NVRTC", "1"),
        ("STANDIN_CC", "8.0"),
    ];
    let run = under_standin(&nowhere);
    let report = report(&run);
    if about(&report, "nvrtc")[0] == "ok" {
        return skipped!("{name}: a GPU without NVRTC: this machine has one of its own");
    }
    run.refused(5, &["nvrtc, self-test"]);
    let [state, _, advice] = about(&report, "nvrtc");
    assert!(state == "wrong" && advice.contains("pip install nvidia-cuda-nvrtc"), "{report:#}");
    assert!(about(&report, "gpu")[1].contains("8.0"), "{report:#}");
}

#[test]
fn a_driver_that_lacks_functions_is_exit_code_5() {
    let place = Place::new();
    place.write("stub.c", b"int cuInit(unsigned flags) { return (int)flags; }\n");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o", "libcuda.so.1", "stub.c"]).current_dir(place.path());
    if gpu::at_hand() || !compiler.status().is_ok_and(|status| status.success()) {
        return skipped!("{}: needs cc, and no GPU", test_name!());
    }
    std::fs::copy(place.path().join("libcuda.so.1"), place.path().join("libcuda.so")).unwrap();
    let library_path: &Path = place.path();
    let run = doctor(&place, &[("LD_LIBRARY_PATH", library_path.to_str().unwrap())]);
    run.refused(5, &["not in order: driver"]);
    let report = report(&run);
    let [state, text, advice] = about(&report, "driver");
    assert!(state == "wrong" && text.contains("lacks cu") && advice.contains("nvidia-smi"), "{report:#}");
    assert_eq!(report["devices"], serde_json::json!(["cpu"]));
}
