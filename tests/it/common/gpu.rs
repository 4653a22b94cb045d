//! Tests on a GPU or on the stand-in driver (`tests/standin`).
//!
//! With `MSDCAM_CUDA_TESTS=gpu` a test uses the real driver in its own process. Without it, the test runs
//! itself again in a new process under the stand-in.

use std::process::{Command, Output};

use super::golden::repository;
use super::process::{only, passed};

const VARIABLE: &str = "MSDCAM_CUDA_TESTS";

/// Whether this process may call the CUDA driver.
pub fn at_hand() -> bool {
    std::env::var_os(VARIABLE).is_some()
}

/// Whether the driver is a real one.
pub fn is_real() -> bool {
    std::env::var_os(VARIABLE).is_some_and(|kind| kind == "gpu")
}

/// Runs `body` on the driver at hand; elsewhere runs the test `name` again under the stand-in.
pub fn on_gpu(name: &str, body: impl FnOnce()) {
    if at_hand() {
        body();
    } else if standin_works(name) {
        passed(name, standin(name, &[]));
    }
}

/// As [`on_gpu`], with settings of the stand-in that a real driver does not have: skipped there.
pub fn on_standin(name: &str, settings: &[(&str, &str)], body: impl FnOnce()) {
    if is_real() {
        skipped!("{name}: needs the stand-in driver");
    } else if at_hand() {
        body();
    } else if standin_works(name) {
        passed(name, standin(name, settings));
    }
}

/// What the test `name` of this program prints under the stand-in with `settings`.
pub fn standin(name: &str, settings: &[(&str, &str)]) -> Output {
    let mut command = Command::new(repository("tests/standin/run"));
    command.arg(std::env::current_exe().unwrap());
    as_standin(only(&mut command, name)).envs(settings.iter().copied()).output().unwrap()
}

/// Gives `command` the stand-in's kernels, and no others.
pub fn as_standin(command: &mut Command) -> &mut Command {
    // A cache of its own: its machine code is not that of a GPU.
    let cache = repository("target/standin-kernels");
    command.env(VARIABLE, "standin").env("XDG_CACHE_HOME", cache).env_remove("MSDCAM_NVRTC")
}

/// Whether the stand-in can be built here; says by name what is skipped if not.
pub fn standin_works(name: &str) -> bool {
    let works = Command::new("g++").arg("--version").output().is_ok_and(|output| output.status.success());
    if !works {
        skipped!("{name}: the stand-in driver needs g++");
    }
    works
}
