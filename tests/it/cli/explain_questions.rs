//! `msdcam explain --class`, `--score`, `--tap` and `--minus`: targets, scores, taps and differences.

use safetensors::SafeTensors;
use serde_json::Value;

use crate::cli::explain::{arrays, close, golden};
use crate::cli::program::{Place, repository};

fn with_small() -> Place {
    let place = Place::new();
    place.small("chelsea_32.png");
    place
}

/// The arrays of the 32 x 32 cat, explained with the options `line`.
fn found(place: &Place, line: &str) -> std::collections::HashMap<String, crate::cli::explain::Array> {
    let run = place.msdcam(&format!("explain chelsea_32.png --size 32 -o out {line}"));
    assert_eq!(run.code, 0, "{run:?}");
    arrays(&place.read("out/chelsea_32.npz"))
}

#[test]
fn the_target_can_be_the_last_exits_class_or_the_three_most_probable() {
    let place = with_small();
    let predicted = found(&place, "--exits all");
    let last = predicted["class"].1[9];
    assert!(predicted["class"].1[1] != last, "exit 2 takes the cat for a dog");
    assert!(found(&place, "--class final")["target"].1.iter().all(|&class| class == last));

    let top = found(&place, "--class top3 --exits 1,2");
    assert_eq!((&top["target"].0, &top["score"].0), (&vec![2, 3], &vec![2, 3]));
    assert_eq!((&top["cam"].0, &top["heatmap"].0), (&vec![2, 3, 8, 8], &vec![2, 3, 32, 32]));
    for exit in 0..2 {
        let scores = &top["score"].1[exit * 3..][..3];
        assert!(scores.windows(2).all(|two| two[0] >= two[1]), "{scores:?}");
        close("first", &top["cam"].1[exit * 192..][..64], &predicted["cam"].1[exit * 64..][..64], 1e-4);
    }
    let second = found(&place, &format!("--class {} --exits 1", top["target"].1[1]));
    close("second of exit 1", &top["cam"].1[64..128], &second["cam"].1, 1e-4);
}

#[test]
fn the_target_can_be_the_label_of_a_labeled_image() {
    let place = Place::new();
    let cat = std::fs::read(repository("tests/golden/images/chelsea_32.png")).unwrap();
    for name in ["set/dog/a.png", "set/ship/b.png", "alone.png"] {
        place.write(name, &cat);
    }
    for method in ["grad-cam", "hires-cam"] {
        let line =
            format!("explain set --class label --exits 1,2 --method {method} --size 32 -o {method} --json");
        let run = place.msdcam(&line);
        assert_eq!(run.code, 0, "{run:?}");
        for (image, label) in run.json().iter().zip(["dog", "ship"]) {
            let exits = image["exits"].as_array().unwrap();
            assert!(exits.iter().all(|exit| exit["target_name"] == label), "{image}");
        }
        place
            .msdcam(&format!("explain alone.png --class label --method {method} -o none"))
            .refused(4, &["error: alone.png: label: unknown"]);
    }
}

#[test]
fn scores_equal_those_of_pytorch_grad_cam_and_are_in_the_manifest() {
    let place = with_small();
    let bytes = std::fs::read(repository("tests/golden/methods.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    for score in ["probability", "margin"] {
        let found = found(&place, &format!("--exits 2 --score {score}"));
        let signed = golden(&file, &format!("default/2/exit2/grad-cam.{score}"), 0);
        let want: Vec<f64> = signed.iter().map(|x| x.max(0.0)).collect();
        close(score, &found["cam"].1, &want, 1e-4);
        let manifest: Value = serde_json::from_slice(&place.read("out/manifest.json")).unwrap();
        assert_eq!(manifest["score"], score);
    }
}

#[test]
fn the_difference_of_exits_is_that_of_their_heatmaps() {
    let place = with_small();
    let found = found(&place, "--exits 1..3 --minus exit3");
    let (heat, difference) = (&found["heatmap"].1, &found["difference"]);
    assert_eq!(difference.0, [3, 32, 32]);
    for exit in 0..3 {
        for i in 0..1024 {
            let want = heat[exit * 1024 + i] - heat[2 * 1024 + i];
            assert!((difference.1[exit * 1024 + i] - want).abs() < 1e-6);
        }
    }
    assert!(difference.1[2 * 1024..].iter().all(|&v| v == 0.0));
    let names = place.names("out");
    for name in ["exit01_cam_minus_exit03", "exit03_cam_minus_exit03", "strip_minus_exit03"] {
        assert!(names.contains(&format!("chelsea_32_{name}.png")), "{name} in {names:?}");
    }
    // The difference is drawn over the photo in red or blue, stronger for larger magnitudes.
    let open = |name: &str| msdcam::RgbImage::open(place.path().join(name)).unwrap().rgb;
    let (photo, over) = (open("chelsea_32.png"), open("out/chelsea_32_exit01_cam_minus_exit03.png"));
    for (i, &v) in difference.1[..1024].iter().enumerate().filter(|(_, v)| v.abs() > 0.2) {
        let opacity = 0.75 * v.abs().sqrt();
        let color = |i: usize| (f64::from(over[i]) - (1.0 - opacity) * f64::from(photo[i])) / opacity;
        let redness = color(3 * i) - color(3 * i + 2);
        assert!(redness * v > 0.0, "pixel {i}: {v}, red less blue {redness}");
    }
}

#[test]
fn the_difference_from_the_runner_up_is_the_signed_map_of_the_margin() {
    let place = with_small();
    let bytes = std::fs::read(repository("tests/golden/methods.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let found = found(&place, "--exits 2 --minus runner-up");
    let signed = golden(&file, "default/2/exit2/grad-cam.margin", 0);
    let signed: Vec<f32> = signed.iter().map(|&x| x as f32).collect();
    let resized = msdcam::engine::bilinear::bilinear(&signed, (8, 8), (32, 32));
    let largest = resized.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
    let want: Vec<f64> = resized.iter().map(|v| f64::from(v / largest)).collect();
    close("difference", &found["difference"].1, &want, 1e-4);
    assert!(want.iter().any(|&v| v > 0.5) && want.iter().any(|&v| v < -0.1));
    let manifest: Value = serde_json::from_slice(&place.read("out/manifest.json")).unwrap();
    assert_eq!((&manifest["score"], &manifest["minus"]), (&"margin".into(), &"runner-up".into()));
}

#[test]
fn the_difference_from_a_class_is_that_of_the_two_maps() {
    let place = with_small();
    let signed = |line: &str| {
        let found = found(&place, &format!("--exits 1,2 --method hires-cam {line}"));
        (found["difference"].1.clone(), found["cam"].1.clone())
    };
    let (cat_dog, cat_over_dog) = signed("--class cat --minus Dog");
    let (dog_cat, dog_over_cat) = signed("--class dog --minus 3");
    let turned: Vec<f64> = dog_cat.iter().map(|v| -v).collect();
    close("cat minus dog", &cat_dog, &turned, 1e-4);
    // No position has evidence for both classes.
    let places = cat_over_dog.iter().zip(&dog_over_cat);
    assert!(places.clone().all(|(a, b)| *a == 0.0 || *b == 0.0));
    assert!(places.filter(|(a, b)| **a > 0.0 || **b > 0.0).count() > 120);
    // The runner-up of exit 2 is the cat, so the margin is the same difference.
    let runner_up = found(&place, "--exits 2 --method hires-cam --minus runner-up");
    close("the margin at exit 2", &dog_cat[1024..], &runner_up["difference"].1, 1e-4);
    assert!(place.names("out").contains(&"chelsea_32_strip_minus_class3.png".to_string()));

    let nothing = found(&place, "--exits 1 --class cat --minus cat");
    assert!(nothing["difference"].1.iter().chain(&nothing["cam"].1).all(|&v| v == 0.0));
}

#[test]
fn taps_listed_by_inspect_can_be_explained_at_exits_that_depend_on_them() {
    let place = with_small();
    let weights = repository("weights/cifar10/msdnet_cifar10.safetensors");
    let run = place.run(&["inspect", weights.to_str().unwrap(), "--json"]);
    let inspected: Value = serde_json::from_str(&run.stdout).unwrap();
    let taps = inspected["taps"].as_array().unwrap();
    let tap = |name: &str| taps.iter().find(|tap| tap["name"] == name).unwrap();
    assert_eq!(tap("exit3")["exits"].as_array().unwrap().len(), 8);
    assert_eq!(tap("exit10")["exits"], serde_json::json!([10]));
    let table = place.run(&["inspect", weights.to_str().unwrap()]).stdout;
    assert!(table.contains("\nexit3                320  8 x 8      3..10\n"), "{table}");

    for name in ["exit3", "layer12.scale2", "layer0.scale1"] {
        let found = found(&place, &format!("--exits 10 --tap {name}"));
        let size = |side: &str| tap(name)[side].as_u64().unwrap() as usize;
        assert_eq!(found["cam"].0, [1, size("height"), size("width")], "{name}");
        assert!(found["cam"].1.iter().any(|&x| x > 0.0));
    }
    // The exit's own tap can be named.
    let own = found(&place, "--exits 3");
    close("exit3", &found(&place, "--exits 3 --tap exit3")["cam"].1, &own["cam"].1, 1e-4);
}

#[test]
fn all_scales_have_arrays_of_their_size_and_a_common_grid() {
    let place = with_small();
    let found = found(&place, "--exits 2,10 --tap all-scales");
    for (scale, side) in [(1, 32), (2, 16), (3, 8)] {
        assert_eq!(found[&format!("cam.scale{scale}")].0, [2, side, side]);
        assert_eq!(found[&format!("heatmap.scale{scale}")].0, [2, 32, 32]);
    }
    let results = String::from_utf8(place.read("out/results.jsonl")).unwrap();
    let record: Value = serde_json::from_str(results.trim()).unwrap();
    assert_eq!(record["files"]["grids"], serde_json::json!(["chelsea_32_grid.png"]));
    let taps: Vec<&str> = record["exits"][1]["maps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|map| map["taps"][0].as_str().unwrap())
        .collect();
    assert_eq!(taps, ["layer8.scale1", "layer16.scale2", "layer22.scale3"]);
}
