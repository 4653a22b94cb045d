//! Resuming a run, and refusing to.

use std::fs;
use std::sync::Arc;

use msdcam::Result;
use msdcam::run::{Opened, RunSpec, Shard};
use serde_json::{Value, json};

use crate::run::work::{BAD, Fault, Faulty, IMAGES, Job, Quick, contents, exit_code, new_folder, whole};

fn job(shard: Shard) -> Job {
    Job::new(Arc::new(Quick), shard)
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T>, code: u8, parts: &[&str]) {
    let error = result.unwrap_err();
    assert_eq!(exit_code(&error), code, "{error}");
    assert!(parts.iter().all(|part| error.to_string().contains(part)), "{parts:?} expected in {error}");
}

#[test]
fn results_are_in_set_order_and_failures_are_listed() {
    let folder = new_folder();
    whole(folder.path());
    let files = contents(folder.path());
    let rows = |name: &str| -> Vec<Value> {
        files[std::path::Path::new(name)].lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    assert_eq!(rows("results.jsonl").len(), IMAGES);
    assert_eq!(rows("results.jsonl")[3]["p"], 0.3);
    let failed = rows("failed.jsonl");
    assert_eq!(failed.len(), BAD.len());
    assert_eq!((&failed[0]["error"], &failed[1]["error"]), (&json!("bad \"2\""), &json!("bad \"6\"")));
    let manifest: Value = serde_json::from_str(&files[std::path::Path::new("manifest.json")]).unwrap();
    assert_eq!(manifest["weights"], json!({"sha256": "0a", "file": "w"}));
    assert_eq!((&manifest["images"], &manifest["failed"]), (&json!(IMAGES), &json!(BAD.len())));
    let mut others: Vec<String> = files.keys().map(|name| name.to_string_lossy().into_owned()).collect();
    others.retain(|name| !name.starts_with("images/0000/00000"));
    assert_eq!(others, ["failed.jsonl", "manifest.json", "results.jsonl"]);
}

#[test]
fn a_finished_run_is_not_changed() {
    let folder = new_folder();
    let summary = whole(folder.path());
    let before = contents(folder.path());
    let mut again = job(Shard::WHOLE);
    assert_eq!(again.run(folder.path()).unwrap(), summary);
    assert!(again.worked_on.is_empty());
    assert_eq!(contents(folder.path()), before);
}

#[test]
fn only_failures_are_retried_and_only_on_request() {
    let expected = new_folder();
    Job { mended: true, ..job(Shard::WHOLE) }.run(expected.path()).unwrap();
    let folder = new_folder();
    whole(folder.path());
    let mut still_bad = Job { retry_failed: true, ..job(Shard::WHOLE) };
    assert_eq!(still_bad.run(folder.path()).unwrap().failed, BAD.len());
    assert_eq!(still_bad.worked_on.len(), BAD.len());
    let mut mended = Job { mended: true, retry_failed: true, ..job(Shard::WHOLE) };
    assert_eq!(mended.run(folder.path()).unwrap().failed, 0);
    assert_eq!(mended.worked_on.len(), BAD.len());
    assert_eq!(contents(folder.path()), contents(expected.path()));
}

#[test]
fn other_settings_are_refused_with_each_difference() {
    for calls in [25, usize::MAX] {
        let folder = new_folder();
        let ended = Job::new(Faulty::new(Fault::KilledAfter, calls), Shard::WHOLE).run(folder.path());
        assert_eq!(ended.is_ok(), calls == usize::MAX);
        let before = contents(folder.path());
        let with = |key: &str, value: Value| {
            let mut other = job(Shard::WHOLE);
            other.spec.settings[key] = value;
            other.run(folder.path())
        };
        refused(
            with("colormap", json!("viridis")),
            2,
            &["colormap: the run has jet, asked for viridis (choose"],
        );
        refused(
            with("weights", json!({"sha256": "0b"})),
            2,
            &["weights.sha256: the run has 0a, asked for 0b"],
        );
        refused(with("select", json!("right@1")), 2, &["select: the run has none, asked for right@1"]);
        refused(with("colormap", Value::Null), 2, &["colormap: the run has jet, asked for none"]);
        assert_eq!(contents(folder.path()), before);
        // Metadata are not settings.
        let mut same = job(Shard::WHOLE);
        same.spec = RunSpec { metadata: json!({"weights": {"file": "v"}}), ..same.spec };
        same.run(folder.path()).unwrap();
        assert!(contents(folder.path())[std::path::Path::new("manifest.json")].contains(r#""file": "w""#));
    }
}

#[test]
fn a_run_is_locked_against_other_processes() {
    let folder = new_folder();
    let run = job(Shard::WHOLE).open(folder.path()).unwrap();
    let me = format!("in use by process {} on ", std::process::id());
    refused(job(Shard::WHOLE).open(folder.path()), 6, &[&me, " since 20"]);
    drop(run);
    assert!(matches!(job(Shard::WHOLE).open(folder.path()).unwrap(), Opened::InProgress(_)));
}

#[test]
fn shards_of_different_divisions_are_refused() {
    let shard = |index, count| Shard::new(index, count).unwrap();
    let folder = new_folder();
    let path = folder.path();
    let first = job(shard(1, 2)).open(path).unwrap();
    let second = job(shard(2, 2)).open(path).unwrap();
    refused(job(shard(1, 2)).open(path), 6, &["in use by"]);
    refused(job(shard(1, 3)).open(path), 2, &["shard 1/2 is here, asked for shard 1/3"]);
    refused(job(Shard::WHOLE).open(path), 2, &["shard 1/2 is here; `msdcam merge`"]);
    drop((first, second));
    let other = new_folder();
    let _whole = job(Shard::WHOLE).open(other.path()).unwrap();
    refused(job(shard(1, 2)).open(other.path()), 2, &["a run of the whole set is in progress here"]);
}

#[test]
fn damaged_runs_are_refused() {
    let folder = new_folder();
    let path = folder.path().join("file");
    fs::write(&path, "x").unwrap();
    refused(job(Shard::WHOLE).open(&path), 6, &["is a file, expected a folder"]);
    fs::write(folder.path().join("manifest.json"), "x").unwrap();
    refused(job(Shard::WHOLE).open(folder.path()), 4, &["manifest.json: JSON: "]);
    fs::write(folder.path().join("manifest.json"), "{}").unwrap();
    refused(job(Shard::WHOLE).open(folder.path()), 4, &["manifest.json: images: is missing"]);
    fs::remove_file(folder.path().join("manifest.json")).unwrap();
    fs::write(folder.path().join("journal.jsonl"), "x\n").unwrap();
    refused(job(Shard::WHOLE).open(folder.path()), 4, &["journal.jsonl: line 1: not the journal"]);
    let newer = r#"{"journal":2,"shard":"1/1","images":7,"settings":{},"remarks":{}}"#;
    fs::write(folder.path().join("journal.jsonl"), newer.to_string() + "\n").unwrap();
    refused(job(Shard::WHOLE).open(folder.path()), 4, &["journal version 2, this program supports 1"]);
}
