//! Going on with a run, and refusing to.

use std::fs;
use std::sync::Arc;

use msdcam::Result;
use msdcam::run::{Opened, Plan, Shard};
use serde_json::{Value, json};

use crate::work::{BAD, Fault, Faulty, IMAGES, Job, Quick, contents, exit_code, new_folder, whole};

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
fn results_are_in_the_order_of_the_set_and_failures_have_a_list() {
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
fn a_finished_run_is_left_as_it_is() {
    let folder = new_folder();
    let summary = whole(folder.path());
    let before = contents(folder.path());
    let mut again = job(Shard::WHOLE);
    assert_eq!(again.run(folder.path()).unwrap(), summary);
    assert!(again.worked_on.is_empty());
    assert_eq!(contents(folder.path()), before);
}

#[test]
fn failures_are_tried_again_when_that_is_asked_for_and_nothing_else_is() {
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
fn other_settings_are_refused_with_each_difference_before_and_after_the_end() {
    for calls in [25, usize::MAX] {
        let folder = new_folder();
        let ended = Job::new(Faulty::new(Fault::KilledAfter, calls), Shard::WHOLE).run(folder.path());
        assert_eq!(ended.is_ok(), calls == usize::MAX);
        let before = contents(folder.path());
        let with = |key: &str, value: Value| {
            let mut other = job(Shard::WHOLE);
            other.plan.settings[key] = value;
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
        // A remark is no setting.
        let mut same = job(Shard::WHOLE);
        same.plan = Plan { remarks: json!({"weights": {"file": "v"}}), ..same.plan };
        same.run(folder.path()).unwrap();
        assert!(contents(folder.path())[std::path::Path::new("manifest.json")].contains(r#""file": "w""#));
    }
}

#[test]
fn one_process_at_a_time_has_a_run() {
    let folder = new_folder();
    let run = job(Shard::WHOLE).open(folder.path()).unwrap();
    let me = format!("in use by process {} on ", std::process::id());
    refused(job(Shard::WHOLE).open(folder.path()), 6, &[&me, " since 20"]);
    drop(run);
    assert!(matches!(job(Shard::WHOLE).open(folder.path()).unwrap(), Opened::UnderWay(_)));
}

#[test]
fn shards_and_the_whole_keep_out_of_each_others_way() {
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
    refused(job(shard(1, 2)).open(other.path()), 2, &["a run of the whole set is under way here"]);
}

#[test]
fn what_is_no_run_is_refused() {
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
    refused(job(Shard::WHOLE).open(folder.path()), 4, &["version 2 of journals, this program has 1"]);
}
