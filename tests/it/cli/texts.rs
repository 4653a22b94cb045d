//! Texts and names as people and their programs write them: encodings, scripts, lists of class names.

use serde_json::Value;

use crate::cli::program::{Place, Run, repository};

/// The text in UTF-8 with a byte order mark, and in UTF-16 of both byte orders, as PowerShell writes it.
fn encoded(text: &str) -> [Vec<u8>; 3] {
    let utf16 =
        |to: fn(u16) -> [u8; 2]| [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(to).collect();
    [[b"\xef\xbb\xbf", text.as_bytes()].concat(), utf16(u16::to_le_bytes), utf16(u16::to_be_bytes)]
}

fn images(run: &Run) -> Vec<String> {
    run.json().iter().map(|image| image["image"].as_str().unwrap().into()).collect()
}

/// Weights of three classes with these names.
fn with_labels(place: &Place, labels: &[u8]) -> Run {
    place.write("labels.txt", labels);
    let checkpoint = repository("tests/golden/checkpoints/blocks_zip.pt");
    place.run(&["convert", checkpoint.to_str().unwrap(), "--labels", "labels.txt", "-o", "w.safetensors"])
}

#[test]
fn lists_and_json_may_have_a_byte_order_mark_and_be_utf_16() {
    let place = Place::new();
    for name in ["ramp.png", "noise.png"] {
        place.small(name);
    }
    std::fs::rename(place.path().join("noise.png"), place.path().join("\u{e9}\u{732b}.png")).unwrap();
    for list in encoded("ramp.png\r\n\u{e9}\u{732b}.png\r\n") {
        let run = place.piped("classify - --json --exits 1", &list);
        assert_eq!(
            (run.code, images(&run)),
            (0, vec!["ramp.png".into(), "\u{e9}\u{732b}.png".into()]),
            "{run:?}"
        );
    }
    let record: Vec<u8> = (0..3073).map(|i| if i == 0 { 3 } else { (i % 251) as u8 }).collect();
    place.write("batch.bin", &record);
    for thresholds in encoded("[0.5, null, null, null, null, null, null, null, null, 0]") {
        place.write("t.json", &thresholds);
        let run = place.msdcam("evaluate batch.bin --early-exit t.json --json");
        assert_eq!((run.code, &run.json()[0]["early_exit"]["thresholds"][0]), (0, &0.5.into()), "{run:?}");
    }
    for boxes in encoded(r#"{"ramp.png": [{"box": [1, 1, 20, 20]}]}"#) {
        place.write("boxes.json", &boxes);
        let run = place
            .msdcam("faithfulness ramp.png --boxes boxes.json --json --exits 1 --steps 4 --percentiles 50");
        assert!(run.code == 0 && !run.stderr.contains("boxes.json"), "{run:?}");
    }
    place.write("t.json", b"\xff\xfe[");
    place.msdcam("evaluate batch.bin --early-exit t.json").refused(4, &["t.json: UTF-16: half a character"]);
}

#[cfg(target_os = "linux")]
#[test]
fn names_that_are_not_utf_8_stay_different_everywhere() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    let png = std::fs::read(repository("tests/golden/images/ramp.png")).unwrap();
    for name in [&b"set/cat/caf\xe8.png"[..], b"set/cat/caf\xe9.png"] {
        let path = place.path().join(std::ffi::OsStr::from_bytes(name));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &png).unwrap();
    }
    let ids = [r"cat/caf\xe8.png", r"cat/caf\xe9.png"];
    assert_eq!(images(&place.msdcam("classify set --json --exits 1")), ids);
    assert_eq!(place.msdcam("explain set -o run --exits 1 --size 16").code, 0);
    let results = String::from_utf8(place.read("run/results.jsonl")).unwrap();
    let rows: Vec<Value> = results.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!([&rows[0]["image"], &rows[1]["image"]], ids);
    let files = place.names("run/images/0000");
    for stem in ["000000_cat_caf_xe8_strip.png", "000001_cat_caf_xe9_strip.png"] {
        assert!(files.iter().any(|name| name == stem), "{files:?}");
    }
    assert_eq!(place.msdcam("evaluate set -o run --exits 1 -q").code, 0);
    let csv = String::from_utf8(place.read("run/hardness.csv")).unwrap();
    assert!(ids.iter().all(|id| csv.contains(id)), "{csv}");
    assert_eq!(place.msdcam("report run --no-plots").code, 0);
    let page = String::from_utf8(place.read("run/report.html")).unwrap();
    assert!([r"caf\xe8.png", r"caf\xe9.png"].iter().all(|name| page.contains(name)), "the report names both");
    let bad = place.path().join(std::ffi::OsStr::from_bytes(b"set/cat/caf\xe9.png"));
    std::fs::write(bad, b"no image").unwrap();
    place.msdcam("classify set --exits 1").refused(3, &[r"set/cat/caf\xe9.png: file: "]);
}

#[test]
fn class_names_in_other_scripts_are_numbers_in_pictures_with_one_warning() {
    let place = Place::new();
    let run = with_labels(&place, "\u{732b}\n\u{5db}\u{5dc}\u{5d1}\n\u{43a}\u{43e}\u{442}\n".as_bytes());
    assert_eq!(run.code, 0, "{run:?}");
    for name in ["ramp.png", "noise.png"] {
        place.small(name);
    }
    std::fs::rename(place.path().join("noise.png"), place.path().join("\u{72ac}.png")).unwrap();
    let explain = "explain ramp.png \u{72ac}.png --weights w.safetensors --size 64";
    let run = place.msdcam(&format!("{explain} -o out"));
    let warning = "pictures have no letters for 2 class names (\u{732b}, ...) and the file name \u{72ac}.png: they \
                   show numbers instead\n";
    assert_eq!((run.code, run.stderr.matches(warning).count()), (0, 1), "{run:?}");
    let strip = place.read("out/ramp_strip.png");
    // The same pictures as of a network whose classes are called by those numbers.
    with_labels(&place, "0\n1\n\u{43a}\u{43e}\u{442}\n".as_bytes());
    let run = place.msdcam(&format!("{explain} -o numbers"));
    assert!(run.stderr.contains("letters for the file name \u{72ac}.png: they"), "{run:?}");
    assert!(strip == place.read("numbers/ramp_strip.png"), "the strips differ");
    let run = place.msdcam(&format!("{explain} -o quiet --quiet"));
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
}

#[test]
fn lists_of_class_names_as_they_go_around_are_read() {
    let place = Place::new();
    let labels = || -> Value {
        place.small("ramp.png");
        place.msdcam("explain ramp.png --weights w.safetensors --size 16 -o out");
        let manifest: Value = serde_json::from_slice(&place.read("out/manifest.json")).unwrap();
        manifest["labels"].clone()
    };
    for text in ["0, crane\n1, owl\n2, crane\n", "n01440764 crane\nn01440765 owl\nn01440766 crane"] {
        let run = with_labels(&place, text.as_bytes());
        assert_eq!(run.code, 0, "{run:?}");
        assert!(run.stderr.contains("note: classes of the same name are crane (0), crane (2)\n"), "{run:?}");
        assert_eq!(labels(), serde_json::json!(["crane (0)", "owl", "crane (2)"]));
    }
}
