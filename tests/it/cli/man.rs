//! `msdcam man`: manual pages.

use std::process::{Command, Stdio};

use crate::cli::completions::commands;
use crate::cli::program::Place;

/// What `program` says of the page `name` in `place`; `None` where it is not installed.
fn said(place: &Place, program: &[&str], name: &str) -> Option<String> {
    let mut command = Command::new(program[0]);
    command.current_dir(place.path()).args(&program[1..]).arg(name).env("LC_ALL", "C.UTF-8");
    let output = command.stdin(Stdio::null()).output().ok()?;
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    Some(String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn a_folder_gets_the_page_of_every_command_without_warnings() {
    let place = Place::new();
    let mut names: Vec<String> = commands(&place).iter().map(|name| format!("msdcam-{name}.1")).collect();
    names.push("msdcam.1".into());
    names.sort();
    let run = place.msdcam("man -o share/man1");
    let expected = format!("share/man1: {} manual pages\n", names.len());
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (0, expected.as_str(), ""));
    assert_eq!(place.names("share/man1"), names);
    // Again, over the pages that are there.
    assert_eq!(place.msdcam("man -o share/man1").code, 0);
    assert_eq!(place.names("share/man1"), names);
    let linters: [&[&str]; 2] =
        [&["mandoc", "-Tlint", "-Wwarning"], &["groff", "-man", "-ww", "-Tutf8", "-z"]];
    for linter in linters {
        for name in &names {
            let Some(said) = said(&place, linter, &format!("share/man1/{name}")) else {
                skipped!("manual pages: {} is not installed", linter[0]);
                break;
            };
            // A page has no date, so that the same source always gives the same page.
            let warnings =
                said.lines().filter(|line| !line.ends_with("WARNING: missing date, using \"\": TH"));
            assert_eq!(warnings.collect::<Vec<_>>(), [""; 0], "{}: {name}", linter[0]);
        }
    }
}

#[test]
fn a_page_says_what_the_help_says() {
    let place = Place::new();
    for name in commands(&place) {
        let run = place.msdcam(&format!("man {name}"));
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
        let page = run.stdout.replace("\\-", "-").replace("\\*(Aq", "'");
        assert!(page.starts_with(&format!(".TH msdcam-{name} 1 ")), "{page}");
        for section in
            ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "\"EXIT STATUS\"", "EXAMPLES", "\"SEE ALSO\""]
        {
            assert!(page.contains(&format!(".SH {section}\n")), "{name}: {section}: {page}");
        }
        let help = place.msdcam(&format!("{name} --help")).stdout;
        for word in help.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 4) {
            let option = word.split(['=', '[', ']', ',', ';', '.', '`', ')']).next().unwrap();
            assert!(page.contains(option), "{name}: {option}");
        }
    }
    let run = place.msdcam("man");
    assert!(run.stdout.starts_with(".TH msdcam 1 "), "{run:?}");
    for name in commands(&place) {
        assert!(run.stdout.contains(&format!("msdcam\\-{name}(1)")), "{name}");
    }
}

#[test]
fn what_cannot_be_written_or_is_no_command_is_refused() {
    let place = Place::new();
    place.write("file", b"");
    place.write("others/msdcam-explain.1", b".TH other 1\n");
    place
        .msdcam("man -o others")
        .refused(2, &["msdcam-explain.1: is there, and not a manual page of msdcam"]);
    assert_eq!(place.names("others"), ["msdcam-explain.1"], "the others are not written either");
    place.msdcam("man -o file").refused(6, &["file: cannot write"]);
    place.msdcam("man -o file/below").refused(6, &["file"]);
    place.msdcam("man explian").refused(2, &["'explian'", "explain, merge"]);
    place.msdcam("man explain -o out").refused(2, &["cannot be used with"]);
    assert!(!place.path().join("out").exists());
}
