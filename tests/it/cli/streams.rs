//! Standard output and standard error: what goes where, and closed or full streams.

use std::process::Stdio;

use crate::cli::program::{Place, Run};

#[test]
fn the_device_is_named_on_standard_error_unless_quiet() {
    let place = Place::new();
    place.cat("cat.png");
    let run = place.msdcam("classify cat.png --device cpu --threads 1");
    assert!(run.stderr.starts_with("device: cpu (1 thread, "), "{run:?}");
    let run = place.msdcam("classify cat.png --quiet");
    assert_eq!((run.code, run.stderr.as_str(), run.stdout.lines().count()), (0, "", 12), "{run:?}");
    let run = place.msdcam("explain cat.png --quiet --exits 1");
    assert_eq!((run.code, run.stderr.as_str(), run.stdout.as_str()), (0, "", ""), "{run:?}");
}

#[test]
fn no_progress_bar_and_no_color_without_a_terminal() {
    let place = Place::new();
    place.cat("cat.png");
    for args in ["classify cat.png cat.png cat.png", "classify", "--help", "classify nothing.png"] {
        let run: Run =
            place.command(&args.split(' ').collect::<Vec<_>>()).env("TERM", "xterm").output().unwrap().into();
        assert!(!run.stdout.contains('\u{1b}') && !run.stderr.contains('\u{1b}'), "{run:?}");
        assert!(!run.stderr.contains("images,"), "{run:?}");
    }
}

/// Every command that prints, with a file to read.
const PRINTING: [&str; 6] = [
    "explain cat.png --exits 1 -o out",
    "explain cat.png --exits 1 -o out --json",
    "classify cat.png cat.png cat.png cat.png cat.png",
    "bench --seconds 0.01",
    "--help",
    "explain --help",
];

#[test]
fn a_closed_pipe_is_not_an_error() {
    let place = Place::new();
    place.cat("cat.png");
    for line in PRINTING {
        let args: Vec<&str> = line.split(' ').collect();
        let mut command = place.command(&args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let run: Run = child.wait_with_output().unwrap().into();
        assert_eq!(run.code, 0, "{line}: {run:?}");
        assert!(!run.stderr.contains("error") && !run.stderr.contains("panicked"), "{line}: {run:?}");
    }
    assert!(place.names("out").contains(&"manifest.json".into()), "explain writes its files all the same");
}

#[test]
fn timings_go_to_standard_error_and_do_not_change_the_results() {
    let place = Place::new();
    place.cat("cat.png");
    let plain = place.msdcam("explain cat.png --exits 1 -o out --json --quiet");
    let timed = place.msdcam("explain cat.png --exits 1 -o out --json --quiet --timings");
    assert_eq!((timed.code, &timed.stdout), (0, &plain.stdout));
    let all = timed.stderr.lines().find(|line| line.starts_with("all ")).unwrap();
    let all: f64 = all.split_whitespace().last().unwrap().parse().unwrap();
    for stage in ["read the weights", "plan, pack", "decode", "run the network", "draw", "encode", "write"] {
        let row = timed.stderr.lines().find(|line| line.starts_with(stage)).unwrap();
        let times: Vec<f64> = row.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [from, to, _] = times[..] else { panic!("{row:?}") };
        assert!(0.0 <= from && from <= to && to <= all, "{row:?} of {all}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_standard_output_is_exit_code_6() {
    let place = Place::new();
    place.cat("cat.png");
    for line in PRINTING {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let args: Vec<&str> = line.split(' ').collect();
        let run: Run = place.command(&args).stdout(full).output().unwrap().into();
        run.refused(6, &["standard output: cannot write: ", "No space left"]);
    }
}

#[cfg(unix)]
#[test]
fn closed_standard_streams_do_not_panic() {
    let place = Place::new();
    place.cat("cat.png");
    let all = PRINTING.iter().map(|line| (*line, ">&-"));
    let worse = ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"].map(|redirect| (PRINTING[0], redirect));
    for (line, redirect) in all.chain(worse) {
        let script = format!("exec \"$0\" {line} {redirect}");
        let mut shell = std::process::Command::new("sh");
        shell.current_dir(place.path()).args(["-c", &script, env!("CARGO_BIN_EXE_msdcam")]);
        let run: Run = shell.output().unwrap().into();
        assert_eq!(run.code, 0, "{script}: {run:?}");
    }
}

#[test]
fn prints_the_version_of_the_package() {
    let run = Place::new().msdcam("--version");
    assert_eq!((run.code, run.stdout), (0, format!("msdcam {}\n", env!("CARGO_PKG_VERSION"))));
}
