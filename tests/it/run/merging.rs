//! Merging of shards, and shards that cannot be merged.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use msdcam::run::{Shard, merge};
use serde_json::json;
use tempfile::TempDir;

use crate::run::work::{BAD, Fault, Faulty, IMAGES, Job, Quick, contents, exit_code, new_folder, whole};

fn job(index: usize, count: usize) -> Job {
    Job::new(Arc::new(Quick), Shard::new(index, count).unwrap())
}

/// Folders `1` to `count` with a shard each.
fn shards(count: usize) -> (TempDir, Vec<PathBuf>) {
    let folder = new_folder();
    let paths: Vec<PathBuf> = (1..=count).map(|index| folder.path().join(index.to_string())).collect();
    for (index, path) in (1..).zip(&paths) {
        job(index, count).run(path).unwrap();
    }
    (folder, paths)
}

#[test]
fn merged_shards_equal_a_whole_run() {
    let expected = new_folder();
    let summary = whole(expected.path());
    // Including more shards than images.
    for count in [2, 3, IMAGES + 2] {
        let (folder, mut paths) = shards(count);
        paths.reverse();
        let out = folder.path().join("out/deep");
        assert_eq!(merge(&Quick, &paths, &out).unwrap(), summary);
        assert_eq!(contents(&out), contents(expected.path()), "{count} shards");
        assert_eq!(merge(&Quick, &paths, &out).unwrap(), summary, "once more");
        assert_eq!(Job::new(Arc::new(Quick), Shard::WHOLE).run(&out).unwrap(), summary);

        let together = folder.path().join("together");
        for index in (1..=count).rev() {
            job(index, count).run(&together).unwrap();
        }
        assert_eq!(merge(&Quick, std::slice::from_ref(&together), &together).unwrap(), summary);
        assert_eq!(contents(&together), contents(expected.path()), "{count} shards in one folder");
        assert_eq!(merge(&Quick, std::slice::from_ref(&together), &together).unwrap(), summary);
        // A shard of a run that has been merged has nothing to do.
        let mut again = job(2, count);
        again.run(&together).unwrap();
        assert!(again.worked_on.is_empty());
    }
}

#[test]
fn failures_of_a_shard_are_retried() {
    let (folder, paths) = shards(2);
    for (index, path) in (1..).zip(&paths) {
        let mut again = Job { mended: true, retry_failed: true, ..job(index, 2) };
        assert_eq!(again.run(path).unwrap().failed, 0);
        assert_eq!(again.worked_on, [BAD[index - 1]]);
    }
    let out = folder.path().join("out");
    assert_eq!(merge(&Quick, &paths, &out).unwrap().failed, 0);
    assert!(!out.join("failed.jsonl").exists());
}

#[test]
fn incomplete_sets_of_shards_are_refused_by_name() {
    let (folder, paths) = shards(4);
    let out = folder.path().join("out");
    let refused = |folders: &[PathBuf], code: u8, parts: &[&str]| {
        let error = merge(&Quick, folders, &out).unwrap_err();
        assert_eq!(exit_code(&error), code, "{error}");
        assert!(parts.iter().all(|part| error.to_string().contains(part)), "{parts:?} expected in {error}");
        assert!(!out.exists(), "{error}");
    };
    refused(&paths[..1], 4, &["1: beside shard 1/4: shards 2/4, 3/4, 4/4 are missing"]);
    refused(&paths[1..], 4, &["2: beside shard 2/4: shard 1/4 is missing"]);
    refused(&[paths[0].clone(), paths[0].clone()], 4, &["1: shard 1/4: is in ", "/1 too"]);
    refused(&[], 2, &["no shards are given"]);

    let path = |name: &str| folder.path().join(name);
    let one_of_three = path("one of three");
    job(1, 3).run(&one_of_three).unwrap();
    refused(&[paths[0].clone(), one_of_three], 4, &["one of three: shard 1/3: shard 1/4 in ", "3 beside it"]);
    let mut other = job(2, 4);
    other.spec.settings["colormap"] = json!("viridis");
    other.run(&path("other")).unwrap();
    let foreign = ["other: shard 2/4: colormap: it has viridis, shard 1/4 in ", "/1 has jet"];
    refused(&[paths[0].clone(), path("other")], 4, &foreign);
    let mut longer = job(2, 4);
    longer.spec.images += 1;
    longer.run(&path("longer")).unwrap();
    refused(&[paths[0].clone(), path("longer")], 4, &["longer: shard 2/4: images: it has 8, "]);

    whole(&path("whole"));
    refused(&[path("whole")], 4, &["whole: folder: holds a whole run, not a shard"]);
    fs::create_dir(path("empty")).unwrap();
    refused(&[path("empty")], 4, &["empty: folder: holds no shard"]);
    refused(&[path("missing")], 4, &["missing: folder: "]);

    let killed = Faulty::new(Fault::KilledAfter, 4);
    Job::new(killed, Shard::new(2, 4).unwrap()).run(&path("killed")).unwrap_err();
    refused(&[paths[0].clone(), path("killed")], 4, &["killed: shard 2/4: is not finished: 1 of 2 images"]);
}

#[test]
fn a_shard_with_a_missing_picture_is_refused() {
    let (folder, paths) = shards(2);
    let picture = paths[1].join("images/0000/000003_cat_1.png");
    let out = folder.path().join("out");
    fs::write(&picture, "x").unwrap();
    let error = merge(&Quick, &paths, &out).unwrap_err().to_string();
    assert!(error.ends_with("000003_cat_1.png has 1 bytes; it was written with 36"), "{error}");
    fs::remove_file(&picture).unwrap();
    let error = merge(&Quick, &paths, &out).unwrap_err().to_string();
    assert!(error.ends_with("000003_cat_1.png is missing; it was written with 36"), "{error}");
    assert!(!out.join("manifest.json").exists());
}

#[test]
fn another_run_is_not_overwritten_by_a_merge() {
    let (folder, paths) = shards(2);
    let out = folder.path().join("out");
    let mut other = Job::new(Arc::new(Quick), Shard::WHOLE);
    other.spec.settings["colormap"] = json!("viridis");
    other.run(&out).unwrap();
    let before = contents(&out);
    let error = merge(&Quick, &paths, &out).unwrap_err();
    assert!(error.to_string().contains("colormap: the run has viridis, asked for jet"), "{error}");
    assert_eq!((exit_code(&error), contents(&out)), (2, before));
}
