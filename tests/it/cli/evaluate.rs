//! `msdcam evaluate`: accuracy, output files, early exit and invalid input.

use serde_json::{Value, json};

use crate::cli::program::{Place, Run, repository};
use crate::common::cifar::cifar_record;

const IMAGES: [&str; 4] = ["chelsea_32.png", "noise.png", "ramp.png", "blocks.png"];

/// Writes a CIFAR-10 file of the four images with these labels.
fn batch(place: &Place, labels: [u8; 4]) {
    let mut bytes = Vec::new();
    for (name, label) in IMAGES.iter().zip(labels) {
        let path = repository("tests/golden/images").join(name);
        bytes.extend(cifar_record(label, &msdcam::RgbImage::open(&path).unwrap()));
    }
    place.write("batch.bin", &bytes);
}

/// Writes folders `cat` and `dog` with two images each.
fn folders(place: &Place) {
    for (name, image) in [("cat/a.png", 0), ("cat/b.png", 1), ("dog/a.png", 2), ("dog/b.png", 3)] {
        let bytes = std::fs::read(repository("tests/golden/images").join(IMAGES[image])).unwrap();
        place.write(name, &bytes);
    }
}

fn report(run: &Run) -> Value {
    assert_eq!(run.code, 0, "{run:?}");
    let [report] = &run.json()[..] else { panic!("expected one object in {run:?}") };
    report.clone()
}

fn numbers(values: &Value, key: &str) -> Vec<f64> {
    values.as_array().unwrap().iter().map(|value| value[key].as_f64().unwrap()).collect()
}

/// Class and probability that `classify` prints for each of the four images and each exit.
fn predicted(place: &Place) -> Vec<Vec<(u64, f64)>> {
    IMAGES.iter().for_each(|name| place.small(name));
    let run = place.msdcam(&format!("classify {} --json", IMAGES.join(" ")));
    let said = |exit: &Value| (exit["class"].as_u64().unwrap(), exit["probability"].as_f64().unwrap());
    run.json().iter().map(|image| image["exits"].as_array().unwrap().iter().map(said).collect()).collect()
}

#[test]
fn accuracies_agree_with_classify() {
    let place = Place::new();
    let said = predicted(&place);
    let labels = [3, 6, said[2][0].0 as u8, said[3][9].0 as u8];
    batch(&place, labels);
    let report = report(&place.msdcam("evaluate batch.bin --json"));
    assert_eq!((&report["images"], &report["failed"]), (&json!(4), &json!(0)));
    assert_eq!(numbers(&report["exits"], "exit"), (1..=10).map(f64::from).collect::<Vec<_>>());
    let right = |exit: usize| (0..4).filter(|&i| said[i][exit].0 == u64::from(labels[i])).count();
    let expected: Vec<f64> = (0..10).map(|exit| 25.0 * right(exit) as f64).collect();
    assert_eq!(numbers(&report["exits"], "top1"), expected);
    assert!(expected.iter().any(|&e| e != expected[0]), "the exits must differ: {expected:?}");
    for (top1, top5) in expected.iter().zip(numbers(&report["exits"], "top5")) {
        assert!(top5 >= *top1, "{top5} {top1}");
    }
    let work = numbers(&report["exits"], "multiply_adds");
    assert!(work.is_sorted() && work[9] == 147_386_880.0, "{work:?}");
    let cat = report["exits"][0]["classes"][3].clone();
    assert_eq!((&cat["class"], &cat["images"]), (&json!("cat"), &json!(1)));
}

#[test]
fn all_files_agree() {
    let place = Place::new();
    folders(&place);
    let printed = report(&place.msdcam("evaluate . --json -o out"));
    let files = ["confusion.csv", "dynamic.txt", "evaluation.json", "hardness.csv", "hardness.json"];
    assert_eq!(place.names("out"), files);
    let read = |name: &str| String::from_utf8(place.read(&format!("out/{name}"))).unwrap();
    let mut written: Value = serde_json::from_str(&read("evaluation.json")).unwrap();
    let marker = ["program", "kind"].map(|field| written.as_object_mut().unwrap().remove(field).unwrap());
    assert_eq!(marker, ["msdcam", "evaluation"]);
    assert_eq!(printed, written);
    let csv = read("hardness.csv");
    let rows: Vec<Vec<&str>> = csv.lines().skip(1).map(|line| line.split(',').collect()).collect();
    let ids: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    assert_eq!(ids, ["cat/a.png", "cat/b.png", "dog/a.png", "dog/b.png"]);
    let hardness: Value = serde_json::from_str(&read("hardness.json")).unwrap();
    for (row, image) in rows.iter().zip(hardness["images"].as_array().unwrap()) {
        let right: Vec<u64> =
            image["right"].as_array().unwrap().iter().map(|r| r.as_u64().unwrap()).collect();
        let csv: Vec<u64> = row[5..].iter().map(|field| field.parse().unwrap()).collect();
        assert_eq!(
            (row[0], right.iter().sum::<u64>().to_string()),
            (image["image"].as_str().unwrap(), row[3].into())
        );
        assert_eq!(csv, right);
    }
    for (exit, top1) in numbers(&printed["exits"], "top1").iter().enumerate() {
        let right = rows.iter().filter(|row| row[5 + exit] == "1").count();
        assert_eq!(*top1, 25.0 * right as f64, "exit {}", exit + 1);
    }
    let counted: u64 = read("confusion.csv")
        .lines()
        .skip(1)
        .map(|l| l.rsplit(',').next().unwrap().parse::<u64>().unwrap())
        .sum();
    assert_eq!(counted, 40);
    assert_eq!(read("dynamic.txt").lines().count(), 39);
}

#[test]
fn one_exit_is_not_compared_with_itself() {
    let place = Place::new();
    folders(&place);
    let text = place.msdcam("evaluate . --exits 3").stdout;
    assert!(text.contains("top-1 % at exit") && !text.contains("correct exit"), "{text}");
    assert!(!text.contains("Budgets"), "{text}");
    let asked = place.msdcam("evaluate . --exits 3 --evalmode dynamic").stdout;
    assert!(asked.contains("Budgets"), "{asked}");
}

#[test]
fn prints_the_requested_tables() {
    let place = Place::new();
    folders(&place);
    let all = place.msdcam("evaluate .");
    assert_eq!(all.code, 0, "{all:?}");
    for part in ["4 images, 10 classes", "top-1 % at exit", "correct exits", "Budgets: ", "airplane"] {
        assert!(all.stdout.contains(part), "{part}: {all:?}");
    }
    let wide = |text: &str| text.lines().find(|line| line.chars().count() > 80).map(String::from);
    assert_eq!(wide(&all.stdout), None, "{}", all.stdout);
    assert_eq!(wide(&place.msdcam("evaluate . --early-exit 0.6 -b 1024").stdout), None);
    let quiet = place.msdcam("evaluate . -o out --quiet");
    assert_eq!((quiet.code, quiet.stdout.as_str(), quiet.stderr.as_str()), (0, "", ""));
    assert!(place.path().join("out/evaluation.json").is_file());
    let anytime = place.msdcam("evaluate . --evalmode anytime --quiet").stdout;
    assert_eq!(anytime.lines().count(), 3 + 10, "{anytime}");
    let dynamic = place.msdcam("evaluate . --evalmode dynamic").stdout;
    assert_eq!(dynamic.lines().count(), 4 + 39, "{dynamic}");
    let list = place.msdcam("evaluate . --class dog --exits 1,2").stdout;
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines.len(), 2, "{list}");
    assert!(lines[0].starts_with('[') && lines[0].ends_with("] dog/a.png dog"), "{list}");
    let run = place.msdcam("evaluate . --list --json");
    assert_eq!(run.json().len(), 4);
    assert_eq!(run.json()[0]["right"].as_array().unwrap().len(), 10);
}

#[test]
fn early_exit_gives_the_same_predictions_for_less_work() {
    let place = Place::new();
    let said = predicted(&place);
    batch(&place, [3, 6, 0, 0]);
    let full = report(&place.msdcam("evaluate batch.bin --json"));
    let work = numbers(&full["exits"], "multiply_adds");
    for threshold in [0.3, 0.6, 0.9] {
        let stops_at = |exits: &Vec<(u64, f64)>| exits.iter().position(|e| e.1 >= threshold).unwrap_or(9);
        let mut left = vec![0; 10];
        said.iter().for_each(|exits| left[stops_at(exits)] += 1);
        let report =
            report(&place.msdcam(&format!("evaluate batch.bin --json --early-exit {threshold} -b 3")));
        let early = &report["early_exit"];
        assert_eq!((&early["left"], &early["same_predictions"]), (&json!(left), &json!(true)), "{early}");
        let mean = left.iter().zip(&work).map(|(&n, work)| f64::from(n) * work).sum::<f64>() / 4.0;
        assert_eq!(early["multiply_adds"].as_f64(), Some(mean));
        assert_eq!(early["multiply_adds_all"].as_f64(), Some(work[9]));
        assert_eq!(report["exits"][4]["top1"], full["exits"][4]["top1"]);
    }
    // Thresholds from a file: all images stop at exit 2.
    place.write("t.json", b"[null, 0.0, null, null, null, null, null, null, null, 0]");
    let early = &report(&place.msdcam("evaluate batch.bin --json --early-exit t.json"))["early_exit"];
    assert_eq!(early["left"], json!([0, 4, 0, 0, 0, 0, 0, 0, 0, 0]));
    let early = &report(&place.msdcam("evaluate batch.bin --json --budget 150M"))["early_exit"];
    assert_eq!((&early["images"], &early["left"]), (&json!(2), &json!([0, 0, 0, 0, 0, 0, 0, 0, 0, 2])));
    let shown = place.msdcam("evaluate batch.bin --early-exit 0.6").stdout;
    assert!(shown.contains("the same as without early exit"), "{shown}");
}

#[test]
fn rejects_unusable_input_in_one_line() {
    let place = Place::new();
    folders(&place);
    place.small("ramp.png");
    place.write("cut.bin", &[0; 3072]);
    std::fs::create_dir(place.path().join("empty")).unwrap();
    place.write("people/ann/a.png", &place.read("ramp.png"));
    place.write("mixed/cat/a.png", &place.read("ramp.png"));
    place.write("mixed/cow/a.png", &place.read("ramp.png"));
    place.write("t.json", b"[0.5]");
    place.write("no.json", b"{}");
    for (line, code, parts) in [
        ("evaluate ramp.png", 4, &["ramp.png: labels: the images have none"][..]),
        ("evaluate cat", 4, &["cat: labels: the images have none"]),
        ("evaluate empty", 4, &["empty: folder: no images"]),
        ("evaluate missing", 4, &["missing: file: cannot read: No such file or directory"]),
        ("evaluate missing --format cifar10", 4, &["missing: file: cannot read: No such file or directory"]),
        ("evaluate missing --format folders", 4, &["missing: file: cannot read: No such file or directory"]),
        ("evaluate cut.bin", 4, &["cut.bin: length: 3072 bytes"]),
        (
            "evaluate people",
            4,
            &["people: labels: no folder has the name", "are ann, ", "10 classes are airplane, "],
        ),
        ("classify people", 4, &["people: labels: no folder", "; --labels-by none ignores the labels"]),
        ("evaluate people --labels-by none", 2, &["--labels-by none: evaluate needs the labels"]),
        ("evaluate mixed", 4, &["mixed: labels: the network has no class cow"]),
        ("evaluate mixed --class cow", 2, &["class 'cow'"]),
        ("evaluate mixed --class predicted", 2, &["class 'predicted': the network has airplane, "]),
        ("evaluate .", 4, &[".: labels: the images have none"]),
        ("evaluate . --format folders", 4, &[".: folder: image beside the class folders: ramp.png"]),
        ("evaluate mixed/cat ramp.png --exits 11", 2, &["exit 11"]),
    ] {
        place.msdcam(line).refused(code, parts);
    }
    batch(&place, [0; 4]);
    for (name, first) in [("below.json", "-1"), ("above.json", "2")] {
        place.write(name, format!("[{first}{}]", ", null".repeat(9)).as_bytes());
    }
    for (options, code, parts) in [
        ("--early-exit 1.5", 2, &["1.5", "at most 1"][..]),
        ("--early-exit t.json", 4, &["t.json: thresholds: expected one for each of 10 exits, found 1"]),
        ("--early-exit no.json", 4, &["no.json: thresholds: expected a JSON list"]),
        ("--early-exit below.json", 4, &["below.json: thresholds: -1: expected numbers from 0 to 1"]),
        ("--early-exit above.json", 4, &["above.json: thresholds: 2: expected numbers from 0 to 1"]),
        ("--early-exit missing.json", 4, &["missing.json: file: cannot read"]),
        ("--budget 20M", 2, &["the first exit alone takes 24303872 multiply-adds"]),
        ("--budget much", 2, &["50M"]),
        ("--budget 60M --early-exit 0.5", 2, &["cannot be used with"]),
        ("-o batch.bin", 6, &["batch.bin: cannot write: is a file"]),
        ("-b 0", 2, &[]),
    ] {
        place.msdcam(&format!("evaluate batch.bin {options}")).refused(code, parts);
    }
}

#[test]
fn unusable_images_are_left_out_and_named() {
    let place = Place::new();
    folders(&place);
    place.write("cat/\u{202e}\"bad\",\n.png", b"no image");
    let run = place.msdcam("evaluate . --json -o out");
    run.refused(3, &["cat/\\u{202e}\"bad\",\\n.png: file: not a PNG"]);
    assert!(run.stderr.contains("1 of 5 images failed: cat/\\u{202e}\"bad\",\\n.png"), "{run:?}");
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&report["images"], &report["failed"]), (&json!(4), &json!(1)));
    // Its position must not shift the other images.
    let hardness: Value = serde_json::from_slice(&place.read("out/hardness.json")).unwrap();
    let ids: Vec<&str> =
        hardness["images"].as_array().unwrap().iter().map(|i| i["image"].as_str().unwrap()).collect();
    assert_eq!(ids, ["cat/a.png", "cat/b.png", "dog/a.png", "dog/b.png"]);
    std::fs::remove_dir_all(place.path().join("out")).unwrap();
    let run = place.msdcam("evaluate cat/.. dog/../cat/.. --list --exits 1 --quiet");
    assert_eq!((run.code, run.stdout.lines().count()), (3, 8), "{run:?}");
}

#[cfg(unix)]
#[test]
fn names_in_csv_files_are_neither_formulas_nor_control_characters() {
    let place = Place::new();
    let png = std::fs::read(repository("tests/golden/images/ramp.png")).unwrap();
    for class in ["=1+1", "@x", "a\u{1b}[31m", "d", "e", "f", "g", "h", "i", "j"] {
        place.write(&format!("set/{class}/a.png"), &png);
    }
    assert_eq!(place.msdcam("evaluate set -o out --exits 1 -q --labels-by order").code, 0);
    let text = String::from_utf8(place.read("out/hardness.csv")).unwrap();
    for line in ["\n'=1+1/a.png,0,", "\n'@x/a.png,1,", "\na\\u{1b}[31m/a.png,2,"] {
        assert!(text.contains(line), "{text}");
    }
    assert!(!text.contains('\u{1b}') && !text.lines().any(|line| line.starts_with(['=', '@'])), "{text}");
}
