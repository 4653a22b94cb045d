//! `msdcam completions`: the scripts, and what shells complete with them.

use std::path::Path;
use std::process::Command;

use crate::cli::program::{Place, Run};

const SHELLS: [&str; 5] = ["bash", "elvish", "fish", "powershell", "zsh"];

/// The names of all commands, from the help of the program.
pub fn commands(place: &Place) -> Vec<String> {
    let help = place.msdcam("--help").stdout;
    let list = help.split("\nCommands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names = list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names: Vec<String> = names.map(|line| line.split_whitespace().next().unwrap().into()).collect();
    assert!(names.len() > 14 && names.last().is_some_and(|name| name == "help"), "{names:?}");
    names[..names.len() - 1].to_vec()
}

fn has(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// The script of `shell` as a file.
fn script(place: &Place, shell: &str) -> String {
    let run = place.msdcam(&format!("completions {shell}"));
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
    place.write(shell, run.stdout.as_bytes());
    place.path().join(shell).to_str().unwrap().into()
}

#[test]
fn every_script_names_every_command_and_option() {
    let place = Place::new();
    for shell in SHELLS {
        let script = std::fs::read_to_string(script(&place, shell)).unwrap();
        for word in commands(&place).iter().map(String::as_str).chain(["method", "layer-cam", "early-exit"]) {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    place.msdcam("completions cmd").refused(2, &["'cmd'", "bash"]);
}

/// Command lines, and a word with which the last of each is completed.
const LINES: [(&str, &str); 5] = [
    ("msdcam exp", "explain"),
    ("msdcam explain --meth", "--method"),
    ("msdcam explain --method layer", "layer-cam"),
    ("msdcam methods grad-cam-", "grad-cam-elementwise"),
    ("msdcam man exp", "explain"),
];

fn ended(mut command: Command, place: &Place) -> Run {
    command.current_dir(place.path()).env("HOME", place.path()).output().unwrap().into()
}

#[test]
fn bash_completes_commands_options_and_values() {
    if !has("bash") {
        return skipped!("completions of bash: it is not installed");
    }
    let place = Place::new();
    let script = script(&place, "bash");
    for (line, word) in LINES {
        let mut bash = Command::new("bash");
        let body = "source \"$1\"; COMP_WORDS=($2); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); \
                    _msdcam msdcam \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD - 1]}\"; \
                    printf '%s\\n' \"${COMPREPLY[@]}\"";
        bash.args(["--norc", "-c", body, "bash", &script, line]);
        let run = ended(bash, &place);
        assert!(run.stdout.lines().any(|found| found == word), "{line}: {run:?}");
    }
}

#[test]
fn fish_completes_commands_options_and_values() {
    if !has("fish") {
        return skipped!("completions of fish: it is not installed");
    }
    let place = Place::new();
    let script = script(&place, "fish");
    // The script has no values of arguments without an option.
    for (line, word) in &LINES[..3] {
        let mut fish = Command::new("fish");
        fish.args(["--no-config", "-c", "source $argv[1]; complete -C $argv[2]", &script, line]);
        let run = ended(fish, &place);
        assert!(run.stdout.lines().any(|found| found.split('\t').next() == Some(*word)), "{line}: {run:?}");
    }
}

#[test]
fn zsh_completes_commands_options_and_values() {
    if !has("zsh") {
        return skipped!("completions of zsh: it is not installed");
    }
    let place = Place::new();
    let script = script(&place, "zsh");
    // A shell on a terminal of its own; `complete` is a key that completes and then prints the line.
    let body = "zmodload zsh/zpty || exit 9; zpty shell zsh -f -i; \
                zpty -w shell 'PS1=; stty -echo; autoload -Uz compinit; compinit -D -u; source '\"$1\"; \
                zpty -w shell 'shown() { zle expand-or-complete; print -r -- \"<$BUFFER>\" }; zle -N shown; bindkey \"^T\" shown; \
                print ready'; \
                zpty -r shell out '*ready*'; zpty -w -n shell \"$2\"$'\\x14'; zpty -r shell out '*<*>*'; print -r -- \"$out\"";
    for (line, word) in LINES {
        let mut zsh = Command::new("timeout");
        zsh.args(["60", "zsh", "-f", "-c", body, "zsh", &script, line]);
        let output = zsh.current_dir(place.path()).env("HOME", place.path()).output().unwrap();
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        let completed = shown.rsplit_once('<').map_or("", |(_, end)| end.split('>').next().unwrap_or(""));
        assert!(
            completed.trim_end().trim_end_matches('=').split(' ').next_back() == Some(word),
            "{line}: {shown:?}"
        );
    }
}

#[test]
fn a_script_is_the_same_every_time() {
    let place = Place::new();
    let [first, second] = [(); 2].map(|()| std::fs::read(Path::new(&script(&place, "bash"))).unwrap());
    assert!(first == second);
}
