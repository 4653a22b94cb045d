//! The documents: their commands run, their links lead somewhere, and what they state twice is the same.

mod commands;
mod links;
mod markdown;
mod place;
mod worked_examples;

use std::path::PathBuf;
use std::sync::Mutex;

use serde_json::Value;

use crate::common::golden::repository;
use commands::{Command, why_not_run};
use place::Page;

/// The documents whose commands run: those of a user, not those of a developer.
fn with_commands() -> Vec<String> {
    let mut found = vec!["README.md".to_string(), "python/README.md".to_string()];
    found.extend(manual().into_iter().map(|name| format!("docs/{name}")));
    found
}

/// Names of the pages in `docs/`, sorted.
fn manual() -> Vec<String> {
    let entries = std::fs::read_dir(repository("docs")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.ends_with(".md"));
    names.sort();
    assert!(names.len() > 15, "{names:?}");
    names
}

fn text(document: &str) -> String {
    let path = repository(document);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[cfg(unix)]
#[test]
fn every_command_runs_and_prints_what_the_document_says() {
    let documents = with_commands();
    let commands: Vec<Vec<Command>> = documents.iter().map(|name| commands::of(&text(name))).collect();
    let count = commands.iter().map(Vec::len).sum::<usize>();
    assert!(count > 50, "only {count} commands");
    commands::every_reason_is_needed(commands.iter().flatten());

    let next = Mutex::new(documents.iter().zip(&commands));
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for number in 0..std::thread::available_parallelism().map_or(2, |n| n.get().min(8)) {
            let (next, wrong) = (&next, &wrong);
            scope.spawn(move || {
                // Its commands take one thread each: threads that wait for others slow all of them down.
                place::pin(number);
                loop {
                    let Some((document, commands)) = next.lock().unwrap().next() else { break };
                    let found = run(document, commands);
                    wrong.lock().unwrap().extend(found);
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Runs the commands of a document, one after another in a folder of its own; what went wrong.
#[cfg(unix)]
fn run(document: &str, commands: &[Command]) -> Vec<String> {
    let page = Page::new();
    let mut wrong = Vec::new();
    for command in commands {
        if let Some(why) = why_not_run(&command.line) {
            skipped!("docs: {}: {why}", command.line);
            continue;
        }
        let run = page.run(&command.line);
        let what = format!("{document}, line {}: {}", command.number, command.line);
        if run.code != Some(0) {
            wrong.push(format!("{what}\nexit code {:?}\n{}{}", run.code, run.stdout, run.stderr));
        } else if let Some(printed) = &command.prints
            && !commands::prints_as(&run.stdout, printed)
        {
            wrong.push(format!("{what}\nprints\n{}not\n{printed}", run.stdout));
        }
    }
    wrong
}

#[cfg(unix)]
#[test]
fn r_reads_the_arrays_of_a_run() {
    if std::process::Command::new("Rscript").arg("--version").output().is_err() {
        skipped!("docs: the arrays of a run in R: no Rscript");
        return;
    }
    let document = text("docs/datasets.md");
    let fences = markdown::fences(&document);
    let code =
        &fences.iter().find(|fence| fence.language == "r").expect("docs/datasets.md has a fence of R").text;
    let page = Page::new();
    assert_eq!(page.run("msdcam explain photos -o run --pictures none --quiet").code, Some(0));
    let shown = "cat(dim(cam), sprintf('%.9g', cam[2, 10, 3, 4]), npy('run/arrays/class.npy')[2, ], \
                 dim(npy('run/arrays/input.npy')), npy('run/arrays/state.npy'))";
    page.write("read.R", format!("{code}\n{shown}\n"));
    let run = page.run("Rscript read.R");
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));

    let results = page.run("cat run/results.jsonl").stdout;
    let second: Value = serde_json::from_str(results.lines().nth(1).unwrap()).unwrap();
    let classes: Vec<String> =
        second["exits"].as_array().unwrap().iter().map(|exit| exit["class"].to_string()).collect();
    // Of (image, exit, row, column), 8 x 8 cells of four bytes behind a header of 128.
    let bytes = page.read("run/arrays/cam.npy");
    let at = 128 + 4 * (((10 + 9) * 8 + 2) * 8 + 3);
    let value = f32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let found: Vec<&str> = run.stdout.split(' ').collect();
    assert_eq!(found[..4], ["6", "10", "8", "8"]);
    assert_eq!(found[4].parse::<f32>().unwrap(), value);
    assert_eq!(found[5..15], classes);
    assert_eq!(found[15..], ["6", "32", "32", "3", "2", "2", "2", "2", "2", "2"]);
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for path in links::documents(&repository("")) {
        let document = std::fs::read_to_string(&path).unwrap();
        for link in markdown::links(&document) {
            count += 1;
            if let Err(why) = links::check(&path, &document, &link.target) {
                let name = path.strip_prefix(repository("")).unwrap_or(&path).display().to_string();
                wrong.push(format!("{name}, line {}: {}: {why}", link.line, link.target));
            }
        }
    }
    assert!(count > 200, "only {count} links");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_page_of_the_manual_is_in_its_table_and_ends_with_what_comes_next() {
    let contents = text("docs/README.md");
    let mut wrong = Vec::new();
    for name in manual().iter().filter(|name| *name != "README.md") {
        if !markdown::links(&contents).iter().any(|link| link.target == *name) {
            wrong.push(format!("docs/README.md does not link to {name}"));
        }
        let page = text(&format!("docs/{name}"));
        let last = page.trim_end().rsplit("\n\n").next().unwrap_or_default();
        if !last.starts_with("Next: ") || markdown::links(last).is_empty() {
            wrong.push(format!("docs/{name} does not end with \"Next: \" and links: {last:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_library_snippet_is_the_same_in_both_places() {
    let snippet = |document: &str| {
        let text = text(document);
        let start = text.find("<!-- library snippet").unwrap_or_else(|| panic!("{document}: no snippet"));
        let snippet = &text[start..];
        let code = snippet.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next());
        code.unwrap_or_else(|| panic!("{document}: no code")).to_string()
    };
    assert_eq!(snippet("README.md"), snippet("docs/library.md"));
}

#[test]
fn the_citation_is_of_this_version() {
    let citation = text("CITATION.cff");
    let version = citation.lines().find_map(|line| line.strip_prefix("version: "));
    assert_eq!(version, Some(env!("CARGO_PKG_VERSION")));
}

#[test]
fn code_that_a_document_shows_from_a_file_is_there() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for document in with_commands() {
        let page = text(&document);
        for part in page.split("<!-- from: ").skip(1) {
            let (file, rest) = part.split_once(" -->\n```").unwrap_or_else(|| panic!("{document}: {part}"));
            let code =
                rest.split_once('\n').and_then(|(_, rest)| rest.split_once("```")).map(|(code, _)| code);
            count += 1;
            if !text(file).contains(code.unwrap()) {
                wrong.push(format!("{document}: not in {file}:\n{}", code.unwrap()));
            }
        }
    }
    assert!(count > 3, "only {count} pieces of code");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_result_of_a_benchmark_says_on_what_it_was_measured() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for entry in std::fs::read_dir(repository("benches/results")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|kind| kind != "json") {
            continue;
        }
        let results: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let machine = &results["machine"];
        let missing = |fact: &&str| results[*fact].is_null() && machine[*fact].is_null();
        let missing: Vec<_> = ["cpu", "date", "commit"].into_iter().filter(missing).collect();
        if !missing.is_empty() || (machine["device"].is_null() && machine["system"].is_null()) {
            wrong.push(format!("{}: {missing:?}, {machine}", path.display()));
        }
        count += 1;
    }
    assert!(count > 3, "only {count} results");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The path of the program, which `tests/it` may have been built beside.
fn program() -> PathBuf {
    env!("CARGO_BIN_EXE_msdcam").into()
}
