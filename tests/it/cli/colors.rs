//! Colors: on a terminal, unless the environment forbids them, and nowhere else.

use std::process::{Command, Stdio};

use crate::cli::completions::commands;
use crate::cli::program::{Place, Run};

const ESCAPE: char = '\u{1b}';

/// Variables that say something about colors.
const VARIABLES: [&str; 4] = ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CI"];

/// What a command writes to a terminal, which is its standard output and standard error.
fn on_terminal(place: &Place, line: &str, environment: &[(&str, &str)]) -> Option<String> {
    let body = "import pty, sys; pty.spawn(sys.argv[1:])";
    let mut python = Command::new("python3");
    python.args(["-c", body, env!("CARGO_BIN_EXE_msdcam")]).args(line.split(' ')).current_dir(place.path());
    for name in VARIABLES {
        python.env_remove(name);
    }
    let output =
        python.env("TERM", "xterm").envs(environment.iter().copied()).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then_some(text)
}

#[test]
fn a_terminal_gets_colors_unless_the_environment_forbids_them() {
    let place = Place::new();
    if on_terminal(&place, "--version", &[]).is_none_or(|text| !text.contains("msdcam")) {
        return skipped!("colors on a terminal: needs python3 with its module pty");
    }
    for line in ["--help", "explain --help", "classify missing.png", "classify --nothing", "doctor"] {
        let text = on_terminal(&place, line, &[]).unwrap();
        assert!(text.contains(ESCAPE), "{line}: {text:?}");
        for forbidden in [("NO_COLOR", "1"), ("TERM", "dumb")] {
            let text = on_terminal(&place, line, &[forbidden]).unwrap();
            assert!(!text.is_empty() && !text.contains(ESCAPE), "{line} with {forbidden:?}: {text:?}");
        }
    }
    let error = on_terminal(&place, "classify missing.png", &[]).unwrap();
    assert!(error.contains("\u{1b}[1m\u{1b}[31merror:\u{1b}[0m missing.png"), "{error:?}");
}

#[test]
fn without_a_terminal_nothing_has_colors() {
    let place = Place::new();
    let helps = commands(&place).into_iter().map(|name| format!("{name} --help"));
    let others = ["--help", "help", "classify missing.png", "explain --nothing", "doctor", "methods", "man"];
    for line in helps.chain(others.map(String::from)) {
        let mut command = place.command(&line.split(' ').collect::<Vec<_>>());
        for name in VARIABLES {
            command.env_remove(name);
        }
        let run: Run = command.env("TERM", "xterm-256color").output().unwrap().into();
        assert!(!run.stdout.contains(ESCAPE) && !run.stderr.contains(ESCAPE), "{line}: {run:?}");
    }
}
