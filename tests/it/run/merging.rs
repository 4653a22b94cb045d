//! Merging of shards, and shards that cannot be merged.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use msdcam::run::{Shard, merge};
use serde_json::json;
use tempfile::TempDir;

use crate::run::work::{
    BAD, Fault, Faulty, IMAGES, Job, Quick, contents, exit_code, new_folder, sealed, whole,
};

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

    let killed = Faulty::new(Fault::KilledAfter, 15);
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
    assert!(error.ends_with("000003_cat_1.png has 1 bytes; it was written with 45"), "{error}");
    fs::write(&picture, [0; 45]).unwrap();
    let error = merge(&Quick, &paths, &out).unwrap_err().to_string();
    assert!(error.ends_with("000003_cat_1.png has another content than was written"), "{error}");
    fs::remove_file(&picture).unwrap();
    let error = merge(&Quick, &paths, &out).unwrap_err().to_string();
    assert!(error.ends_with("000003_cat_1.png is missing"), "{error}");
    assert!(!out.join("results.jsonl").exists());
}

#[test]
fn shards_are_kept_unless_the_whole_run_beside_them_is_theirs() {
    let (_folder, paths) = shards(2);
    let folder = &paths[0];
    let other = r#"{"program": "msdcam", "kind": "faithfulness", "images": 1, "failed": 0}"#;
    let mine = r#"{"images": 1, "failed": 0}"#;
    let run = r#"{"program": "msdcam", "kind": "run", "images": 7, "failed": 2, "results_sha256": "0a"}"#;
    for (manifest, code) in [(other, 2), (mine, 2), (run, 4)] {
        fs::write(folder.join("manifest.json"), manifest).unwrap();
        let before = contents(folder);
        let error = merge(&Quick, &paths[..1], folder).unwrap_err();
        assert_eq!((exit_code(&error), contents(folder)), (code, before), "{error}");
    }
    // A whole run of other settings.
    let whole_run = new_folder();
    let mut viridis = Job::new(Arc::new(Quick), Shard::WHOLE);
    viridis.spec.settings["colormap"] = json!("viridis");
    viridis.run(whole_run.path()).unwrap();
    for name in ["manifest.json", "results.jsonl"] {
        fs::copy(whole_run.path().join(name), folder.join(name)).unwrap();
    }
    let before = contents(folder);
    let error = merge(&Quick, &paths[..1], folder).unwrap_err();
    assert!(error.to_string().contains("colormap: the run has viridis, asked for jet"), "{error}");
    assert_eq!((exit_code(&error), contents(folder)), (2, before));
}

#[test]
fn shards_are_kept_unless_the_whole_run_has_its_arrays() {
    let folder = new_folder();
    let shared = folder.path();
    for index in 1..=2 {
        job(index, 2).run(shared).unwrap();
    }
    let elsewhere = folder.path().join("elsewhere");
    merge(&Quick, &[shared.to_path_buf()], &elsewhere).unwrap();
    // As an interrupted merge leaves it, but without one of the arrays.
    for name in ["manifest.json", "results.jsonl"] {
        fs::copy(elsewhere.join(name), shared.join(name)).unwrap();
    }
    let both = [shared.to_path_buf()];
    for missing in ["arrays/state.npy", "arrays/cam.npy"] {
        let _ = fs::remove_dir_all(shared.join("arrays"));
        fs::create_dir(shared.join("arrays")).unwrap();
        for file in fs::read_dir(elsewhere.join("arrays")).unwrap() {
            let name = file.unwrap().file_name();
            fs::copy(elsewhere.join("arrays").join(&name), shared.join("arrays").join(&name)).unwrap();
        }
        fs::remove_file(shared.join(missing)).unwrap();
        let error = merge(&Quick, &both, shared).unwrap_err();
        assert!(error.to_string().contains(missing) && exit_code(&error) == 4, "{error}");
        assert!(
            shared.join("arrays-1-of-2/cam.npy").exists() && shared.join("journal-1-of-2.jsonl").exists()
        );
    }
    fs::copy(elsewhere.join("arrays/cam.npy"), shared.join("arrays/cam.npy")).unwrap();
    merge(&Quick, &both, shared).unwrap();
    assert!(!shared.join("arrays-1-of-2").exists());
}

#[test]
fn names_in_a_journal_that_lead_elsewhere_are_refused() {
    for name in ["../evil", "/tmp/evil", "images/../../evil", ""] {
        let (folder, paths) = shards(2);
        let journal = paths[0].join("journal-1-of-2.jsonl");
        let text = fs::read_to_string(&journal).unwrap();
        let lines = text.lines().map(|line| sealed(&line[9..].replace("images/0000/000000_cat_0.png", name)));
        fs::write(&journal, lines.collect::<String>()).unwrap();
        fs::write(folder.path().join("evil"), [b'x'; 9]).unwrap();
        let out = folder.path().join("home/run");
        fs::create_dir_all(&out).unwrap();
        fs::write(folder.path().join("home/evil"), "old").unwrap();
        let error = merge(&Quick, &paths, &out).unwrap_err();
        assert!(error.to_string().ends_with(&format!("'{name}' is outside of the folder")), "{error}");
        assert_eq!(fs::read_to_string(folder.path().join("home/evil")).unwrap(), "old");
    }
}

#[test]
fn the_number_of_shards_that_a_name_claims_is_not_believed() {
    let (_folder, paths) = shards(2);
    let folder = &paths[1];
    for name in ["journal-2-of-2.jsonl", "manifest-2-of-2.json"] {
        let claimed = name.replace("of-2", "of-18446744073709551615");
        fs::rename(folder.join(name), folder.join(claimed)).unwrap();
    }
    let error = merge(&Quick, &paths[1..], &paths[1]).unwrap_err().to_string();
    assert!(error.contains("line 1: belongs to shard 2/2"), "{error}");
    let mut vast = job(1, 3_000_000_000);
    let far = new_folder();
    vast.run(far.path()).unwrap();
    let error = merge(&Quick, &[far.path().into()], far.path()).unwrap_err().to_string();
    let shown = "shards 2/3000000000, 3/3000000000, ";
    assert!(error.contains(shown) && error.ends_with(" and 2999999989 more are missing"), "{error}");
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

#[test]
fn a_run_of_the_whole_set_in_progress_is_not_overwritten_by_a_merge() {
    let (folder, paths) = shards(2);
    let out = folder.path().join("out");
    drop(Job::new(Arc::new(Quick), Shard::WHOLE).open(&out).unwrap());
    let before = contents(&out);
    let error = merge(&Quick, &paths, &out).unwrap_err();
    assert!(
        error.to_string().contains("out: a run of the whole set is in progress here; finish it"),
        "{error}"
    );
    assert_eq!((exit_code(&error), contents(&out)), (2, before));
}

#[test]
fn files_of_another_program_are_not_replaced_by_a_merge_beside_the_shards() {
    for name in ["arrays/cam.npy", "results.jsonl", "failed.jsonl"] {
        let folder = new_folder();
        for index in 1..=2 {
            job(index, 2).run(folder.path()).unwrap();
        }
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "mine").unwrap();
        let before = contents(folder.path());
        let error = merge(&Quick, &[folder.path().into()], folder.path()).unwrap_err();
        let top = name.split('/').next().unwrap();
        assert!(error.to_string().contains(&format!("{top} is there, and not as part of")), "{error}");
        assert_eq!((exit_code(&error), contents(folder.path())), (2, before), "{name}");
    }
}

#[test]
fn shards_with_other_arrays_are_refused() {
    let (folder, paths) = shards(2);
    let other = folder.path().join("other");
    let mut second = job(2, 2);
    second.spec.arrays.fields[0].key = "target".into();
    second.run(&other).unwrap();
    let error = merge(&Quick, &[paths[0].clone(), other], &folder.path().join("out")).unwrap_err();
    let expected = "other: shard 2/2: other arrays than those of shard 1/2 in ";
    assert!(error.to_string().contains(expected) && exit_code(&error) == 4, "{error}");
}

#[test]
fn an_array_that_follows_from_the_settings_need_not_be_in_a_shard() {
    let expected = new_folder();
    whole(expected.path());
    let (folder, paths) = shards(2);
    fs::remove_file(paths[0].join("arrays-1-of-2/exit.npy")).unwrap();
    let out = folder.path().join("out");
    merge(&Quick, &paths, &out).unwrap();
    assert_eq!(contents(&out), contents(expected.path()));
}

#[test]
fn a_shard_with_damaged_rows_is_refused() {
    let (folder, paths) = shards(2);
    let out = folder.path().join("out");
    let array = paths[1].join("arrays-2-of-2/cam.npy");
    let sound = fs::read(&array).unwrap();
    let mut damaged = sound.clone();
    *damaged.last_mut().unwrap() ^= 1;
    for (bytes, cause) in [
        (Some(&damaged[..]), "the rows of image 6 in its arrays are not those that were written"),
        (Some(&sound[..sound.len() - 1]), "cam.npy: array: has 143 bytes; it was written with 144"),
        (None, "arrays-2-of-2/cam.npy: is missing"),
    ] {
        match bytes {
            Some(bytes) => fs::write(&array, bytes).unwrap(),
            None => fs::remove_file(&array).unwrap(),
        }
        let error = merge(&Quick, &paths, &out).unwrap_err().to_string();
        assert!(error.ends_with(cause), "{error}");
        assert!(!out.join("results.jsonl").exists());
    }
    fs::write(&array, &sound).unwrap();
    merge(&Quick, &paths, &out).unwrap();
}

#[test]
fn an_output_among_the_files_of_a_shard_is_refused() {
    let folder = new_folder();
    let shared = folder.path().join("run");
    for index in 1..=2 {
        job(index, 2).run(&shared).unwrap();
    }
    let before = contents(folder.path());
    let mut outs = vec![
        ("run/images", "images"),
        ("run/images/0000/deep", "images"),
        ("run/arrays", "arrays"),
        ("run/arrays/deep", "arrays"),
        ("run/arrays-1-of-2", "arrays-1-of-2"),
        ("run/arrays-2-of-2/deep/er", "arrays-2-of-2"),
        ("run/arrays-1-of-1", "arrays-1-of-1"),
        ("run/./images/../arrays-1-of-2/", "arrays-1-of-2"),
        ("run/none/../arrays", "arrays"),
    ];
    #[cfg(unix)]
    {
        for (name, to) in [("link", "run/arrays-1-of-2"), ("all", "run")] {
            std::os::unix::fs::symlink(to, folder.path().join(name)).unwrap();
        }
        outs.extend([("link", "arrays-1-of-2"), ("link/deep", "arrays-1-of-2"), ("all/images", "images")]);
    }
    for (out, name) in outs {
        for folders in [vec![shared.clone()], vec![folder.path().join("run/../run")]] {
            let error = merge(&Quick, &folders, &folder.path().join(out)).unwrap_err();
            let expected = format!(": {name} belongs to the run in ");
            assert!(error.to_string().contains(&expected) && exit_code(&error) == 2, "{out}: {error}");
        }
    }
    let mut after = contents(folder.path());
    after.retain(|path, _| path.starts_with("run"));
    assert_eq!(after, before);
    // Names that no run uses, and the same names elsewhere.
    for out in ["run/merged", "run/arrays_of_all", "images", "arrays/images"] {
        merge(&Quick, std::slice::from_ref(&shared), &folder.path().join(out)).unwrap();
    }
    merge(&Quick, std::slice::from_ref(&shared), &shared).unwrap();
    assert!(shared.join("results.jsonl").exists());
}

#[test]
fn rows_that_are_larger_than_the_limit_are_refused_before_they_are_read() {
    let gib = 1_usize << 30;
    for (fields, cause) in [
        (vec![8 * gib], "line 1: field0: rows of 8589934592 bytes, the limit is 1073741824"),
        (
            vec![gib / 2; 2],
            "line 1: field1: with its rows an image has 1073741838 bytes, the limit is 1073741824",
        ),
    ] {
        let (folder, paths) = shards(2);
        for (index, path) in (1..).zip(&paths) {
            let journal = path.join(format!("journal-{index}-of-2.jsonl"));
            let text = fs::read_to_string(&journal).unwrap();
            let (header, entries) = text.split_once('\n').unwrap();
            let mut header: serde_json::Value = serde_json::from_str(&header[9..]).unwrap();
            for (i, bytes) in fields.iter().enumerate() {
                let field = json!({"key": format!("field{i}"), "kind": "|u1", "shape": [bytes]});
                header["arrays"]["fields"].as_array_mut().unwrap().push(field);
            }
            fs::write(&journal, sealed(&header.to_string()) + entries).unwrap();
        }
        let out = folder.path().join("out");
        let error = merge(&Quick, &paths, &out).unwrap_err();
        assert!(error.to_string().ends_with(cause) && exit_code(&error) == 4, "{error}");
        assert!(!out.exists());
    }
}
