//! Tests in processes of their own: this executable again, with one test.

use std::ffi::OsStr;
use std::process::{Child, Command, Output};

/// Set in a process that [`alone`] started.
const ALONE: &str = "MSDCAM_TEST_ALONE";

/// The full name of the test in which it is used, as the test harness knows it: `cuda::print_hash`.
macro_rules! test_name {
    () => {{
        fn here() {}
        $crate::common::process::name_of_test(std::any::type_name_of_val(&here))
    }};
}

/// `it::cuda::print_hash::here` without its first and last part.
pub fn name_of_test(path: &'static str) -> &'static str {
    let name = path.split_once("::").and_then(|(_, path)| path.rsplit_once("::"));
    name.expect("crate, test and function").0
}

/// Runs `body` in a process in which no other test runs: the test `name` runs again there. For what
/// is counted or set for a whole process.
pub fn alone(name: &str, body: impl FnOnce()) {
    if std::env::var_os(ALONE).is_some() {
        return body();
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    passed(name, only(&mut command, name).env(ALONE, "1").output().unwrap());
}

/// Arguments for `command`, which ends with the path of this executable: the one test `name`.
pub fn only(command: &mut Command, name: impl AsRef<OsStr>) -> &mut Command {
    command.arg(name).args(["--exact", "--nocapture", "--include-ignored"])
}

/// Panics unless the test that `output` comes from passed; gives what it printed.
#[track_caller]
pub fn passed(name: &str, output: Output) -> String {
    let [out, err] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(output.status.success() && out.contains("1 passed"), "{name} in its own process:\n{out}\n{err}");
    out
}

/// Peak memory of process `id` so far, in KiB; `None` once it has ended.
#[cfg(target_os = "linux")]
pub fn peak_so_far(id: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// Peak memory of a process that succeeds, in KiB, sampled until it ends.
#[cfg(target_os = "linux")]
pub fn peak(mut child: Child) -> u64 {
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        peak = peak_so_far(child.id()).unwrap_or(0).max(peak);
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert!(child.wait().unwrap().success());
    peak
}
