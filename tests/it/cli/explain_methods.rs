//! `msdcam explain --method`: names of arrays, and agreement with pytorch-grad-cam and captum.

use std::collections::HashMap;

use safetensors::SafeTensors;
use serde_json::Value;

use crate::cli::explain::{Array, arrays, close, golden};
use crate::cli::program::{Place, repository};

const MAPS: [&str; 10] = [
    "hires-cam",
    "grad-cam",
    "grad-cam++",
    "xgrad-cam",
    "layer-cam",
    "grad-cam-elementwise",
    "eigen-cam",
    "eigen-grad-cam",
    "score-cam",
    "ablation-cam",
];
const PIXELS: [&str; 6] = [
    "input-gradient",
    "guided-backprop",
    "guided-grad-cam",
    "gradient-x-input",
    "smooth-grad",
    "integrated-gradients",
];

/// The arrays of the 32 x 32 cat, explained with the options `line` into folder `out`.
fn explained(line: &str) -> (Place, HashMap<String, Array>) {
    let place = Place::new();
    place.small("chelsea_32.png");
    let run = place.msdcam(&format!("explain chelsea_32.png --size 32 -o out {line}"));
    assert_eq!(run.code, 0, "{run:?}");
    let found = arrays(&place.read("out/chelsea_32.npz"));
    for (name, (_, numbers)) in &found {
        assert!(numbers.iter().all(|x| x.is_finite()), "{name}");
    }
    (place, found)
}

/// The tools' result for the default model, tensor `name`.
fn methods(name: &str) -> Vec<f64> {
    let bytes = std::fs::read(repository("tests/golden/methods.safetensors")).unwrap();
    golden(&SafeTensors::deserialize(&bytes).unwrap(), &format!("default/{name}"), 0)
}

/// Row `exit` (from 0) of an array.
fn row(array: &Array, exit: usize) -> &[f64] {
    let len = array.1.len() / array.0[0];
    &array.1[exit * len..][..len]
}

#[test]
fn maps_of_ten_methods_equal_those_of_pytorch_grad_cam() {
    let (place, found) = explained(&format!("--exits 2,10 --method {}", MAPS.join(",")));
    for method in MAPS {
        let array = &found[&format!("cam.{method}")];
        assert_eq!(array.0, [2, 8, 8]);
        assert_eq!(found[&format!("heatmap.{method}")].0, [2, 32, 32]);
        for (i, exit) in [2, 10].into_iter().enumerate() {
            let signed = methods(&format!("{exit}/exit{exit}/{method}"));
            let want: Vec<f64> = signed.iter().map(|x| x.max(0.0)).collect();
            close(&format!("{method} at exit {exit}"), row(array, i), &want, 1e-4);
        }
        let (word, strip) = match method {
            "hires-cam" => ("cam".to_string(), "strip".to_string()),
            _ => (method.to_string(), format!("strip_{method}")),
        };
        for name in [format!("exit02_{word}"), format!("exit10_{word}"), strip] {
            assert!(!place.read(&format!("out/chelsea_32_{name}.png")).is_empty());
        }
    }
    assert!(!found.contains_key("cam") && !found.contains_key("heatmap"));
}

#[test]
fn pixel_attributions_equal_those_of_captum_for_any_batch_size() {
    let settings = "--samples 8 --noise 0.15 --seed 12345 --steps 20";
    let list = PIXELS.join(",");
    let (place, found) = explained(&format!("--exits 2,10 --method {list} {settings}"));
    for method in PIXELS {
        let array = &found[&format!("pixels.{method}")];
        assert_eq!(array.0, [2, 3, 32, 32]);
        let tolerance = if method == "smooth-grad" { 1e-3 } else { 1e-4 };
        close(method, row(array, 1), &methods(&format!("10/pixels/{method}")), tolerance);
        for name in [format!("exit10_{method}"), format!("strip_{method}")] {
            assert!(!place.read(&format!("out/chelsea_32_{name}.png")).is_empty());
        }
    }
    assert!(!found.contains_key("cam") && !found.contains_key("tap"));
    let (_, little) = explained(&format!("--exits 2,10 --method {list} {settings} --max-memory 16M"));
    assert_eq!(found, little);
    let manifest: Value = serde_json::from_slice(&place.read("out/manifest.json")).unwrap();
    assert_eq!(manifest["methods"].as_array().unwrap().len(), PIXELS.len());
    let noise = &manifest["smooth_grad"];
    assert_eq!((&noise["samples"], &noise["seed"]), (&Value::from(8), &Value::from(12345)));
    assert_eq!(manifest["integrated_gradients"]["steps"], 20);
}

#[test]
fn pixel_pictures_show_color_sign_or_magnitude() {
    let (place, _) = explained("--exits 10 --method guided-backprop,integrated-gradients,input-gradient");
    let picture = |method: &str| {
        let path = place.path().join(format!("out/chelsea_32_exit10_{method}.png"));
        msdcam::RgbImage::open(&path).unwrap()
    };
    let gray = |rgb: &[u8]| rgb[0] == rgb[1] && rgb[1] == rgb[2];
    let share = |method: &str, is: &dyn Fn(&[u8]) -> bool| {
        let rgb = picture(method).rgb;
        rgb.chunks_exact(3).filter(|p| is(p)).count() as f64 / (rgb.len() / 3) as f64
    };
    assert_eq!(share("input-gradient", &gray), 1.0);
    assert!(share("guided-backprop", &|p| !gray(p)) > 0.5);
    // Red for the class, blue against it.
    assert!(share("integrated-gradients", &|p| p[0] > p[2].saturating_add(20)) > 0.05);
    assert!(share("integrated-gradients", &|p| p[2] > p[0].saturating_add(20)) > 0.05);
}

#[test]
fn smoothed_and_fused_heatmaps_equal_those_of_pytorch_grad_cam() {
    let (_, found) = explained("--exits 2,10 --smooth flips");
    for (i, exit) in [2, 10].into_iter().enumerate() {
        close("smoothed", row(&found["heatmap"], i), &methods(&format!("{exit}/smoothed/grad-cam")), 1e-4);
    }
    for fusion in ["mean", "refine-cam"] {
        let (place, found) = explained(&format!("--exits 10 --tap all-scales --fuse {fusion}"));
        close(fusion, &found["fused"].1, &methods(&format!("10/fused/{fusion}/grad-cam")), 1e-4);
        let names = place.names("out");
        for name in ["exit10_fused", "strip_fused", "exit10_cam_scale1", "strip_scale3", "grid"] {
            assert!(names.contains(&format!("chelsea_32_{name}.png")), "{name} in {names:?}");
        }
    }
}

#[test]
fn writes_exactly_the_files_that_the_results_name() {
    let place = Place::new();
    place.cat("cat.png");
    let line = "explain cat.png -o out --size 64 --exits 1,2 --class top2 --tap own,layer3.scale3 \
                --method layer-cam,grad-cam,guided-backprop --minus exit1 --fuse max --json";
    let run = place.msdcam(&line.replace("own,layer3.scale3", "layer2.scale2,layer3.scale3"));
    assert_eq!(run.code, 0, "{run:?}");
    let record = &run.json()[0];
    let mut named: Vec<String> = vec!["manifest.json".into(), "results.jsonl".into()];
    let mut add =
        |path: &Value| named.push(path.as_str().unwrap().rsplit(['/', '\\']).next().unwrap().into());
    let files = &record["files"];
    add(&files["arrays"]);
    files["strips"].as_array().unwrap().iter().for_each(&mut add);
    files["grids"].as_array().unwrap().iter().for_each(&mut add);
    for exit in record["exits"].as_array().unwrap() {
        let maps = exit["maps"].as_array().unwrap();
        // Two methods: two taps and their fusion, two classes and their differences; pixel attributions
        // of two classes.
        assert_eq!(maps.len(), 2 * 3 * 2 * 2 + 2, "{exit}");
        assert_eq!(exit["files"]["cam"], maps[0]["file"]);
        maps.iter().for_each(|map| add(&map["file"]));
        let ranks: Vec<_> = maps[..2].iter().map(|map| map["rank"].as_u64().unwrap()).collect();
        assert_eq!(ranks, [1, 2]);
    }
    named.sort();
    named.dedup();
    assert_eq!(place.names("out"), named);
    let keys: Vec<String> = {
        let mut keys: Vec<String> = arrays(&place.read("out/cat.npz")).into_keys().collect();
        keys.sort();
        keys
    };
    let expected = [
        "cam.grad-cam.layer2.scale2",
        "cam.grad-cam.layer3.scale3",
        "cam.layer-cam.layer2.scale2",
        "cam.layer-cam.layer3.scale3",
        "class",
        "difference.fused.grad-cam",
        "difference.fused.layer-cam",
        "difference.grad-cam.layer2.scale2",
        "difference.grad-cam.layer3.scale3",
        "difference.layer-cam.layer2.scale2",
        "difference.layer-cam.layer3.scale3",
        "exit",
        "fused.grad-cam",
        "fused.layer-cam",
        "heatmap.grad-cam.layer2.scale2",
        "heatmap.grad-cam.layer3.scale3",
        "heatmap.layer-cam.layer2.scale2",
        "heatmap.layer-cam.layer3.scale3",
        "logits",
        "pixels.guided-backprop",
        "region",
        "score",
        "target",
    ];
    assert_eq!(keys, expected);
}
