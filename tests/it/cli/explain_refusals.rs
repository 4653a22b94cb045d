//! `msdcam explain` with invalid requests, and maps that are empty or not finite.

use std::collections::HashMap;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use crate::cli::explain::arrays;
use crate::cli::program::{Place, repository};

fn with_cat() -> Place {
    let place = Place::new();
    place.cat("cat.png");
    place
}

/// Writes a small model as `w.safetensors`, with every tensor changed by `edit`.
fn with_network(edit: impl Fn(&str, &mut [f32])) -> Place {
    let place = with_cat();
    let checkpoint = repository("tests/golden/nets/subnets-lin_grow.pth");
    let run =
        place.run(&["convert", checkpoint.to_str().unwrap(), "-o", "own.safetensors", "--dtype", "f32"]);
    assert_eq!(run.code, 0, "{run:?}");
    let bytes = place.read("own.safetensors");
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let edited: HashMap<String, (Vec<usize>, Vec<u8>)> = file
        .tensors()
        .into_iter()
        .map(|(name, view)| {
            assert_eq!(view.dtype(), Dtype::F32, "{name}");
            let numbers = view.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b));
            let mut numbers: Vec<f32> = numbers.collect();
            edit(&name, &mut numbers);
            let bytes = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
            (name, (view.shape().to_vec(), bytes))
        })
        .collect();
    let views = edited.iter().map(|(name, (shape, bytes))| {
        (name.clone(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    let bytes = safetensors::serialize(views, header.metadata().clone()).unwrap();
    place.write("w.safetensors", &bytes);
    place
}

const ALL: &str = "grad-cam,grad-cam++,hires-cam,xgrad-cam,layer-cam,grad-cam-elementwise,eigen-cam,\
                   eigen-grad-cam,score-cam,ablation-cam,input-gradient,guided-backprop,guided-grad-cam,\
                   gradient-x-input,smooth-grad,integrated-gradients";

/// Checks that every element of the archive and every number of the results is finite.
fn assert_no_nan(place: &Place) -> Value {
    for (name, (_, numbers)) in arrays(&place.read("out/cat.npz")) {
        assert!(numbers.iter().all(|x| x.is_finite()), "{name}");
    }
    let text = String::from_utf8(place.read("out/results.jsonl")).unwrap();
    assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    serde_json::from_str(text.trim()).unwrap()
}

/// The statuses of an exit's maps, by method.
fn statuses(exit: &Value) -> HashMap<String, String> {
    let maps = exit["maps"].as_array().unwrap().iter();
    maps.map(|map| (map["method"].as_str().unwrap().into(), map["status"].as_str().unwrap().into())).collect()
}

#[test]
fn overflowing_weights_give_zeros_with_a_status_and_never_nan() {
    let place = with_network(|name, numbers| {
        if name.contains("classifier") && name.ends_with("weight") {
            numbers.iter_mut().for_each(|x| *x = 3e38 * x.signum());
        }
    });
    for methods in ["grad-cam", ALL] {
        let line =
            format!("explain cat.png --weights w.safetensors --samples 2 --steps 2 --method {methods}");
        let run = place.msdcam(&format!("{line} --size 64 -o out"));
        assert_eq!(run.code, 0, "{run:?}");
        let record = assert_no_nan(&place);
        assert_eq!(record["exits"][0]["status"], "nonfinite", "{record}");
        assert!(run.stderr.contains(" not finite (exit 1: "), "{run:?}");
        assert!(run.stdout.lines().nth(2).unwrap().ends_with("  nonfinite"), "{run:?}");
    }
    let run = place.msdcam("explain cat.png --weights w.safetensors --minus exit1 -o out --size 64");
    assert_eq!(run.code, 0, "{run:?}");
    assert_no_nan(&place);
}

#[test]
fn scores_that_are_not_numbers_are_noted_and_never_right() {
    let place = with_network(|name, numbers| {
        if name.contains("classifier") && name.ends_with("weight") {
            numbers.iter_mut().for_each(|x| *x = 3e38 * x.signum());
        }
    });
    let weights = "--weights w.safetensors";
    let run = place.msdcam(&format!("classify cat.png {weights}"));
    assert!(run.code == 0 && run.stderr.contains(" of scores that are not finite (exit 1: 1"), "{run:?}");
    // The image is in the folder of the class that stands for scores that are not numbers.
    for class in ["airplane", "cat"] {
        place.cat(&format!("set/{class}/cat.png"));
    }
    let run = place.msdcam(&format!("evaluate set {weights} --labels-by name --json -o evaluated"));
    assert!(run.code == 0 && run.stderr.contains(" of scores that are not finite (exit 1: 2"), "{run:?}");
    let exit = &run.json()[0]["exits"][0];
    assert_eq!((&exit["top1"], &exit["classes"][0]["top1"]), (&0.0.into(), &0.0.into()), "{exit}");
    let run = place.msdcam(&format!("explain set {weights} --labels-by name --size 64 -o run"));
    assert_eq!(run.code, 0, "{run:?}");
    for folder in ["evaluated", "run"] {
        let run = place.msdcam(&format!("report {folder}"));
        assert_eq!(run.code, 0, "{run:?}");
    }
}

#[test]
fn a_constant_tap_gives_constant_or_empty_maps_for_every_method() {
    // Scale 0 and shift 1 in every batch norm make every value constant.
    let place = with_network(|name, numbers| {
        let module = name.rsplit_once('.').unwrap().0;
        if module.ends_with(".1") || module.contains("bn") || module.contains("Norm") {
            if name.ends_with("weight") {
                numbers.fill(0.0);
            } else if name.ends_with("bias") {
                numbers.fill(1.0);
            }
        }
    });
    let line =
        format!("explain cat.png --weights w.safetensors --class top2 --method {ALL} --size 64 -o out");
    let run = place.msdcam(&format!("{line} --samples 2 --steps 2"));
    assert_eq!(run.code, 0, "{run:?}");
    let record = assert_no_nan(&place);
    let exit = &record["exits"][0];
    let found = statuses(exit);
    assert!(found.values().all(|status| status != "ok" && status != "nonfinite"), "{found:?}");
    assert_eq!(found["eigen-cam"], "empty");
    assert!(run.stderr.contains(" maps are empty (exit 1: "), "{run:?}");
}

#[test]
fn empty_maps_are_counted_on_standard_error_unless_quiet() {
    let place = with_cat();
    let checkpoint = repository("tests/golden/nets/blocks-empty.pth");
    place.run(&["convert", checkpoint.to_str().unwrap(), "-o", "w.safetensors"]);
    let run = place.msdcam("explain cat.png --weights w.safetensors -o out");
    assert!(run.stderr.ends_with("\n1 of 2 maps is empty (exit 2: 1)\n"), "{run:?}");
    let run = place.msdcam("explain cat.png --weights w.safetensors -o out --quiet");
    assert_eq!(run.stderr, "", "{run:?}");
    let run = place.msdcam("explain cat.png --weights w.safetensors -o out --minus exit2");
    assert_eq!(run.code, 0, "{run:?}");
}

#[test]
fn refuses_a_tap_without_path_to_the_score_and_lists_those_with_one() {
    let place = with_cat();
    for method in ["grad-cam", "layer-cam", "ablation-cam"] {
        let run = place.msdcam(&format!("explain cat.png --tap exit3 --method {method}"));
        let parts =
            ["tap 'exit3' does not reach the score of exit 1, but of exits 3, 4", "these do: exit1, layer0"];
        run.refused(2, &parts);
    }
    place
        .msdcam("explain cat.png --tap layer99.scale1")
        .refused(2, &["tap 'layer99.scale1': the network has exit1, "]);
    place.msdcam("explain cat.png --tap exit1,exit1").refused(2, &["tap 'exit1' is requested twice"]);
    assert!(!place.path().join("msdcam-out").exists(), "no folder for a request that was refused");
    // A method that reads only activations needs no path from the tap to the score.
    let run = place.msdcam("explain cat.png --tap exit3 --exits 1 --method eigen-cam --size 64");
    assert_eq!(run.code, 0, "{run:?}");
}

#[test]
fn cam_names_the_layers_between_the_tap_and_the_classes() {
    let run = with_cat().msdcam("explain cat.png --method cam");
    run.refused(2, &["cam: exit 1 does not read the means of 'exit1' by one linear layer (2 convolutions"]);
}

#[test]
fn score_cam_gives_the_same_result_with_less_memory() {
    let place = with_cat();
    place
        .msdcam("explain cat.png --method score-cam --max-memory 100k")
        .refused(2, &["score-cam: one image takes ", " bytes, the memory limit leaves 102400"]);
    assert!(!place.path().join("msdcam-out").exists(), "no folder for a request that was refused");
    let map = |limit: &str| {
        let run = place.msdcam(&format!(
            "explain cat.png --method score-cam --exits 1 --tap layer4.scale3 --max-memory {limit} -o out"
        ));
        assert_eq!(run.code, 0, "{run:?}");
        arrays(&place.read("out/cat.npz"))["cam"].clone()
    };
    assert_eq!(map("1M"), map("1G"));
}

#[test]
fn conflicting_options_are_a_usage_error() {
    let place = with_cat();
    for (line, cause) in [
        ("--method grad-cam,gradcam", "method 'gradcam': there are grad-cam, "),
        ("--method grad-cam,grad-cam", "method 'grad-cam' is requested twice"),
        ("--class top11", "top 11: the network has 10 classes"),
        ("--class top0", "top 0: the network has 10 classes"),
        ("--score loss", "score 'loss': there are logit, probability, margin"),
        ("--fuse mean", "fuse mean: needs several taps"),
        ("--fuse sum --tap all-scales", "fusion 'sum': there are mean, max, refine-cam"),
        ("--smooth blur", "smoothing 'blur': there are none, flips"),
        ("--minus exit11", "minus exit11: the requested exits are 1, 2"),
        ("--minus exit3 --exits 1,2", "minus exit3: the requested exits are 1, 2"),
        ("--minus exit2 --exits 2", "minus exit2: no other exit is requested"),
        ("--minus all", "class 'all': the network has airplane, "),
        ("--minus dog --score logit", "score logit: --minus with a class explains a difference of logits"),
        ("--minus exit1 --method guided-backprop", "no heatmap method is requested"),
        ("--minus runner-up --score probability", "--minus with a class explains a difference of logits"),
        ("--minus runner-up --smooth flips", "are not signed"),
        ("--method smooth-grad --samples 0", "smooth-grad: 0 samples"),
        ("--method smooth-grad --noise NaN", "smooth-grad: 50 samples with noise of NaN"),
        ("--method integrated-gradients --steps 0", "integrated-gradients: 0 steps"),
        ("--max-memory lots", "expected a number of bytes"),
    ] {
        let run = place.msdcam(&format!("explain cat.png {line}"));
        run.refused(2, &[cause]);
        assert!(!run.stderr.contains("panicked"), "{run:?}");
    }
    assert!(!place.path().join("msdcam-out").exists(), "no folder for a request that was refused");
}
