//! The output folder of `msdcam explain`.

use serde_json::Value;

use crate::cli::explain::arrays;
use crate::cli::program::{Place, repository};

/// Width and height of a PNG file.
fn size(png: &[u8]) -> (u32, u32) {
    let side = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
    (side(16), side(20))
}

#[test]
fn writes_exactly_the_documented_files() {
    let place = Place::new();
    place.cat("chelsea.png");
    let run = place.msdcam("explain chelsea.png");
    assert_eq!(run.code, 0, "{run:?}");
    let mut expected: Vec<String> = (1..=10).map(|k| format!("chelsea_exit{k:02}_cam.png")).collect();
    expected.extend(["chelsea.npz", "chelsea_strip.png", "manifest.json", "results.jsonl"].map(String::from));
    expected.sort();
    assert_eq!(place.names("msdcam-out"), expected);
    assert_eq!(size(&place.read("msdcam-out/chelsea_exit07_cam.png")), (512, 512));
}

#[test]
fn size_is_the_side_length_of_overlays() {
    let place = Place::new();
    place.cat("chelsea.png");
    place.msdcam("explain chelsea.png -o out --exits 1 --size 300");
    assert_eq!(size(&place.read("out/chelsea_exit01_cam.png")), (300, 300));
}

#[test]
fn an_empty_map_is_reported_and_drawn_as_such_and_stays_zero() {
    let place = Place::new();
    place.cat("cat.png");
    let checkpoint = repository("tests/golden/nets/blocks-empty.pth");
    place.run(&["convert", checkpoint.to_str().unwrap(), "-o", "w.safetensors"]);
    let run = place.msdcam("explain cat.png --weights w.safetensors -o out --json");
    let exit = &run.json()[0]["exits"][1];
    assert_eq!((&exit["status"], exit["map_max"].as_f64()), (&Value::from("empty"), Some(0.0)));
    let found = arrays(&place.read("out/cat.npz"));
    let (cam, heat) = (&found["cam"], &found["heatmap"]);
    assert_eq!((cam.0[0], heat.0[0]), (2, 2));
    for (shape, numbers) in [cam, heat] {
        let (first, second) = numbers.split_at(shape[1] * shape[2]);
        assert!(first.iter().any(|&x| x > 0.0) && second.iter().all(|&x| x == 0.0));
    }
    let table = place.msdcam("explain cat.png --weights w.safetensors -o out").stdout;
    assert!(table.lines().nth(3).unwrap().ends_with("  empty"), "{table}");
    // The picture is pale gray, not the single color of a map of zeros.
    let path = place.path().join("out/cat_exit02_cam.png");
    let picture = msdcam::RgbImage::open(&path).unwrap();
    let color = |p: &[u8]| p.iter().max().unwrap() - p.iter().min().unwrap();
    assert!(picture.rgb.chunks_exact(3).all(|p| color(p) <= 8));
}

#[test]
fn results_name_files_relative_to_their_folder_and_errors_of_images() {
    let place = Place::new();
    place.cat("cat.png");
    place.write("bad.png", b"no image");
    place.msdcam("explain bad.png cat.png -o a/b --exits 4");
    let text = String::from_utf8(place.read("a/b/results.jsonl")).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["image"], &lines[1]["image"]), (&Value::from("bad.png"), &Value::from("cat.png")));
    assert!(lines[0]["error"].as_str().unwrap().starts_with("bad.png: file: "), "{text}");
    assert_eq!(lines[1]["exits"][0]["files"]["cam"], "cat_exit04_cam.png");
    assert_eq!(lines[1]["files"]["strip"], "cat_strip.png");
}

#[test]
fn the_manifest_records_model_request_and_device() {
    let place = Place::new();
    place.cat("cat.png");
    place.msdcam("explain cat.png -o out --exits 9,4 --class dog --size 64 --device cpu");
    let manifest: Value = serde_json::from_slice(&place.read("out/manifest.json")).unwrap();
    assert_eq!(manifest["exits"], serde_json::json!([4, 9]));
    assert_eq!((&manifest["class"], &manifest["size"]), (&Value::from("dog"), &Value::from(64)));
    assert_eq!((&manifest["images"], &manifest["failed"]), (&Value::from(1), &Value::from(0)));
    assert!(manifest["device"].as_str().unwrap().starts_with("cpu ("), "{manifest}");
    assert_eq!(manifest["weights"]["source_sha256"].as_str().unwrap().len(), 64);
}

#[test]
fn a_failed_command_leaves_a_manifest_that_says_so() {
    let place = Place::new();
    place.cat("cat.png");
    assert_eq!(place.msdcam("explain cat.png -o out --exits 1").code, 0);
    std::fs::remove_file(place.path().join("out/cat_strip.png")).unwrap();
    std::fs::create_dir(place.path().join("out/cat_strip.png")).unwrap();
    place.msdcam("explain cat.png -o out --exits 1").refused(6, &["cat_strip.png: cannot write: "]);
    let manifest: Value = serde_json::from_slice(&place.read("out/manifest.json")).unwrap();
    let expected = serde_json::json!({ "program": "msdcam", "kind": "photos", "in_progress": true });
    assert_eq!(manifest, expected);
    let names = place.names("out");
    assert!(names.iter().all(|name| !name.ends_with(".tmp")), "{names:?}");
}

/// More images than one group.
fn many(place: &Place) -> Vec<String> {
    let names: Vec<String> = (1..=9).map(|i| format!("photo{i}.png")).collect();
    for (i, name) in names.iter().enumerate() {
        let source = ["chelsea", "noise", "ramp"][i % 3];
        let folder = if i % 3 == 0 { "weights/samples" } else { "tests/golden/images" };
        place.write(name, &std::fs::read(repository(&format!("{folder}/{source}.png"))).unwrap());
    }
    names
}

#[test]
fn a_group_of_images_gives_the_files_of_each_image_alone() {
    let place = Place::new();
    let mut images = many(&place);
    for image in &images {
        let run = place.msdcam(&format!("explain {image} -o alone --size 64 --exits 2,10 --threads 1"));
        assert_eq!(run.code, 0, "{run:?}");
    }
    place.write("bad.png", b"no image");
    images.insert(6, "bad.png".into());
    let run = place.msdcam(&format!(
        "explain {} -o together --size 64 --exits 2,10 --threads 3 --json",
        images.join(" ")
    ));
    run.refused(3, &["error: bad.png: "]);
    let told: Vec<String> = run.json().iter().map(|i| i["image"].as_str().unwrap().into()).collect();
    assert_eq!(told, images, "in the order of the arguments");

    let names = place.names("together");
    assert_eq!(names, place.names("alone"));
    assert_eq!(names.len(), 9 * 4 + 2);
    for name in names.iter().filter(|name| !["results.jsonl", "manifest.json"].contains(&name.as_str())) {
        let [alone, together] = ["alone", "together"].map(|folder| place.read(&format!("{folder}/{name}")));
        assert!(alone == together, "{name}");
    }
}

#[test]
fn stops_at_the_first_file_that_cannot_be_written() {
    let place = Place::new();
    let images = many(&place).join(" ");
    std::fs::create_dir_all(place.path().join("out/photo6_strip.png")).unwrap();
    let run = place.msdcam(&format!("explain {images} -o out --size 64 --exits 1"));
    run.refused(6, &["photo6_strip.png: cannot write: "]);
    let manifest: Value = serde_json::from_slice(&place.read("out/manifest.json")).unwrap();
    assert_eq!(manifest["in_progress"], true);
    let names = place.names("out");
    assert!(!names.contains(&"results.jsonl".into()), "{names:?}");
    assert!(names.iter().all(|name| !name.ends_with(".tmp")), "{names:?}");
}

#[test]
fn images_with_the_same_name_do_not_overwrite_each_other() {
    let place = Place::new();
    place.cat("a/cat.png");
    place.cat("b/CAT.png");
    place.write("c/cat.jpg", &std::fs::read(repository("tests/golden/images/ramp.png")).unwrap());
    let run = place.msdcam("explain a/cat.png b/CAT.png c/cat.jpg -o out --exits 1");
    assert_eq!(run.code, 0, "{run:?}");
    let names = place.names("out");
    for name in ["cat_strip.png", "CAT-2_strip.png", "cat-3_strip.png"] {
        assert!(names.contains(&name.into()), "{name} in {names:?}");
    }
    assert_ne!(place.read("out/cat.npz"), place.read("out/cat-3.npz"));
}

#[cfg(unix)]
#[test]
fn names_with_special_characters_are_harmless() {
    use std::os::unix::ffi::OsStrExt;

    let place = Place::new();
    place.cat("cat.png");
    let awkward: [&[u8]; 4] = [b"a\nb\x1b[31m.png", b"it's \"so\".png", b"caf\xe9.png", b"...png"];
    let mut args = ["explain", "-o", "out", "--exits", "1", "--"].map(std::ffi::OsString::from).to_vec();
    for name in awkward {
        let path = place.path().join("in/..").join(std::ffi::OsStr::from_bytes(name));
        std::fs::create_dir_all(place.path().join("in")).unwrap();
        std::fs::copy(place.path().join("cat.png"), &path).unwrap();
        args.push(path.into());
    }
    let run = place.run(&args);
    assert_eq!(run.code, 0, "{run:?}");
    let shown = run.stdout.lines().filter(|line| line.contains("(451 x 300)")).count();
    assert_eq!(shown, 4, "one line an image: {run:?}");
    assert!(!run.stdout.contains('\u{1b}'), "{run:?}");
    let strips: Vec<_> = place.names("out").into_iter().filter(|name| name.ends_with("_strip.png")).collect();
    let expected = ["a_b_[31m_strip.png", "caf_xe9_strip.png", "image_strip.png", "it's _so__strip.png"];
    assert_eq!(strips, expected);
    // Nothing was written outside of the folder.
    assert_eq!(place.names("in").len(), 0);
}
