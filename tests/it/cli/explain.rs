//! `msdcam explain`: arrays, result lines and the table.

use std::collections::HashMap;
use std::io::{Cursor, Read};

use safetensors::SafeTensors;
use serde_json::Value;

use crate::cli::program::{Place, repository};

/// An array of an .npz file: dimensions and elements.
pub type Array = (Vec<usize>, Vec<f64>);

/// Reads a file of `numpy.savez`: .npy files of version 1 in a zip archive.
pub fn arrays(npz: &[u8]) -> HashMap<String, Array> {
    let mut zip = zip::ZipArchive::new(Cursor::new(npz)).unwrap();
    let mut arrays = HashMap::new();
    for i in 0..zip.len() {
        let mut entry = zip.by_index(i).unwrap();
        let name = entry.name().unwrap().strip_suffix(".npy").unwrap().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        if name != "tap" {
            arrays.insert(name, array(&bytes));
        }
    }
    arrays
}

/// The array of a .npy file.
pub fn array(npy: &[u8]) -> Array {
    assert_eq!(npy[..8], *b"\x93NUMPY\x01\0");
    let data = 10 + usize::from(u16::from_le_bytes([npy[8], npy[9]]));
    let header = std::str::from_utf8(&npy[10..data]).unwrap();
    let shape = header.split(['(', ')']).nth(1).unwrap().split(',');
    let shape: Vec<usize> = shape.filter_map(|n| n.trim().parse().ok()).collect();
    let bytes = &npy[data..];
    let numbers: Vec<f64> = match header.split('\'').nth(3).unwrap() {
        "<f4" => bytes.as_chunks().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect(),
        "<f2" => bytes.as_chunks().0.iter().map(|b| half::f16::from_le_bytes(*b).to_f64()).collect(),
        "<i8" => bytes.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b) as f64).collect(),
        "|u1" => bytes.iter().map(|&b| f64::from(b)).collect(),
        kind => panic!("{kind}"),
    };
    assert_eq!(numbers.len(), shape.iter().product::<usize>(), "{header}");
    (shape, numbers)
}

/// The elements of row `image` of a golden tensor.
pub fn golden(file: &SafeTensors, name: &str, image: usize) -> Vec<f64> {
    let tensor = file.tensor(name).unwrap();
    let numbers = tensor.data().as_chunks().0.iter().map(|b| f64::from(f32::from_le_bytes(*b)));
    let row = tensor.shape()[1..].iter().product();
    numbers.skip(image * row).take(row).collect()
}

/// Panics unless all differences are at most `tolerance` times the largest expected magnitude.
#[track_caller]
pub fn close(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
    assert!(scale > 0.0, "{what}: nothing to compare with");
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= tolerance * scale, "{what}[{i}]: {a}, PyTorch says {b}");
    }
}

#[test]
fn the_arrays_of_four_images_equal_those_of_pytorch() {
    let place = Place::new();
    let names = ["chelsea_32", "noise", "ramp", "blocks"];
    names.iter().for_each(|name| place.small(&format!("{name}.png")));
    let run = place.msdcam("explain chelsea_32.png noise.png ramp.png blocks.png -o out --size 32");
    assert_eq!(run.code, 0, "{run:?}");
    let bytes = std::fs::read(repository("tests/golden/default.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    for (image, name) in names.iter().enumerate() {
        let found = arrays(&place.read(&format!("out/{name}.npz")));
        let shape = |array: &str| found[array].0.clone();
        assert_eq!((shape("logits"), shape("class")), (vec![10, 10], vec![10]));
        assert_eq!((shape("cam"), shape("heatmap")), (vec![10, 8, 8], vec![10, 32, 32]));
        assert_eq!(found["exit"].1, (1..=10).map(f64::from).collect::<Vec<_>>());
        assert_eq!(found["target"], found["class"]);
        for k in 1..=10 {
            let row = |array: &str, len: usize| &found[array].1[(k - 1) * len..][..len];
            let what = |array: &str| format!("{array}.{k} of {name}");
            close(&what("logits"), row("logits", 10), &golden(&file, &format!("logits.{k}"), image), 1e-4);
            close(&what("cam"), row("cam", 64), &golden(&file, &format!("cam.{k}"), image), 1e-4);
            close(&what("heat"), row("heatmap", 1024), &golden(&file, &format!("heat.{k}"), image), 1e-4);
            let logits = golden(&file, &format!("logits.{k}"), image);
            let best = (0..10).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap();
            assert_eq!(found["class"].1[k - 1], best as f64, "{}", what("class"));
        }
    }
}

#[test]
fn only_exit_2_predicts_a_dog_for_the_cat() {
    let place = Place::new();
    place.cat("chelsea.png");
    let run = place.msdcam("explain chelsea.png --json");
    assert_eq!(run.code, 0, "{run:?}");
    let [image] = &run.json()[..] else { panic!("{run:?}") };
    let labels: Vec<_> =
        image["exits"].as_array().unwrap().iter().map(|e| e["class_name"].as_str().unwrap()).collect();
    assert_eq!(labels, ["cat", "dog", "cat", "cat", "cat", "cat", "cat", "cat", "cat", "cat"]);
}

#[test]
fn json_has_one_object_per_image_with_every_exit() {
    let place = Place::new();
    place.cat("a.png");
    place.small("noise.png");
    let run = place.msdcam("explain a.png noise.png --json -o out --exits 2,10");
    let images = run.json();
    assert_eq!(
        images.iter().map(|i| i["image"].as_str().unwrap()).collect::<Vec<_>>(),
        ["a.png", "noise.png"]
    );
    assert_eq!((&images[0]["width"], &images[0]["height"]), (&Value::from(451), &Value::from(300)));
    for image in &images {
        let exits = image["exits"].as_array().unwrap();
        assert_eq!(exits.iter().map(|e| e["exit"].as_u64().unwrap()).collect::<Vec<_>>(), [2, 10]);
        for exit in exits {
            assert!(exit["class"].as_u64().unwrap() < 10, "{exit}");
            let p = exit["probability"].as_f64().unwrap();
            assert!((0.1..=1.0).contains(&p), "{exit}");
            assert!(exit["map_max"].as_f64().unwrap() > exit["map_min"].as_f64().unwrap(), "{exit}");
            assert_eq!((&exit["status"], &exit["target"]), (&Value::from("ok"), &exit["class"]));
            assert!(!place.read(exit["files"]["cam"].as_str().unwrap()).is_empty());
        }
        for file in ["strip", "arrays"] {
            assert!(!place.read(image["files"][file].as_str().unwrap()).is_empty());
        }
    }
}

#[test]
fn the_target_can_be_a_name_in_any_case_or_an_index() {
    let place = Place::new();
    place.small("chelsea_32.png");
    let maps = |class: &str, out: &str| {
        let run =
            place.msdcam(&format!("explain chelsea_32.png --exits 1,2 --class {class} -o {out} --json"));
        assert_eq!(run.code, 0, "{run:?}");
        let exits = run.json()[0]["exits"].clone();
        (exits, arrays(&place.read(&format!("{out}/chelsea_32.npz")))["cam"].1.clone())
    };
    let (exits, named) = maps("Dog", "named");
    let (_, numbered) = maps("5", "numbered");
    let (_, predicted) = maps("predicted", "predicted");
    assert_eq!(named, numbered);
    // Exit 1 predicts the cat, exit 2 the dog.
    assert_ne!(named[..64], predicted[..64]);
    assert_eq!(named[64..], predicted[64..]);
    assert_eq!(
        (&exits[0]["class_name"], &exits[0]["target_name"]),
        (&Value::from("cat"), &Value::from("dog"))
    );
}

#[test]
fn results_do_not_depend_on_threads_other_images_or_time() {
    let place = Place::new();
    place.cat("chelsea.png");
    place.small("noise.png");
    place.small("ramp.png");
    let npz = |line: &str, out: &str| {
        let run = place.msdcam(&format!("explain {line} --exits 3,10 -o {out}"));
        assert_eq!(run.code, 0, "{run:?}");
        (place.read(&format!("{out}/chelsea.npz")), place.read(&format!("{out}/chelsea_strip.png")))
    };
    let alone = npz("chelsea.png --threads 1", "a");
    assert!(alone == npz("chelsea.png --threads 1", "b"), "the same run again");
    assert!(alone == npz("chelsea.png --threads 3", "c"), "three threads");
    assert!(alone == npz("noise.png ramp.png ramp.png chelsea.png noise.png --threads 2", "d"), "in a batch");
}

#[test]
fn the_table_has_a_line_for_each_exit_and_names_the_film_strip() {
    let place = Place::new();
    place.cat("chelsea.png");
    let run = place.msdcam("explain chelsea.png --exits 2..3 -o out");
    let lines: Vec<&str> = run.stdout.lines().collect();
    let words: Vec<Vec<&str>> = lines.iter().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines.len(), 5, "{run:?}");
    assert_eq!(lines[0], "chelsea.png (451 x 300)");
    assert_eq!(words[1], ["exit", "class", "sure", "map", "max"]);
    assert_eq!((&words[2][..2], &words[3][..2]), (&["2", "dog"][..], &["3", "cat"][..]));
    assert!(lines[1..4].iter().all(|line| line.len() == lines[1].len()), "columns line up: {run:?}");
    assert_eq!(
        lines[4],
        format!("  film strip: {}", ["out", "chelsea_strip.png"].join(std::path::MAIN_SEPARATOR_STR))
    );
}

#[test]
fn a_converted_checkpoint_can_be_explained() {
    let place = Place::new();
    place.cat("chelsea.png");
    let checkpoint = repository("tests/golden/nets/subnets-lin_grow.pth");
    let run = place.run(&["convert", checkpoint.to_str().unwrap(), "-o", "own.safetensors"]);
    assert_eq!(run.code, 0, "{run:?}");
    let run = place.msdcam("inspect own.safetensors");
    assert!(run.code == 0 && run.stdout.contains("exits"), "{run:?}");
    let run = place.msdcam("explain chelsea.png --weights own.safetensors -o out --json");
    assert_eq!(run.code, 0, "{run:?}");
    let exits = run.json()[0]["exits"].as_array().unwrap().len();
    let overlays = place.names("out").iter().filter(|name| name.ends_with("_cam.png")).count();
    assert!(exits > 1 && overlays == exits, "{run:?}");
}
