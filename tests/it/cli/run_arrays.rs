//! The arrays of a run, and which pictures it has.

use crate::cli::explain::{array, arrays};
use crate::cli::program::{Place, repository};
use crate::cli::report::data;
use crate::cli::run::{cifar, rows};

/// A folder `set` of three photos, the second no picture.
fn place() -> Place {
    let place = Place::in_memory();
    place.cat("set/cat/a.png");
    place.write("set/cat/b.png", b"no picture");
    place.write("set/dog/c.png", &std::fs::read(repository("tests/golden/images/noise.png")).unwrap());
    place
}

#[test]
fn a_row_of_an_array_is_what_the_photo_alone_has() {
    let place = place();
    for options in [
        "--exits 2,10",
        "--exits 2,10 --tap all-scales --fuse mean --method grad-cam,layer-cam,input-gradient --class top2",
        "--exits 2,10 --minus exit2 --class dog --smooth flips",
    ] {
        let _ = std::fs::remove_dir_all(place.path().join("run"));
        let line = format!("explain set -o run --pictures none --arrays all {options}");
        place.msdcam(&line).refused(3, &["cat/b.png"]);
        let explain = "explain set/cat/a.png set/dog/c.png -o photos --pictures none";
        assert_eq!(place.msdcam(&format!("{explain} {options}")).code, 0);
        let alone = ["a", "c"].map(|name| arrays(&place.read(&format!("photos/{name}.npz"))));
        let names = place.names("run/arrays");
        let own = ["input.npy", "label.npy", "state.npy", "tap.npy"];
        assert_eq!(names.len(), alone[0].len() + own.len(), "{names:?}");
        for (key, expected) in &alone[0] {
            let (shape, numbers) = array(&place.read(&format!("run/arrays/{key}.npy")));
            if key == "exit" {
                assert_eq!((&shape, &numbers), (&expected.0, &expected.1));
                continue;
            }
            assert_eq!((shape[0], &shape[1..]), (3, &expected.0[..]), "{options}: {key}");
            let row = |i: usize| &numbers[i * expected.1.len()..][..expected.1.len()];
            assert!(row(0) == expected.1 && row(2) == alone[1][key].1, "{options}: {key}");
            assert!(row(1).iter().all(|&x| x == 0.0), "{options}: {key} of an image that failed");
        }
        let own = |key: &str| array(&place.read(&format!("run/arrays/{key}.npy")));
        assert_eq!(own("state"), (vec![3], vec![2.0, 0.0, 2.0]));
        assert_eq!(own("label"), (vec![3], vec![3.0, 3.0, 5.0]));
        assert_eq!(own("input").0, [3, 32, 32, 3]);
    }
}

#[test]
fn the_options_say_which_arrays_there_are_and_of_which_type() {
    let place = Place::in_memory();
    place.write("set.bin", &cifar(5));
    let explain = "explain set.bin --exits 1,10 --pictures none";
    for line in ["-o run", "-o half --dtype f16", "-o few --arrays cam", "-o some --select right@1"] {
        assert_eq!(place.msdcam(&format!("{explain} {line}")).code, 0, "{line}");
    }
    let named = |names: &[&str]| names.iter().map(|name| format!("{name}.npy")).collect::<Vec<_>>();
    let small = ["class", "exit", "label", "region", "score", "state", "tap", "target"];
    let mut default = [&small[..], &["cam", "input", "logits"]].concat();
    default.sort_unstable();
    assert_eq!(place.names("run/arrays"), named(&default));
    let mut few = [&small[..], &["cam"]].concat();
    few.sort_unstable();
    assert_eq!(place.names("few/arrays"), named(&few));
    for key in ["cam", "logits"] {
        let [single, half] =
            ["run", "half"].map(|run| array(&place.read(&format!("{run}/arrays/{key}.npy"))));
        assert_eq!(single.0, half.0);
        let largest = single.1.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
        let close = |(a, b): (&f64, &f64)| (a - b).abs() <= largest / 2048.0;
        assert!(largest > 0.0 && single.1.iter().zip(&half.1).all(close), "{key}");
        assert!(single.1 != half.1, "{key}");
    }
    // Images that were not selected are classified.
    let all = rows(&place, "some/results.jsonl");
    let selected: Vec<f64> =
        all.iter().map(|row| if row["exits"][0]["label_rank"] == 0 { 2.0 } else { 1.0 }).collect();
    assert_eq!(array(&place.read("some/arrays/state.npy")).1, selected);
    assert_eq!(place.read("some/arrays/logits.npy"), place.read("run/arrays/logits.npy"));
    place
        .msdcam(&format!("{explain} -o other --arrays fused"))
        .refused(2, &["--arrays fused: the request has no"]);
    place
        .msdcam(&format!("{explain} -o run --dtype f16"))
        .refused(2, &["dtype: the run has f32, asked for f16"]);
    place
        .msdcam(&format!("{explain} -o run --arrays cam"))
        .refused(2, &["run: arrays that differ: the run has logits and input, asked for none (choose"]);
    place.cat("cat.png");
    place.msdcam("explain cat.png -o other --dtype f16").refused(2, &["--dtype applies to data sets only"]);
}

#[test]
fn only_the_chosen_pictures_are_written() {
    let place = Place::in_memory();
    place.write("set.bin", &cifar(2));
    let pictures = |options: &str| -> Vec<String> {
        let _ = std::fs::remove_dir_all(place.path().join("run"));
        let run = place.msdcam(&format!("explain set.bin -o run --exits 1,10 {options}"));
        assert_eq!(run.code, 0, "{run:?}");
        let row = &rows(&place, "run/results.jsonl")[0];
        let named =
            |name: &serde_json::Value| place.path().join("run").join(name.as_str().unwrap()).is_file();
        assert!(row["files"]["strip"].is_null() || named(&row["files"]["strip"]), "{row}");
        assert!(row["exits"][1]["files"].is_null() || named(&row["exits"][1]["files"]["cam"]), "{row}");
        let folder = place.path().join("run/images/0000");
        if folder.exists() { place.names("run/images/0000") } else { Vec::new() }
    };
    let strips = ["000000_set_00000_strip.png", "000001_set_00001_strip.png"];
    assert_eq!(pictures("--size 32"), strips);
    assert_eq!(pictures("--size 32 --pictures strip"), strips);
    assert_eq!(pictures("--size 32 --pictures none").len(), 0);
    assert_eq!(pictures("--size 32 --pictures all").len(), 6);
    let article = pictures("--style article");
    assert!(article.iter().any(|name| name.ends_with("_0_10_cam.jpg")), "what the style is for: {article:?}");
    assert_eq!(pictures("--size 32"), strips);
    let png = place.read("run/images/0000/000000_set_00000_strip.png");
    for (format, ending, begin) in [("jpeg", "jpg", &b"\xff\xd8\xff"[..]), ("webp", "webp", b"RIFF")] {
        let names = pictures(&format!("--size 32 --format-of-pictures {format}"));
        assert_eq!(names[0], format!("000000_set_00000_strip.{ending}"));
        let bytes = place.read(&format!("run/images/0000/{}", names[0]));
        assert!(bytes.starts_with(begin), "{format}");
        let [decoded, expected] = [&bytes, &png]
            .map(|bytes| msdcam::imaging::decode(bytes, std::path::Path::new("strip")).unwrap());
        let worst = decoded.rgb.iter().zip(&expected.rgb).map(|(a, b)| a.abs_diff(*b)).max();
        let most = if format == "webp" { 0 } else { 90 };
        assert!(decoded.rgb.len() == expected.rgb.len() && worst <= Some(most), "{format}: {worst:?}");
    }
    place
        .msdcam("explain set.bin -o other --style article --format-of-pictures png")
        .refused(2, &["style article: sets its own format-of-pictures"]);
}

#[test]
fn a_report_and_a_figure_need_no_pictures() {
    let place = place();
    place.msdcam("explain set -o run --pictures none --exits 1,2,10").refused(3, &["cat/b.png"]);
    let run = place.msdcam("report run");
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
    let page = String::from_utf8(place.read("run/report.html")).unwrap();
    let shown = data(&page)["images"].as_array().unwrap().clone();
    assert!(shown.len() == 2 && shown.iter().all(|image| !image["maps"].is_null()));
    assert_eq!(page.replace("&#x2f;", "/").matches("data:image/jpeg;base64,").count(), 2, "two photos");
    let run = place.msdcam("figure run --rows a.png,c.png");
    assert_eq!(run.code, 0, "{run:?}");
    std::fs::remove_file(place.path().join("run/arrays/input.npy")).unwrap();
    place.msdcam("figure run --rows a.png").refused(4, &["input.npy: array: is missing"]);
    for (options, cause) in [
        ("--pictures none", "there is neither a film strip nor an array 'input'"),
        (
            "--size 32 --format-of-pictures jpeg",
            "there is no array 'input', and images/0000/000000_cat_a_strip.jpg is no film strip in PNG or WebP",
        ),
    ] {
        let explain = format!("explain set -o few --arrays cam --exits 1,10 {options}");
        place.msdcam(&explain).refused(3, &["cat/b.png"]);
        place.msdcam("figure few --rows a.png").refused(4, &["few: cat/a.png: its photo is lost: ", cause]);
        std::fs::remove_dir_all(place.path().join("few")).unwrap();
    }
}

#[test]
fn until_a_merge_beside_the_shards_has_ended_the_arrays_are_theirs() {
    let place = Place::in_memory();
    place.write("set.bin", &cifar(4));
    for shard in ["1/2", "2/2"] {
        let line = format!("explain set.bin --exits 1,10 --pictures none -o run --shard {shard}");
        assert_eq!(place.msdcam(&line).code, 0);
    }
    let figure = || {
        let run = place.msdcam("figure run --rows 00000,00003 -o figure.png");
        assert_eq!(run.code, 0, "{run:?}");
        place.read("figure.png")
    };
    let before = figure();
    // As an interrupted merge leaves it: the marker, and arrays whose rows are still zero.
    for key in ["cam", "input", "state", "tap"] {
        let mut array = place.read(&format!("run/arrays-1-of-2/{key}.npy"));
        array[128..].fill(0);
        place.write(&format!("run/arrays/{key}.npy"), &array);
    }
    place.write("run/manifest.json", br#"{"program": "msdcam", "kind": "run", "in_progress": true}"#);
    assert_eq!(figure(), before);
}

#[test]
fn the_arrays_of_shards_are_inputs_that_are_not_replaced() {
    let place = Place::in_memory();
    place.write("set.bin", &cifar(4));
    for shard in ["1/2", "2/2"] {
        let line = format!("explain set.bin --exits 1,10 --pictures none -o run --shard {shard}");
        assert_eq!(place.msdcam(&line).code, 0);
    }
    assert_eq!(place.msdcam("merge run -o whole").code, 0);
    for (run, file) in
        [("whole", "arrays/cam.npy"), ("run", "arrays-1-of-2/cam.npy"), ("run", "journal-1-of-2.jsonl")]
    {
        let before = place.read(&format!("{run}/{file}"));
        let line = format!("figure {run} --rows 00000 -o {run}/{file}");
        place.msdcam(&line).refused(2, &[file, "is an input"]);
        assert_eq!(place.read(&format!("{run}/{file}")), before, "{line}");
    }
}

#[test]
fn hostile_arrays_are_refused_in_one_line() {
    let place = Place::in_memory();
    place.write("set.bin", &cifar(2));
    assert_eq!(place.msdcam("explain set.bin --exits 1,10 --pictures none -o run").code, 0);
    let header = |kind: &str, shape: &str| {
        let mut text = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}");
        text.extend(std::iter::repeat_n(' ', 128 - 10 - 1 - text.len()));
        [b"\x93NUMPY\x01\x00\x76\x00", text.as_bytes(), b"\n"].concat()
    };
    let (wide, large) = (header("|u1", "2, 1, 70000, 3"), header("<f4", "2, 10, 60000, 60000"));
    for (key, mut bytes) in [("input", wide), ("cam", large)] {
        let kept = place.read(&format!("run/arrays/{key}.npy"));
        if key == "input" {
            bytes.extend(vec![0; 2 * 70_000 * 3]);
        }
        place.write(&format!("run/arrays/{key}.npy"), &bytes);
        let run = place.msdcam("report run -o page.html");
        assert!([0, 3, 4].contains(&run.code) && !run.stderr.contains("panicked"), "{key}: {run:?}");
        assert!(run.stderr.contains(key), "{key}: {run:?}");
        place.write(&format!("run/arrays/{key}.npy"), &kept);
    }
}
