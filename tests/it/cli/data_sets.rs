//! Large, unusual and malformed data sets on the command line.

use std::io::Write;

use crate::cli::program::{Place, Run, repository};

#[test]
fn reads_a_list_of_paths_from_standard_input() {
    let place = Place::new();
    for name in ["ramp.png", "noise.png", "blocks.png"] {
        place.small(name);
    }
    std::fs::rename(place.path().join("noise.png"), place.path().join("a\nb.png")).unwrap();
    let images = |run: &Run| -> Vec<String> {
        run.json().iter().map(|image| image["image"].as_str().unwrap().into()).collect()
    };
    let run = place.piped("classify - --json --exits 1", b"ramp.png\r\n\n./blocks.png\n");
    assert_eq!((run.code, images(&run)), (0, vec!["ramp.png".into(), "./blocks.png".into()]), "{run:?}");
    let run = place.piped("classify ramp.png - -0 --json --exits 1", b"a\nb.png\0missing.png\0");
    assert_eq!(images(&run), ["ramp.png", "a\nb.png", "missing.png"]);
    run.refused(3, &["missing.png: file: cannot read"]);
    place.piped("classify -", b"\n").refused(4, &["standard input: list: contains no path"]);
    place.piped("classify -", b"a.png\0b.png\0").refused(2, &["NUL"]);
}

#[test]
fn reads_a_picture_from_standard_input() {
    let place = Place::new();
    place.small("ramp.png");
    let picture = place.read("ramp.png");
    let by_name = place.msdcam("classify ramp.png --json --exits 1,10");
    let run = place.piped("classify - --json --exits 1,10", &picture);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(run.stdout.replace("\"stdin\"", "\"ramp.png\""), by_name.stdout);
    // Between other photos, and as a photo of its own rather than a set.
    let run = place.piped("explain ramp.png - -o out --exits 1 --size 32", &picture);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(place.read("out/ramp_exit01_cam.png"), place.read("out/stdin_exit01_cam.png"));
    place
        .piped("explain - -o run --exits 1 --retry-failed", &picture)
        .refused(2, &["--retry-failed applies to data sets only"]);
    place.piped("evaluate -", &picture).refused(4, &["stdin: labels: the images have none"]);
    let cut = &picture[..picture.len() / 2];
    place.piped("classify -", cut).refused(4, &["stdin: PNG: truncated"]);
    place.piped("classify - --photo-memory 64", &picture).refused(4, &["stdin: memory: reading it takes "]);
}

#[test]
fn explain_and_classify_read_the_labels_of_folders() {
    let place = Place::new();
    for (name, image) in [("cat/x.png", "chelsea_32.png"), ("dog/x.png", "noise.png")] {
        place.write(name, &std::fs::read(repository("tests/golden/images").join(image)).unwrap());
    }
    for line in ["classify . --json --exits 1,10", "explain . --json --exits 1,10 -o out --size 32"] {
        let run = place.msdcam(line);
        assert_eq!(run.code, 0, "{run:?}");
        let images = run.json();
        assert_eq!((&images[0]["image"], &images[0]["label_name"]), (&"cat/x.png".into(), &"cat".into()));
        assert_eq!((&images[1]["image"], &images[1]["label"]), (&"dog/x.png".into(), &5.into()));
        for image in &images {
            for exit in image["exits"].as_array().unwrap() {
                assert_eq!(exit["label_rank"] == 0, exit["class"] == image["label"], "{image}");
            }
        }
        std::fs::remove_dir_all(place.path().join("out")).unwrap_or_default();
    }
}

/// Each folder of `names` holds a photo of the class at its place.
fn class_folders(place: &Place, set: &str, names: &[&str]) {
    let image = std::fs::read(repository("tests/golden/images/chelsea_32.png")).unwrap();
    names.iter().for_each(|name| place.write(&format!("{set}/{name}/a.png"), &image));
}

#[test]
fn folders_that_are_called_by_numbers_are_taken_by_their_value_and_told() {
    let place = Place::new();
    let names = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"];
    class_folders(&place, "F1", &names);
    let run = place.msdcam("evaluate F1 --exits 10 -o out --list --json");
    assert_eq!(run.code, 0, "{run:?}");
    let note = "labels by number: 1 = airplane, 2 = automobile, 3 = bird, 4 = cat, 5 = deer, 6 = dog, 7 = frog, \
                8 = horse, 9 = ship, 10 = truck\n";
    assert!(run.stderr.contains(note), "{run:?}");
    let truth: Vec<_> = run.json().iter().map(|row| row["label_name"].clone()).collect();
    assert_eq!((&truth[0], &truth[1], &truth[9]), (&"airplane".into(), &"truck".into(), &"ship".into()));
    let report: serde_json::Value = serde_json::from_slice(&place.read("out/evaluation.json")).unwrap();
    let mapping = &report["label_mapping"];
    assert_eq!((&mapping["by"], mapping["classes"].as_array().unwrap().len()), (&"number".into(), 10));
    let truck = serde_json::json!({ "name": "10", "class": 9, "class_name": "truck" });
    assert_eq!(mapping["classes"][1], truck);
    // Neither a name nor a number says which is which.
    let run = place.msdcam("explain F1 --exits 1 --size 16 -o run --quiet");
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
    let manifest: serde_json::Value = serde_json::from_slice(&place.read("run/manifest.json")).unwrap();
    assert_eq!(manifest["dataset"]["label_mapping"], *mapping);
}

#[test]
fn folders_that_are_no_classes_need_the_order_to_be_asked_for() {
    let place = Place::new();
    let german = ["Auto", "Flugzeug", "Frosch", "Hirsch", "Hund", "Katze", "LKW", "Pferd", "Schiff", "Vogel"];
    class_folders(&place, "F2", &german);
    let cause = ["F2: labels: no folder has the name or number of a class: the folders are Auto, Flugzeug, "];
    place.msdcam("evaluate F2").refused(4, &cause);
    place.msdcam("evaluate F2").refused(4, &["; --labels-by order takes them in sorted order"]);
    place.msdcam("classify F2").refused(4, &["sorted order; --labels-by none ignores the labels"]);
    let run = place.msdcam("evaluate F2 --labels-by order --exits 1 --json");
    assert!(
        run.code == 0 && run.stderr.contains("labels by order: Auto = airplane, Flugzeug = auto"),
        "{run:?}"
    );
    assert_eq!(run.json()[0]["label_mapping"]["by"], "order");
    let run = place.msdcam("classify F2 --labels-by none --exits 1 --json");
    assert!(run.code == 0 && run.json().iter().all(|row| row["label"].is_null()), "{run:?}");
    class_folders(&place, "few", &["1", "2"]);
    place.msdcam("evaluate few").refused(4, &["few: labels: the folders 1, 2 may count from 0 or from 1"]);
    let run = place.msdcam("evaluate few --labels-by number --exits 1");
    assert!(run.code == 0 && run.stderr.contains("labels by number: 1 = automobile, 2 = bird\n"), "{run:?}");
}

#[cfg(unix)]
#[test]
fn folders_that_are_no_classes_cost_themselves_alone() {
    let place = Place::new();
    for set in ["clean", "F3", "F4"] {
        class_folders(&place, set, &["cat", "dog"]);
    }
    place.write("F3/__MACOSX/._cat", b"\0\x05\x16\x07");
    place.write("F3/@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg", b"");
    std::fs::create_dir(place.path().join("F3/new folder")).unwrap();
    std::os::unix::fs::symlink(".", place.path().join("F4/loop")).unwrap();
    let listed = |set: &str| place.msdcam(&format!("evaluate {set} --list --exits 1,10"));
    let clean = listed("clean");
    assert_eq!((clean.code, listed("F3").stdout), (0, clean.stdout.clone()));
    let run = listed("F4");
    assert_eq!(run.stdout, clean.stdout);
    run.refused(3, &["F4/loop: folder: symbolic link to a parent folder"]);
    assert!(run.stderr.ends_with("1 of 3 images failed: loop\n"), "{run:?}");
}

/// A CIFAR file whose labels are class numbers, through a network that calls some of the classes otherwise.
#[test]
fn a_cifar_file_needs_no_equal_names_and_one_of_other_classes_has_no_labels() {
    let place = Place::new();
    let records = |labels: &[u8]| -> Vec<u8> {
        (0..2)
            .flat_map(|i| labels.iter().map(move |l| l + i).chain((0..3072).map(|p| (p % 251) as u8)))
            .collect()
    };
    place.write("ten.bin", &records(&[0]));
    place.write("hundred.bin", &records(&[0, 50]));
    // The names of PyTorch's tutorial, in a header of the same length.
    let mut weights = std::fs::read(repository("weights/cifar10/msdnet_cifar10.safetensors")).unwrap();
    let len = u64::from_le_bytes(weights[..8].try_into().unwrap()) as usize;
    let header = std::str::from_utf8(&weights[8..8 + len]).unwrap();
    let header = header.replacen("airplane", "plane", 1).replacen("automobile", "car", 1);
    weights[8..8 + len].copy_from_slice((header.clone() + &" ".repeat(len - header.len())).as_bytes());
    place.write("w.safetensors", &weights);
    for line in ["evaluate ten.bin --json", "evaluate ten.bin --json --format cifar10"] {
        let run = place.msdcam(&format!("{line} --weights w.safetensors --exits 1"));
        let note = "labels by number: airplane = plane, automobile = car\n";
        assert!(run.code == 0 && run.stderr.contains(note), "{run:?}");
        assert_eq!(run.json()[0]["label_mapping"]["classes"][0]["class_name"], "plane");
    }
    let run = place.msdcam("classify hundred.bin --json --exits 1");
    let note = "hundred.bin: no labels: 100 classes (apple, aquarium_fish, ";
    assert!(run.code == 0 && run.stderr.contains(note), "{run:?}");
    assert!(run.json().iter().all(|row| row["label"].is_null()) && run.json().len() == 2, "{run:?}");
    place.msdcam("evaluate hundred.bin").refused(4, &["hundred.bin: labels: 100 classes (apple, "]);
    let run = place.msdcam("classify ten.bin --labels-by none --json --exits 1");
    assert!(run.json().iter().all(|row| row["label"].is_null()), "{run:?}");
    // What PyTorch's users have.
    let folder = repository("tests/golden/cifar/cifar-10-batches-py");
    let run = place.run(&["evaluate", folder.to_str().unwrap(), "--json", "--exits", "1"]);
    assert!(run.code == 0 && run.stderr.contains("its test batch, test_batch; others by name\n"), "{run:?}");
    assert_eq!(run.json()[0]["images"], 2);
}

#[test]
fn results_inside_the_data_set_are_not_part_of_it() {
    let place = Place::new();
    for name in ["cat/x.png", "dog/x.png"] {
        place.write(name, &std::fs::read(repository("tests/golden/images/noise.png")).unwrap());
    }
    let explain = "explain . --exits 1 --size 16";
    for line in [
        explain.into(),
        explain.into(),
        format!("{explain} -o other"),
        format!("{explain} --shard 1/2 -o half"),
        format!("{explain} --shard 2/2 -o half"),
    ] {
        assert_eq!(place.msdcam(&line).code, 0, "{line}");
    }
    let run = place.msdcam("classify . --exits 1 --json");
    assert_eq!((run.code, run.json().len()), (0, 2), "{run:?}");
}

#[test]
fn limit_keeps_the_first_images() {
    let place = Place::new();
    for name in ["noise.png", "ramp.png", "blocks.png"] {
        place.small(name);
        place.write(&format!("photos/{name}"), &place.read(name));
    }
    let images = |line: &str| -> Vec<String> {
        let run = place.msdcam(line);
        assert_eq!(run.code, 0, "{run:?}");
        run.json().iter().map(|image| image["image"].as_str().unwrap().into()).collect()
    };
    assert_eq!(images("classify photos --json --exits 1 --limit 2"), ["blocks.png", "noise.png"]);
    assert_eq!(images("explain photos --json --exits 1 --size 32 -o out --limit 1"), ["blocks.png"]);
    assert_eq!(images("classify photos --json --exits 1 --limit 9").len(), 3);
    place.msdcam("explain photos --exits 1 --size 32 -o out --limit 2").refused(2, &["out"]);
    place.msdcam("classify photos --limit 0").refused(2, &["--limit"]);
}

#[cfg(target_os = "linux")]
mod limits {
    use super::*;
    use crate::common::process::peak;
    use std::process::Command;

    /// A shell command in which `$0` is the program.
    fn shell(place: &Place, line: &str) -> Command {
        let mut command = Command::new("sh");
        command.arg("-c").arg(line).arg(env!("CARGO_BIN_EXE_msdcam")).current_dir(place.path());
        command
    }

    #[test]
    fn one_bad_image_of_a_thousand_fails_alone_with_a_limit_of_64_open_files() {
        let place = Place::new();
        let good = std::fs::read(repository("tests/golden/images/ramp.png")).unwrap();
        for i in 0..1000 {
            place.write(&format!("photos/{i:03}.png"), if i == 500 { b"no image" } else { &good });
        }
        let line = "ulimit -n 64; exec \"$0\" classify photos --json --exits 1 --threads 2";
        let run: Run = shell(&place, line).output().unwrap().into();
        run.refused(3, &["photos/500.png: file: not a PNG"]);
        assert!(run.stderr.ends_with("1 of 1000 images failed: 500.png\n"), "{}", run.stderr);
        let images = run.json();
        let bad: Vec<usize> = (0..images.len()).filter(|&i| images[i]["error"].is_string()).collect();
        assert_eq!((images.len(), bad, &images[999]["image"]), (1000, vec![500], &"999.png".into()));
    }

    #[test]
    fn memory_is_independent_of_the_size_of_the_data_set() {
        let place = Place::new();
        let record: Vec<u8> = (0..3073).map(|i| if i == 0 { 7 } else { (i % 251) as u8 }).collect();
        let peak = |name: &str, images: usize, options: &str| {
            place.write(name, &record.repeat(images));
            let line = format!("exec \"$0\" {options} --exits 1 --threads 2 --device cpu {name} >/dev/null");
            peak(shell(&place, &line).spawn().unwrap())
        };
        for options in ["classify --json --quiet", "evaluate --json --quiet"] {
            // A thousand images: the first few hundred fill what is in flight at a time.
            let (few, many) = (peak("few.bin", 1_000, options), peak("many.bin", 10_000, options));
            assert!(few > 1000, "{options}: {few} KiB is too little to be measured");
            let within = few + few / 10;
            assert!(many <= within, "{options}: {few} KiB for 1,000 images, {many} KiB for 10,000");
        }
    }
}

/// Accuracies of the built-in model on the CIFAR-10 test set, as measured with PyTorch.
#[test]
fn the_built_in_model_has_the_accuracies_of_pytorch() {
    let name = "the_built_in_model_has_the_accuracies_of_pytorch";
    let test_batch = repository("../shared/cifar10/test_batch.bin");
    if !test_batch.is_file() {
        // Written to stderr directly, because the test runner captures the output of passing tests.
        let _ = writeln!(std::io::stderr(), "skipped: {name}: needs CIFAR-10's test images");
        return;
    }
    let place = Place::new();
    let first: [&std::ffi::OsStr; 5] =
        ["evaluate".as_ref(), test_batch.as_os_str(), "--limit".as_ref(), "2000".as_ref(), "--json".as_ref()];
    let run = place.run(&first);
    assert_eq!(run.code, 0, "{run:?}");
    let report = run.json().remove(0);
    assert_eq!(report["images"], 2_000);
    let top1: Vec<f64> =
        report["exits"].as_array().unwrap().iter().map(|exit| exit["top1"].as_f64().unwrap()).collect();
    // Of `weights/train.py --eval` with the same images. For all 10,000: 82.32, 84.19, 85.32, 86.55, 87.02, 87.46, 87.65,
    // 87.47, 87.70, 87.69, which take half a minute.
    assert_eq!(top1, [82.25, 83.35, 85.05, 85.9, 86.8, 86.9, 87.25, 86.9, 87.15, 87.05]);
}
