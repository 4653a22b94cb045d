//! Resuming a run, and refusing to.

use std::fs;
use std::sync::Arc;

use msdcam::Result;
use msdcam::run::{Opened, RunSpec, Shard, read_results};
use serde_json::{Value, json};

#[cfg(unix)]
use crate::run::work::hard_linked;
use crate::run::work::{
    BAD, Fault, Faulty, IMAGES, Job, Quick, contents, exit_code, new_folder, rows, sealed, whole,
};

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
    let arrays = ["cam", "class", "exit", "state"].map(|key| format!("arrays/{key}.npy"));
    assert_eq!(others[..4], arrays);
    assert_eq!(others[4..], ["failed.jsonl", "manifest.json", "results.jsonl"]);
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
    let foreign = "manifest.json is there, and not as part of the run of a data set; choose another folder";
    for text in ["x", "{}", r#"{"name": "a web page"}"#, r#"{"program": "msdcam"}"#] {
        fs::write(folder.path().join("manifest.json"), text).unwrap();
        refused(job(Shard::WHOLE).open(folder.path()), 2, &[foreign]);
        assert_eq!(fs::read_to_string(folder.path().join("manifest.json")).unwrap(), text);
    }
    fs::write(folder.path().join("manifest.json"), r#"{"program": "msdcam", "kind": "run"}"#).unwrap();
    refused(job(Shard::WHOLE).open(folder.path()), 4, &["manifest.json: images: is missing"]);
    fs::remove_file(folder.path().join("manifest.json")).unwrap();
    fs::write(folder.path().join("journal.jsonl"), "x\n").unwrap();
    refused(job(Shard::WHOLE).open(folder.path()), 4, &["journal.jsonl: line 1: not the journal"]);
    let newer = r#"{"journal":4,"shard":"1/1","images":7,"settings":{},"remarks":{}}"#;
    fs::write(folder.path().join("journal.jsonl"), sealed(newer)).unwrap();
    refused(job(Shard::WHOLE).open(folder.path()), 4, &["journal version 4, this program supports 2 to 3"]);
    let without_settings = r#"{"journal":2,"shard":"1/1","images":7,"settings":5,"remarks":{}}"#;
    fs::write(folder.path().join("journal.jsonl"), sealed(without_settings)).unwrap();
    refused(job(Shard::WHOLE).open(folder.path()), 4, &["journal.jsonl: line 1: not the journal"]);
}

#[test]
fn the_number_of_images_that_a_journal_claims_is_not_believed() {
    for images in [1_000_000_000_000, u64::MAX] {
        let folder = new_folder();
        let header = r#"{"journal":2,"shard":"1/1","images":IMAGES,"settings":{},"remarks":{}}"#;
        let header = header.replace("IMAGES", &images.to_string());
        fs::write(folder.path().join("journal.jsonl"), sealed(&header)).unwrap();
        let info = read_results(folder.path(), |_, _| panic!("a line")).unwrap().unwrap();
        assert_eq!((info.finished, info.images), (false, Some(images as usize)));
        let mut other = job(Shard::WHOLE);
        other.spec.settings = json!({});
        let difference = format!("images: the run has {images}, asked for {IMAGES}");
        refused(other.open(folder.path()), 2, &[&difference]);
    }
}

#[test]
fn files_of_another_program_are_not_replaced() {
    for name in ["results.jsonl", "failed.jsonl", "images/cat.png", "arrays/cam.npy"] {
        let folder = new_folder();
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "mine").unwrap();
        let top = name.split('/').next().unwrap();
        refused(job(Shard::WHOLE).run(folder.path()), 2, &[&format!("{top} is there, and not as part of")]);
        let kept: Vec<String> = contents(folder.path()).into_values().collect();
        assert_eq!(kept, ["mine"], "{name}");
    }
}

#[test]
fn arrays_of_another_program_are_not_replaced_by_a_shard() {
    let folder = new_folder();
    let shard = |index| Shard::new(index, 2).unwrap();
    job(shard(2)).run(folder.path()).unwrap();
    let path = folder.path().join("arrays-1-of-2/cam.npy");
    fs::create_dir(path.parent().unwrap()).unwrap();
    fs::write(&path, "mine").unwrap();
    let before = contents(folder.path());
    refused(job(shard(1)).run(folder.path()), 2, &["arrays-1-of-2 is there, and not as part of the run"]);
    assert_eq!(contents(folder.path()), before);
}

#[cfg(unix)]
#[test]
fn a_finished_run_whose_arrays_cannot_be_written_stays_complete() {
    for shard in [Shard::WHOLE, Shard::new(1, 2).unwrap()] {
        let folder = new_folder();
        let summary = job(shard).run(folder.path()).unwrap();
        let name = if shard == Shard::WHOLE { "arrays" } else { "arrays-1-of-2" };
        let array = folder.path().join(name).join("cam.npy");
        let elsewhere = folder.path().join("mine");
        fs::rename(&array, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &array).unwrap();
        let before = contents(folder.path());
        let retry = || Job { retry_failed: true, ..job(shard) };
        refused(retry().run(folder.path()), 6, &["cam.npy: cannot write: is a symbolic link"]);
        assert_eq!(contents(folder.path()), before);
        assert_eq!(job(shard).run(folder.path()).unwrap(), summary);
        fs::rename(&elsewhere, &array).unwrap();
        assert_eq!(retry().run(folder.path()).unwrap(), summary);
    }
}

#[test]
fn a_finished_run_that_has_lost_files_is_refused_and_made_whole_on_request() {
    let expected = new_folder();
    whole(expected.path());
    let damaged = [
        ("results.jsonl", None, "results.jsonl is missing or not the one that was written"),
        ("results.jsonl", Some("{}\n"), "results.jsonl is missing or not the one that was written"),
        (
            "images/0000/000001_CAT_0.png",
            None,
            "files of 1 of 7 images are missing, the first is images/0000/000001",
        ),
        ("images/0000/000003_cat_1.png", Some(""), "files of 1 of 7 images are missing"),
        ("arrays/cam.npy", None, "arrays/cam.npy: is missing"),
        ("arrays/cam.npy", Some("x"), "cam.npy: array: has 1 bytes; it was written with 156"),
        ("arrays/exit.npy", Some("x"), "exit.npy: array: has another content than was written"),
        ("arrays/exit.npy", None, "arrays/exit.npy: is missing"),
    ];
    for (name, content, cause) in damaged {
        let folder = new_folder();
        whole(folder.path());
        let path = folder.path().join(name);
        match content {
            None => fs::remove_file(&path).unwrap(),
            Some(text) => fs::write(&path, text).unwrap(),
        }
        let before = contents(folder.path());
        refused(job(Shard::WHOLE).run(folder.path()), 4, &[cause, "--retry-failed makes them again"]);
        assert_eq!(contents(folder.path()), before, "{name}");
        let mut again = Job { retry_failed: true, ..job(Shard::WHOLE) };
        again.run(folder.path()).unwrap();
        assert_eq!(contents(folder.path()), contents(expected.path()), "{name}");
        let lost = match name {
            _ if name.starts_with("images") => BAD.len() + 1,
            // It follows from the settings; what failed before is tried again.
            "arrays/exit.npy" => BAD.len(),
            _ => IMAGES,
        };
        assert_eq!(again.worked_on.len(), lost, "{name}");
    }
}

#[test]
fn a_finished_shard_that_has_lost_files_is_refused_and_made_whole_on_request() {
    let folder = new_folder();
    let shard = Shard::new(1, 2).unwrap();
    job(shard).run(folder.path()).unwrap();
    let before = contents(folder.path());
    // The right length without the content, as after a power failure.
    fs::write(folder.path().join("images/0000/000001_CAT_0.png"), [0; 9]).unwrap();
    refused(
        job(shard).run(folder.path()),
        4,
        &["files of 1 of 3 images are missing or damaged; --retry-failed"],
    );
    let mut again = Job { retry_failed: true, ..job(shard) };
    again.run(folder.path()).unwrap();
    again.worked_on.sort_unstable();
    assert_eq!(again.worked_on, [1, 2]);
    assert_eq!(contents(folder.path()).keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
}

#[cfg(unix)]
#[test]
fn a_linked_folder_of_pictures_is_not_followed() {
    let [folder, elsewhere] = [new_folder(), new_folder()];
    let mut first = Job::new(Faulty::new(Fault::KilledBefore, 8), Shard::WHOLE);
    first.run(folder.path()).unwrap_err();
    let images = folder.path().join("images");
    let _ = fs::remove_dir_all(&images);
    std::os::unix::fs::symlink(elsewhere.path(), &images).unwrap();
    refused(job(Shard::WHOLE).run(folder.path()), 6, &["images: cannot write: is a symbolic link"]);
    assert!(contents(elsewhere.path()).is_empty());
}

#[test]
fn of_two_starters_one_wins_and_the_other_leaves_nothing() {
    for _ in 0..20 {
        let folder = new_folder();
        let starts = std::sync::Barrier::new(3);
        let start = |shard: Shard| {
            starts.wait();
            job(shard).open(folder.path())
        };
        let shard = |index, count| Shard::new(index, count).unwrap();
        let opened = std::thread::scope(|scope| {
            let start = &start;
            let threads =
                [shard(1, 1), shard(1, 2), shard(2, 3)].map(|shard| scope.spawn(move || start(shard)));
            threads.map(|thread| thread.join().unwrap())
        });
        assert_eq!(opened.iter().filter(|opened| opened.is_ok()).count(), 1, "{opened:?}");
        let journals = contents(folder.path())
            .keys()
            .filter(|name| name.to_string_lossy().starts_with("journal"))
            .count();
        assert_eq!(journals, 1);
    }
}

#[test]
fn rows_that_are_damaged_are_made_again() {
    let expected = new_folder();
    whole(expected.path());
    let folder = new_folder();
    let run = folder.path().join("run");
    let mut first = Job::new(Faulty::new(Fault::KilledBefore, 60), Shard::WHOLE);
    first.run(&run).unwrap_err();
    let done = first.worked_on.len() - 1;
    assert!((2..IMAGES).contains(&done), "{done}");
    // A row of zeros, as after a power failure.
    let path = run.join("arrays/class.npy");
    let mut bytes = fs::read(&path).unwrap();
    let victim = *first.worked_on.iter().find(|image| !BAD.contains(image)).unwrap();
    let begin = bytes.len() - 8 * IMAGES;
    assert_eq!(bytes[begin + 8 * victim..][..8], rows(victim)[0]);
    bytes[begin + 8 * victim..][..8].fill(0);
    fs::write(&path, bytes).unwrap();
    let mut second = job(Shard::WHOLE);
    match second.open(&run).unwrap() {
        Opened::InProgress(run) => assert_eq!(run.lost(), 1),
        other => panic!("{other:?}"),
    }
    second.run(&run).unwrap();
    assert!(second.worked_on.contains(&victim));
    assert_eq!(contents(&run), contents(expected.path()));
}

#[cfg(unix)]
#[test]
fn a_linked_array_is_not_followed() {
    let folder = new_folder();
    let mut first = Job::new(Faulty::new(Fault::KilledBefore, 25), Shard::WHOLE);
    first.run(folder.path()).unwrap_err();
    let array = folder.path().join("arrays/cam.npy");
    let elsewhere = folder.path().join("mine");
    fs::rename(&array, &elsewhere).unwrap();
    let before = fs::read(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &array).unwrap();
    refused(job(Shard::WHOLE).run(folder.path()), 6, &["cam.npy: cannot write: is a symbolic link"]);
    assert_eq!(fs::read(&elsewhere).unwrap(), before);
}

#[cfg(unix)]
#[test]
fn a_hard_linked_copy_keeps_its_bytes() {
    for shard in [Shard::WHOLE, Shard::new(1, 2).unwrap()] {
        for calls in [15, 30, usize::MAX] {
            let folder = new_folder();
            let [run, copy] = ["run", "copy"].map(|name| folder.path().join(name));
            let ended = Job::new(Faulty::new(Fault::KilledBefore, calls), shard).run(&run);
            assert_eq!(ended.is_ok(), calls == usize::MAX);
            // As a killed process leaves it.
            fs::write(run.join(if shard == Shard::WHOLE { "lock" } else { "lock-1-of-2" }), "process 1\n")
                .unwrap();
            hard_linked(&run, &copy);
            let before = contents(&copy);
            let mut again = Job { mended: true, retry_failed: true, ..job(shard) };
            again.run(&run).unwrap();
            assert!(!again.worked_on.is_empty());
            assert_eq!(contents(&copy), before, "{shard}, {calls} calls");
            let expected = new_folder();
            Job { mended: true, ..job(shard) }.run(expected.path()).unwrap();
            let without_journal = |folder: &std::path::Path| {
                let mut files = contents(folder);
                files.retain(|name, _| !name.to_string_lossy().starts_with("journal"));
                files
            };
            assert_eq!(without_journal(&run), without_journal(expected.path()), "{shard}, {calls} calls");
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_copy_of_an_array_takes_no_space_for_its_zeros() {
    use std::os::unix::fs::MetadataExt;
    let folder = new_folder();
    let path = folder.path().join("cam.npy");
    let mut bytes = vec![0; 8 << 20];
    (bytes[5], bytes[4 << 20], bytes[(8 << 20) - 1]) = (1, 2, 3);
    bytes.extend([0; 99]);
    fs::write(&path, &bytes).unwrap();
    fs::hard_link(&path, folder.path().join("other")).unwrap();
    msdcam::run::Disk::unshare(&msdcam::run::RealDisk, &path).unwrap();
    let about = fs::metadata(&path).unwrap();
    assert_eq!(about.nlink(), 1);
    assert!(fs::read(&path).unwrap() == bytes);
    assert!(about.blocks() * 512 < 1 << 20, "{} blocks", about.blocks());
}

#[cfg(unix)]
#[test]
fn a_file_that_cannot_be_looked_at_is_not_taken_for_missing() {
    // A link to itself: an error other than that nothing is there.
    let loops = |path: &std::path::Path| {
        let _ = fs::remove_file(path);
        std::os::unix::fs::symlink(path.file_name().unwrap(), path).unwrap();
    };
    let folder = new_folder();
    whole(folder.path());
    loops(&folder.path().join("images/0000/000001_CAT_0.png"));
    let before: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    for retry_failed in [false, true] {
        let mut again = Job { retry_failed, ..job(Shard::WHOLE) };
        let error = again.run(folder.path()).unwrap_err();
        assert!(error.to_string().contains("000001_CAT_0.png: file: cannot read: "), "{error}");
        assert!(!error.to_string().contains("--retry-failed"), "{error}");
        assert_eq!((exit_code(&error), again.worked_on.len()), (4, 0));
        let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(names.collect::<Vec<_>>(), before);
    }
    for name in ["results.jsonl", "arrays/exit.npy", "arrays/cam.npy"] {
        let folder = new_folder();
        whole(folder.path());
        loops(&folder.path().join(name));
        let error = job(Shard::WHOLE).run(folder.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("{name}: file: cannot read: ")), "{error}");
        assert!(!error.contains("--retry-failed"), "{error}");
    }
    // A whole run that may have begun beside shards.
    let folder = new_folder();
    for index in 1..=2 {
        job(Shard::new(index, 2).unwrap()).run(folder.path()).unwrap();
    }
    loops(&folder.path().join("journal.jsonl"));
    let merged = msdcam::run::merge(&Quick, &[folder.path().into()], folder.path());
    refused(merged, 4, &["journal.jsonl: file: cannot read: "]);
    assert!(!folder.path().join("manifest.json").exists());
}
