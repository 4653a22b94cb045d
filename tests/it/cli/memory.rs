//! Memory that the system refuses: one line, an exit code, no abort.

use std::process::Command;

use crate::cli::program::{Place, Run};

/// Runs the program in `place` with at most `kib` of address space.
fn within(place: &Place, kib: usize, line: &str) -> std::process::Output {
    let program = place.command::<&str>(&[]);
    let limited = format!("ulimit -v {kib} && exec timeout 20 \"$0\" {line}");
    let mut shell = Command::new("sh");
    shell.current_dir(place.path()).args(["-c", &limited]).arg(program.get_program());
    shell.env_remove("RUST_BACKTRACE").output().unwrap()
}

#[test]
fn memory_that_is_refused_is_one_line() {
    let place = Place::new();
    place.cat("cat.png");
    for line in ["classify cat.png -q", "explain cat.png -q --exits 1 -o out"] {
        let mut refused = 0;
        for kib in (30_000..=150_000).step_by(10_000) {
            let output = within(&place, kib, line);
            // What starts the program may need more than that: the exit codes of the shell and the loader.
            if matches!(output.status.code(), Some(126 | 127)) {
                continue;
            }
            let run = Run::from(output);
            assert!([0, 4, 5, 6].contains(&run.code), "{line} in {kib} KiB: {run:?}");
            assert!(run.code == 0 || run.stderr.lines().count() == 1, "{line} in {kib} KiB: {run:?}");
            refused += usize::from(run.code != 0);
        }
        assert!(refused > 0, "{line} needs less than the least limit");
    }
}
