//! `msdcam faithfulness`: metrics, files, randomization and pointing.

use serde_json::Value;

use crate::cli::program::{Place, repository};

/// Options for speed: few steps, and one percentile of ROAD.
const QUICK: &str = "--steps 4 --percentiles 50 --device cpu";

/// A folder with four images, as `photos`.
fn photos() -> Place {
    let place = Place::new();
    for name in ["chelsea_32.png", "noise.png", "ramp.png", "blocks.png"] {
        place.write(
            &format!("photos/{name}"),
            &std::fs::read(repository("tests/golden/images").join(name)).unwrap(),
        );
    }
    place
}

fn measure(place: &Place, options: &str) -> Value {
    let run = place.msdcam(&format!("faithfulness photos --json {QUICK} {options}"));
    assert_eq!(run.code, 0, "{run:?}");
    let [report] = &run.json()[..] else { panic!("{run:?}") };
    report.clone()
}

fn rows(report: &Value) -> &Vec<Value> {
    report["rows"].as_array().unwrap()
}

#[test]
fn every_method_and_exit_has_a_row_of_metrics_in_their_ranges() {
    let report = measure(&photos(), "--exits 2,10 --method grad-cam,guided-backprop");
    let places: Vec<_> =
        rows(&report).iter().map(|r| (r["exit"].as_u64().unwrap(), r["method"].as_str().unwrap())).collect();
    assert_eq!(places, [(2, "grad-cam"), (2, "guided-backprop"), (10, "grad-cam"), (10, "guided-backprop")]);
    for row in rows(&report) {
        assert_eq!(row["images"], 4, "{row}");
        let number = |key: &str| row[key].as_f64().unwrap_or_else(|| panic!("{key} of {row}"));
        for share in ["confidence", "average_drop", "absolute_drop", "increase", "average_gain", "complexity"]
        {
            assert!((0.0..=1.0).contains(&number(share)), "{share} of {row}");
        }
        for area in ["deletion", "insertion", "road_morf", "road_lerf", "coherency", "adcc"] {
            assert!((0.0..=1.0).contains(&number(area)), "{area} of {row}");
        }
        assert!((number("road") - (number("road_lerf") - number("road_morf")) / 2.0).abs() < 1e-12, "{row}");
        assert_eq!(row["deletion_curve"]["fractions"].as_array().unwrap().len(), 5, "{row}");
        let last = row["exit"] == 10;
        assert_eq!(row["agreement"]["spearman"] == 1.0 && row["agreement"]["shift"] == 0.0, last, "{row}");
    }
    let settings = &report["about"]["settings"];
    assert_eq!(settings["curves"]["deletion_baseline"], "zero");
    assert_eq!(settings["curves"]["insertion_baseline"], "blur");
    assert_eq!((&settings["ties"], &settings["seed"]), (&Value::from("position"), &Value::from(0)));
    assert!(settings["road"]["percentiles"] == serde_json::json!([50.0]), "{settings}");
}

#[test]
fn writes_tables_charts_and_a_manifest_that_lists_them() {
    let place = photos();
    let run = place.msdcam(&format!("faithfulness photos -o out --exits 1,2 {QUICK}"));
    assert_eq!(run.code, 0, "{run:?}");
    let manifest: Value = serde_json::from_slice(&place.read("out/faithfulness.json")).unwrap();
    let mut listed: Vec<String> =
        manifest["files"].as_array().unwrap().iter().map(|f| f.as_str().unwrap().into()).collect();
    listed.push("faithfulness.json".into());
    listed.sort();
    assert_eq!(listed, place.names("out"));
    for (name, lines) in [("faithfulness.csv", 3), ("curves.csv", 11), ("road.csv", 3)] {
        let text = String::from_utf8(place.read(&format!("out/{name}"))).unwrap();
        assert_eq!(text.lines().count(), lines, "{name}: {text}");
        let widths: Vec<usize> = text.lines().map(|line| line.split(',').count()).collect();
        assert!(widths.iter().all(|w| *w == widths[0]) && !text.contains("NaN"), "{name}: {text}");
    }
    for chart in ["curves_exit01", "road_exit02", "by_exit_road"] {
        assert!(place.read(&format!("out/{chart}.svg")).starts_with(b"<svg"), "{chart}");
        assert!(place.read(&format!("out/{chart}.png")).starts_with(b"\x89PNG"), "{chart}");
    }
    // All metrics are wider than a terminal, so each exit has a line in two tables.
    let table: Vec<&str> = run.stdout.lines().filter(|line| line.contains("grad-cam")).collect();
    assert_eq!(table.len(), 4, "{run:?}");
    assert!(run.stdout.lines().all(|line| line.chars().count() <= 80), "{run:?}");
}

#[test]
fn metrics_depend_on_the_seed_and_not_on_threads() {
    let place = photos();
    let options = "--exits 1 --ties random --skip curves,coherency";
    let one = measure(&place, &format!("{options} --threads 1"));
    let rows_of = |options: &str| measure(&place, options)["rows"].clone();
    assert_eq!(one["rows"], rows_of(&format!("{options} --threads 3")));
    assert_ne!(one["rows"], rows_of(&format!("{options} --seed 1")));
    let row = &rows(&one)[0];
    assert!(row["deletion"].is_null() && row["coherency"].is_null() && row["road"].is_f64(), "{row}");
}

#[test]
fn unusable_images_are_named_and_left_out_of_the_metrics() {
    let place = photos();
    let good = measure(&place, "--exits 1");
    place.write("photos/zzz.png", b"no image");
    let run = place.msdcam(&format!("faithfulness photos --json --exits 1 {QUICK}"));
    assert_eq!(run.code, 3, "{run:?}");
    assert!(run.stderr.contains("zzz.png") && run.stderr.contains("1 of 5 images failed"), "{run:?}");
    let report = &run.json()[0];
    assert_eq!((&report["about"]["images"], &report["about"]["failed"]), (&Value::from(4), &Value::from(1)));
    assert_eq!(report["rows"], good["rows"]);
}

#[test]
fn one_image_is_enough_and_unmeasured_maps_are_counted() {
    let place = photos();
    let checkpoint = repository("tests/golden/nets/blocks-empty.pth");
    assert_eq!(place.run(&["convert", checkpoint.to_str().unwrap(), "-o", "w.safetensors"]).code, 0);
    let options = "--method grad-cam,eigen-cam --weights w.safetensors";
    let report = measure(&place, options);
    let empty: u64 = rows(&report).iter().map(|row| row["empty"].as_u64().unwrap()).sum();
    assert!(empty > 0, "{report}");
    for row in rows(&report) {
        let counted = ["images", "empty", "constant", "nonfinite"].map(|key| row[key].as_u64().unwrap());
        assert_eq!(counted.iter().sum::<u64>(), 4, "{row}");
        assert_eq!(row["average_drop"].is_null(), counted[0] == 0, "{row}");
    }
    let run = place.msdcam(&format!("faithfulness photos {QUICK} {options}"));
    assert!(run.stdout.contains("left out: ") && run.stdout.contains(" empty"), "{run:?}");
    assert!(run.stdout.lines().all(|line| line.chars().count() <= 80), "{}", run.stdout);
    let quiet = place.msdcam(&format!("faithfulness photos {QUICK} {options} -o out --quiet"));
    assert!(
        quiet.code == 0 && quiet.stdout.is_empty() && place.path().join("out/faithfulness.json").is_file(),
        "{quiet:?}"
    );
    let run = place.msdcam(&format!("faithfulness photos/noise.png {QUICK} --exits 1"));
    assert!(run.code == 0 && run.stdout.starts_with("1 image, class: predicted"), "{run:?}");
}

#[test]
fn rejects_invalid_options_in_one_line() {
    let place = photos();
    std::fs::create_dir(place.path().join("nothing")).unwrap();
    place.write("file", b"");
    let refused = |line: &str, code: i32, parts: &[&str]| place.msdcam(line).refused(code, parts);
    refused("faithfulness nothing", 4, &["nothing", "no images: expected"]);
    refused("faithfulness photos --class top2", 2, &["top2", "one class per exit"]);
    refused("faithfulness photos --class cow", 2, &["cow"]);
    refused("faithfulness photos --exits 11", 2, &["exit 11"]);
    refused("faithfulness photos --percentiles 50,100", 2, &["percentile 100"]);
    refused("faithfulness photos --road-noise nan", 2, &["noise of NaN"]);
    refused("faithfulness photos -o file --exits 1", 6, &["file", "expected a folder"]);
    for usage in ["--method gradcam", "--steps 0", "--baseline grey", "--ties none", "--limit 0"] {
        let run = place.msdcam(&format!("faithfulness photos {usage}"));
        assert_eq!(run.code, 2, "{usage}: {run:?}");
    }
    let run = place.msdcam(&format!("faithfulness photos --class label --exits 1 {QUICK}"));
    assert!(
        run.code == 4 && run.stderr.contains("no label") | run.stderr.contains("label: unknown"),
        "{run:?}"
    );
}

#[test]
fn the_randomization_check_has_a_line_for_each_step() {
    let place = photos();
    let options = format!("{QUICK} --exits 1,2 --skip curves,road,coherency --method grad-cam,eigen-cam");
    let run = place.msdcam(&format!("faithfulness photos {options} --randomize 3 -o out"));
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains("does not depend on what the model learned"), "{run:?}");
    let csv = String::from_utf8(place.read("out/randomisation.csv")).unwrap();
    let rows: Vec<Vec<&str>> = csv.lines().skip(1).map(|line| line.split(',').take(5).collect()).collect();
    // The head, then the blocks: two steps at exit 1, three at exit 2, for two methods each.
    assert_eq!(rows.len(), 10, "{csv}");
    assert_eq!(rows[4], ["2", "1", "head 2", "grad-cam", "3"], "{csv}");
    assert!(!csv.contains("NaN"), "{csv}");
    let british = place.msdcam(&format!("faithfulness photos {options} --randomise 3"));
    assert_eq!((british.code, british.stdout), (0, run.stdout));
    assert!(place.read("out/randomisation_exit02.svg").starts_with(b"<svg"));
}

#[test]
fn boxes_and_masks_give_the_same_pointing_energy() {
    let place = photos();
    let boxes = r#"{"noise.png": [{"box": [0, 0, 32, 32]}], "chelsea_32.png": [{"box": [0, 0, 16, 32],
        "class": "cat"}], "ramp.png": [{"box": [0, 0, 9, 9], "class": "zebra"}], "gone.png": []}"#;
    place.write("boxes.json", boxes.as_bytes());
    let options = format!("{QUICK} --exits 10 --skip curves,road,coherency --json");
    let run = place.msdcam(&format!("faithfulness photos {options} --boxes boxes.json"));
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stderr.contains("boxes of an image that was not measured: gone.png"), "{run:?}");
    let pointing = run.json()[0]["rows"][0]["pointing"].clone();
    // One object covers all of noise.png, the cat the left half of its photo; two images have no object
    // of their class.
    assert_eq!((&pointing["images"], &pointing["without_object"]), (&Value::from(2), &Value::from(2)));
    assert_eq!(pointing["object_share"], 0.75);
    let energy = pointing["energy"].as_f64().unwrap();
    assert!(energy > 0.5 && energy < 1.0, "{pointing}");

    // A mask of the left half gives the same energy as the box.
    let masked = |name: &str| {
        let run = place.msdcam(&format!("faithfulness photos/{name} {options} --masks masks"));
        (run.code, run)
    };
    let mut picture = msdcam::imaging::rgb_image::RgbImage::filled(32, 32, [0; 3]);
    for pixel in picture.rgb.chunks_exact_mut(3).enumerate().filter(|(i, _)| i % 32 < 16).map(|(_, p)| p) {
        pixel.fill(255);
    }
    place.write("masks/photos/chelsea_32.png", &msdcam::imaging::encode_png(&picture));
    let (code, run) = masked("chelsea_32.png");
    assert_eq!(code, 0, "{run:?}");
    let of_mask = run.json()[0]["rows"][0]["pointing"].clone();
    assert!(
        (of_mask["energy"].as_f64().unwrap() - (2.0 * energy - 1.0)).abs() < 1e-9,
        "{of_mask} {pointing}"
    );
    assert_eq!(of_mask["object_share"], 0.5);

    let small = msdcam::imaging::rgb_image::RgbImage::filled(31, 32, [9; 3]);
    place.write("masks/photos/noise.png", &msdcam::imaging::encode_png(&small));
    let (code, run) = masked("noise.png");
    assert!(code == 4 && run.stderr.contains("31 x 32 pixels, the image has 32 x 32"), "{run:?}");
    let (_, run) = masked("ramp.png");
    let without = &run.json()[0]["rows"][0]["pointing"];
    assert!(without["energy"].is_null() && without["without_object"] == 1, "{run:?}");
    place.msdcam("faithfulness photos --boxes none.json").refused(4, &["none.json", "cannot read"]);
    place.msdcam("faithfulness photos --masks none").refused(4, &["none", "expected a folder"]);
}
