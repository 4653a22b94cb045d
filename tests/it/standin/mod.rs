//! Tests of the stand-in CUDA driver (`tests/standin/`), on which the CUDA tests rest: correct programs
//! must work, and every planted bug must be found.
//!
//! Each test runs this same executable again under `tests/standin/run`, as one
//! of the programs in `standin/probe.rs` and `standin/planted.rs`, and reads what it printed.

mod planted;
mod probe;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::common::process::only;

struct Outcome {
    success: bool,
    stdout: String,
    stderr: String,
}

impl Outcome {
    fn of(output: Output) -> Self {
        Outcome {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// What the probe printed after `name: `.
    fn value(&self, name: &str) -> &str {
        let start = format!("{name}: ");
        // The test harness prints before the probe, on the same line.
        let line = self.stdout.lines().find_map(|l| l.find(&start).map(|at| &l[at + start.len()..]));
        line.unwrap_or_else(|| panic!("no `{name}` in:\n{}\n{}", self.stdout, self.stderr))
    }

    fn expect_success(self) -> Self {
        assert!(self.success, "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// One line of the stand-in holds all these words.
    fn expect_line(self, words: &[&str]) -> Self {
        let said = |line: &str| line.starts_with("stand-in: ") && words.iter().all(|w| line.contains(w));
        assert!(
            self.stderr.lines().any(said),
            "no line with {words:?} in:\n{}\n{}",
            self.stderr,
            self.stdout
        );
        self
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/standin")
}

/// Whether the stand-in can be built here; says by name what is skipped if not.
fn can_build(test: &str) -> bool {
    let compiler = std::env::var("STANDIN_CXX").unwrap_or_else(|_| "g++".into());
    let found = Command::new(&compiler).arg("--version").output().is_ok_and(|o| o.status.success());
    if !found {
        skipped!("{test}: no {compiler} here to build the stand-in driver with");
    }
    found
}

fn probe(name: &str, environment: &[(&str, &str)]) -> Outcome {
    let mut command = Command::new(folder().join("run"));
    command.arg(std::env::current_exe().unwrap());
    run_probe(command, name, environment)
}

fn run_probe(mut command: Command, name: &str, environment: &[(&str, &str)]) -> Outcome {
    only(&mut command, format!("standin::{name}")).arg("--test-threads=1");
    for (key, _) in std::env::vars().filter(|(key, _)| key.starts_with("STANDIN_") && key != "STANDIN_CXX") {
        command.env_remove(key);
    }
    command.env(probe::VARIABLE, "1").env("RUST_BACKTRACE", "0");
    command.envs(environment.iter().copied());
    Outcome::of(command.output().unwrap())
}

const ORDERS: [&str; 6] = ["forward", "backward", "random:1", "random:2", "random:3", "random:4"];

fn results_in_all_orders(name: &str, words: &str) -> Vec<String> {
    let run =
        |order: &&str| probe(name, &[("STANDIN_ORDER", *order)]).expect_success().value(words).to_string();
    ORDERS.iter().map(run).collect()
}

#[test]
fn a_vector_addition_comes_out_right() {
    if can_build(test_name!()) {
        probe("probe::vector_addition", &[]).expect_success();
    }
}

#[test]
fn a_reduction_over_shared_memory_and_shuffles_is_the_same_in_every_order() {
    if can_build(test_name!()) {
        let results = results_in_all_orders("probe::reduction", "sum");
        assert!(results.iter().all(|r| r == "499500"), "{results:?}");
    }
}

#[test]
fn a_captured_graph_replays_with_the_arguments_it_was_captured_with() {
    if !can_build(test_name!()) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("counts.json");
    for lazy in ["0", "1"] {
        probe("probe::graph", &[("STANDIN_COUNT", file.to_str().unwrap()), ("STANDIN_LAZY", lazy)])
            .expect_success();
        let counts: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert_eq!(counts["graph_launches"], 3);
        assert_eq!(counts["kernels"]["scale"], 3);
        assert_eq!(counts["kernel_launches"], 0);
        assert_eq!(counts["memset"]["count"], 1 + 3);
        assert_eq!(counts["memcpy_device_to_host"]["bytes"], 3 * 37 * 4);
        assert_eq!(counts["live_bytes"], 0);
        assert_eq!(counts["peak_bytes"], 2 * 37 * 4);
    }
}

#[test]
fn a_graph_runs_in_every_order_that_its_edges_allow() {
    if can_build(test_name!()) {
        assert_eq!(results_in_all_orders("probe::graph_of_two_streams", "waits"), vec!["2"; ORDERS.len()]);
        let unordered = results_in_all_orders("probe::graph_of_two_streams", "does not wait");
        assert_eq!(unordered[..2], ["2", "1"], "forward and backward");
    }
}

#[test]
fn what_a_capture_forbids_is_refused() {
    if can_build(test_name!()) {
        probe("probe::capture_rules", &[]).expect_success();
    }
}

#[test]
fn blocks_of_a_cooperative_launch_can_wait_for_each_other() {
    if can_build(test_name!()) {
        for order in ORDERS {
            probe("probe::cooperative", &[("STANDIN_ORDER", order)]).expect_success();
        }
    }
}

#[test]
fn blocks_of_a_cluster_read_each_others_shared_memory() {
    if can_build(test_name!()) {
        for order in ORDERS {
            probe("probe::cluster", &[("STANDIN_ORDER", order)]).expect_success();
        }
    }
}

#[test]
fn templates_globals_headers_and_vectors_work() {
    if can_build(test_name!()) {
        probe("probe::language", &[]).expect_success();
    }
}

#[test]
fn a_missing_barrier_gives_different_results_in_different_orders() {
    if can_build(test_name!()) {
        let results = results_in_all_orders("planted::missing_barrier", "reversed");
        assert!(results.iter().any(|r| *r != results[0]), "{results:?}");
        let sound = results_in_all_orders("planted::barrier", "reversed");
        assert!(sound.iter().all(|r| *r == sound[0]), "{sound:?}");
    }
}

#[test]
fn a_write_just_past_an_allocation_is_found_and_the_kernel_named() {
    if can_build(test_name!()) {
        let outcome = probe("planted::write_past_the_end", &[]).expect_success();
        assert_eq!(outcome.value("error"), "CUDA_ERROR_ILLEGAL_ADDRESS");
        outcome.expect_line(&["kernel write:", "allocation of 400 bytes", "0 bytes past its end changed"]);
    }
}

#[test]
fn a_write_far_past_an_allocation_names_the_thread() {
    if can_build(test_name!()) {
        let outcome = probe("planted::write_far_past_the_end", &[]).expect_success();
        assert_eq!(outcome.value("error"), "CUDA_ERROR_ILLEGAL_ADDRESS");
        outcome.expect_line(&[
            "kernel write",
            "thread (3,0,0)",
            "byte 1600 of the device allocation of 400 bytes",
        ]);
    }
}

#[test]
fn address_sanitizer_names_the_source_line_of_a_bad_write() {
    if !can_build(test_name!()) {
        return;
    }
    let sanitize = [("STANDIN_SANITIZE", "address,undefined")];
    let outcome = probe("planted::write_past_the_end", &sanitize);
    assert!(!outcome.success);
    assert!(outcome.stderr.contains("heap-buffer-overflow"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("write.cu:3"), "{}", outcome.stderr);
    let outcome = probe("planted::misaligned_vector", &sanitize);
    assert!(!outcome.success);
    assert!(outcome.stderr.contains("misaligned address"), "{}", outcome.stderr);
    probe("probe::reduction", &sanitize).expect_success();
    probe("probe::cooperative", &sanitize).expect_success();
}

#[test]
fn a_write_past_shared_memory_is_found() {
    if can_build(test_name!()) {
        let outcome = probe("planted::write_past_shared_memory", &[]).expect_success();
        assert_eq!(outcome.value("error"), "CUDA_ERROR_ILLEGAL_ADDRESS");
        outcome.expect_line(&["kernel shared_overrun", "static shared array of 128 bytes"]);
    }
}

#[test]
fn memory_that_nobody_wrote_makes_the_result_nan_even_through_a_relu() {
    if can_build(test_name!()) {
        let outcome = probe("planted::uninitialised_read", &[]).expect_success();
        assert_eq!(outcome.value("nan"), "global true, shared true, after relu true");
    }
}

#[test]
fn a_wrong_argument_is_refused_by_kernel_and_number() {
    if can_build(test_name!()) {
        let outcome = probe("planted::wrong_argument", &[]).expect_success();
        assert_eq!(outcome.value("number for a pointer"), "CUDA_ERROR_INVALID_VALUE");
        assert_eq!(outcome.value("freed memory"), "CUDA_ERROR_INVALID_VALUE");
        assert_eq!(outcome.value("too many threads"), "CUDA_ERROR_INVALID_VALUE");
        let outcome = outcome.expect_line(&["launch of scale", "argument 1", "no live allocation"]);
        outcome.expect_line(&["__launch_bounds__"]);
    }
}

#[test]
fn a_compile_error_names_the_file_and_line_of_the_source() {
    if can_build(test_name!()) {
        let outcome = probe("planted::compile_errors", &[]).expect_success();
        assert!(outcome.value("source").starts_with("bad.cu(5): error: "), "{}", outcome.stdout);
        assert!(outcome.value("header").starts_with("common.cuh(2): error: "), "{}", outcome.stdout);
        assert!(
            outcome.value("option").contains("unrecognized option --no-such-option"),
            "{}",
            outcome.stdout
        );
    }
}

#[test]
fn a_module_for_another_chip_is_refused() {
    if can_build(test_name!()) {
        let outcome = probe("planted::wrong_chip", &[("STANDIN_CC", "8.6")]).expect_success();
        assert_eq!(outcome.value("sm_90"), "CUDA_ERROR_NO_BINARY_FOR_GPU");
        assert_eq!(outcome.value("sm_80"), "none");
        assert_eq!(outcome.value("compute_75"), "none");
    }
}

#[test]
fn failures_of_device_threads_are_named_and_stick() {
    if !can_build(test_name!()) {
        return;
    }
    let cases: [(&str, &str, &[&str]); 6] = [
        ("exited_lane", "CUDA_ERROR_LAUNCH_FAILED", &["fail.cu:3", "lane 5, which has exited"]),
        ("two_barriers", "CUDA_ERROR_LAUNCH_FAILED", &["fail.cu:3", "fail.cu:5"]),
        ("lone_spinner", "CUDA_ERROR_LAUNCH_TIMEOUT", &["spins at fail.cu:3"]),
        (
            "assertion",
            "CUDA_ERROR_ASSERT",
            &["thread (7,0,0)", "fail.cu:3", "assertion `threadIdx.x != 7` failed"],
        ),
        ("trap", "CUDA_ERROR_LAUNCH_FAILED", &["fail.cu:3", "__trap()"]),
        ("deep_recursion", "CUDA_ERROR_LAUNCH_FAILED", &["stack", "overflowed"]),
    ];
    for (name, error, words) in cases {
        let outcome = probe("planted::failures", &[("PROBE_KERNEL", name)]).expect_success();
        assert_eq!(outcome.value("error"), error, "{name}: {}", outcome.stderr);
        assert_eq!(outcome.value("then"), error, "{name}");
        outcome.expect_line(words);
    }
}

#[test]
fn a_thread_that_has_exited_counts_as_arrived_at_a_barrier() {
    if can_build(test_name!()) {
        for order in ORDERS {
            let environment = [("PROBE_KERNEL", "exit_before_barrier"), ("STANDIN_ORDER", order)];
            let outcome = probe("planted::failures", &environment).expect_success();
            assert_eq!(outcome.value("error"), "none", "{}", outcome.stderr);
        }
    }
}

#[test]
fn memory_runs_out_where_it_is_told_to() {
    if can_build(test_name!()) {
        let outcome = probe("planted::out_of_memory", &[("STANDIN_MEMORY", "1000000")]).expect_success();
        assert_eq!(outcome.value("second allocation"), "CUDA_ERROR_OUT_OF_MEMORY");
    }
}

#[test]
fn the_launch_that_is_told_to_fail_fails_for_good() {
    if can_build(test_name!()) {
        let outcome = probe("planted::fault", &[("STANDIN_FAULT", "3")]).expect_success();
        assert_eq!(
            outcome.value("errors"),
            "none none CUDA_ERROR_ILLEGAL_ADDRESS CUDA_ERROR_ILLEGAL_ADDRESS"
        );
    }
}

#[test]
fn work_that_waits_for_synchronisation_shows_a_missing_one() {
    if can_build(test_name!()) {
        let eager = probe("planted::read_too_early", &[]).expect_success();
        assert_eq!(eager.value("read"), "before 7, after 7");
        let lazy = probe("planted::read_too_early", &[("STANDIN_LAZY", "1")]).expect_success();
        assert_eq!(lazy.value("read"), "before 0, after 7");
    }
}

#[test]
fn a_call_that_is_not_there_says_its_name() {
    if can_build(test_name!()) {
        let outcome = probe("planted::unsupported_call", &[]).expect_success();
        assert_eq!(outcome.value("error"), "CUDA_ERROR_NOT_SUPPORTED");
        outcome.expect_line(&["cuTexRefCreate is not supported"]);
    }
}

#[test]
fn a_machine_without_device_driver_or_compiler_library_can_be_told() {
    if !can_build(test_name!()) {
        return;
    }
    let outcome = probe("planted::missing_parts", &[("STANDIN_DEVICES", "0")]).expect_success();
    assert_eq!(outcome.value("driver"), "CUDA_ERROR_NO_DEVICE");
    let outcome = probe("planted::missing_parts", &[("STANDIN_NO_NVRTC", "1")]).expect_success();
    assert_eq!(outcome.value("driver"), "ready");
    if outcome.value("nvrtc") != "panicked" {
        skipped!("a missing NVRTC: this machine has one of its own");
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env_remove("LD_LIBRARY_PATH");
    let outcome = run_probe(command, "planted::missing_parts", &[]).expect_success();
    if outcome.value("driver") != "panicked" {
        skipped!("a missing driver: this machine has one of its own");
    }
}
