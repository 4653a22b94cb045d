//! `msdcam explain` on a data set: the run directory.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cli::program::{Place, repository};

/// A CIFAR-10 file of `images` distinct images; every third shows the cat.
pub fn cifar(images: usize) -> Vec<u8> {
    let cat = msdcam::RgbImage::open(repository("tests/golden/chelsea_32.png")).unwrap();
    let mut bytes = Vec::new();
    for image in 0..images {
        bytes.push((image % 10) as u8);
        for channel in 0..3 {
            let pixels = cat.rgb.iter().skip(channel).step_by(3).enumerate();
            bytes.extend(pixels.map(|(i, &v)| match image % 3 {
                0 => v.rotate_left(image as u32 % 8),
                1 => v.wrapping_add((i * image) as u8),
                _ => (i * (image + channel) / 7) as u8,
            }));
        }
    }
    bytes
}

/// Path and content of every file below `folder`.
pub fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(root: &Path, folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, found);
            } else {
                found.insert(path.strip_prefix(root).unwrap().into(), fs::read(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(folder, folder, &mut found);
    found
}

/// Panics unless two folders have the same files.
#[track_caller]
pub fn assert_same(found: &Path, expected: &Path, what: &str) {
    let [found, expected] = [found, expected].map(contents);
    let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(&expected), "{what}");
    for (name, bytes) in &expected {
        assert!(found[name] == *bytes, "{what}: {} differs", name.display());
    }
}

pub fn rows(place: &Place, file: &str) -> Vec<Value> {
    let text = String::from_utf8(place.read(file)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_run_has_results_in_order_and_100_pictures_per_folder() {
    let place = Place::in_memory();
    place.write("set.bin", &cifar(103));
    let run = place.msdcam("explain set.bin -o run --exits 1,10 --size 16 --pictures all");
    assert_eq!((run.code, run.stdout.as_str()), (0, "run: 103 images, all done\n"), "{run:?}");
    assert_eq!(place.names("run"), ["arrays", "images", "manifest.json", "results.jsonl"]);
    assert_eq!(place.names("run/images"), ["0000", "0001"]);
    let files =
        ["exit01_cam.png", "exit10_cam.png", "strip.png"].map(|end| format!("000102_set_00102_{end}"));
    let names = place.names("run/images/0001");
    assert_eq!(names.len(), 3 * 3);
    assert!(files.iter().all(|file| names.contains(file)), "{names:?}");
    let rows = rows(&place, "run/results.jsonl");
    assert_eq!(rows.len(), 103);
    for (i, row) in rows.iter().enumerate() {
        assert_eq!(row["image"], format!("set/{i:05}"));
        assert_eq!(row["label"], i % 10);
        let cam = row["exits"][1]["files"]["cam"].as_str().unwrap();
        assert!(place.path().join("run").join(cam).is_file(), "{row}");
        let (exit, label) = (&row["exits"][0], &row["label"]);
        assert_eq!(exit["label_rank"] == 0, exit["class"] == *label, "{row}");
    }
}

#[test]
fn a_data_set_and_its_photos_as_arguments_give_the_same_pictures() {
    let place = Place::new();
    place.cat("set/cat/cat.png");
    place.small("noise.png");
    place.write("set/dog/noise.png", &place.read("noise.png"));
    let run = place.msdcam("explain set -o run --size 64 --json --pictures all");
    let told = run.json();
    assert_eq!((run.code, told.len()), (0, 2), "{run:?}");
    assert_eq!(told[0]["files"]["strip"], "run/images/0000/000000_cat_cat_strip.png");
    assert_eq!((&told[1]["label_name"], &told[1]["image"]), (&"dog".into(), &"dog/noise.png".into()));
    place.msdcam("explain set/cat/cat.png -o photo --size 64");
    for (name, bytes) in contents(&place.path().join("photo")) {
        let name = name.to_str().unwrap();
        if name.starts_with("cat") && name.ends_with(".png") {
            assert!(place.read(&format!("run/images/0000/000000_cat_{name}")) == bytes, "{name}");
        }
    }
}

#[test]
fn a_finished_run_is_not_repeated() {
    let place = Place::new();
    place.write("set.bin", &cifar(3));
    let first = place.msdcam("explain set.bin -o run --exits 1 --size 16");
    let before = contents(&place.path().join("run"));
    let modified = |name: &str| fs::metadata(place.path().join(name)).unwrap().modified().unwrap();
    let when = modified("run/results.jsonl");
    let again = place.msdcam("explain set.bin -o run --exits 1 --size 16");
    assert_eq!((again.code, &again.stdout), (0, &first.stdout), "{again:?}");
    assert_eq!(contents(&place.path().join("run")), before);
    assert_eq!(modified("run/results.jsonl"), when);
}

#[test]
fn failures_are_listed_with_reasons_and_retried_on_request() {
    let place = Place::new();
    place.small("noise.png");
    let noise = place.read("noise.png");
    for i in 0..5 {
        place.write(&format!("set/{i}.png"), if i == 3 { &noise[..99] } else { &noise });
    }
    let explain = "explain set -o run --exits 2 --size 16";
    let run = place.msdcam(explain);
    run.refused(3, &["3.png: ", "truncated"]);
    assert!(run.stdout.ends_with("1 failed; --retry-failed retries them\n"), "{run:?}");
    let failed = rows(&place, "run/failed.jsonl");
    assert_eq!((failed.len(), &failed[0]["image"]), (1, &"3.png".into()));
    assert!(failed[0]["error"].as_str().unwrap().contains("truncated"), "{failed:?}");
    assert_eq!(rows(&place, "run/results.jsonl")[3], failed[0]);

    // Only on request, and only once the file is repaired.
    let again = place.msdcam(explain);
    assert_eq!((again.code, again.stderr.as_str()), (3, ""), "{again:?}");
    place.msdcam(&format!("{explain} --retry-failed")).refused(3, &["3.png: "]);
    place.write("set/3.png", &noise);
    let mended = place.msdcam(&format!("{explain} --retry-failed"));
    assert_eq!((mended.code, mended.stdout.as_str()), (0, "run: 5 images, all done\n"), "{mended:?}");
    assert_eq!(place.msdcam(&explain.replace("-o run", "-o whole")).code, 0);
    assert_same(&place.path().join("run"), &place.path().join("whole"), "mended");
}

#[cfg(unix)]
#[test]
fn unusual_names_stay_inside_the_folder_and_distinct() {
    use std::os::unix::ffi::OsStrExt;

    let place = Place::new();
    place.small("noise.png");
    let names: [&[u8]; 6] =
        [b"a\nb\x1b[31m.png", b"it's \"so\".png", b"caf\xe9.png", b"CAT.png", b"cat.png", b"cat.jpg"];
    for folder in ["set/x/y..", "set/x/y"] {
        fs::create_dir_all(place.path().join(folder)).unwrap();
        for name in names {
            let path = place.path().join(folder).join(std::ffi::OsStr::from_bytes(name));
            fs::copy(place.path().join("noise.png"), path).unwrap();
        }
    }
    let run = place.msdcam("explain set -o out/run --exits 1 --size 16 --labels-by none");
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(place.names("out"), ["run"]);
    assert_eq!(place.names("out/run"), ["arrays", "images", "manifest.json", "results.jsonl"]);
    let found = place.names("out/run/images/0000");
    assert_eq!(found.len(), 12, "{found:?}");
    assert!(found.iter().all(|name| !name.contains(['\n', '\u{1b}', '"', '/', '\\'])), "{found:?}");
    assert_eq!(rows(&place, "out/run/results.jsonl").len(), 12);
}

#[test]
fn a_list_of_paths_is_a_data_set() {
    let place = Place::new();
    place.small("noise.png");
    place.write("list", b"noise.png\nmissing.png\n");
    let mut command = place.command(&["explain", "-", "-o", "run", "--exits", "1", "--size", "16"]);
    command.stdin(fs::File::open(place.path().join("list")).unwrap());
    let run: crate::cli::program::Run = command.output().unwrap().into();
    run.refused(3, &["missing.png: "]);
    assert_eq!(rows(&place, "run/failed.jsonl").len(), 1);
    assert!(place.path().join("run/images/0000/000000_noise_strip.png").is_file());
}
