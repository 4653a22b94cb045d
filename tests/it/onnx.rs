//! Networks of ONNX files, exported by both of PyTorch's exporters and written as TensorFlow's do: logits and Grad-CAM
//! of every exit against PyTorch in double precision. The onnx package's tests of operators against the outputs that it
//! stores (`tests/onnx/README.md`).

use std::path::PathBuf;

use msdcam::model::{ConvertOptions, LayerGroup, OpenOptions, convert};
use msdcam::{Classifier, ExplainRequest, Explainer, Model, Order};
use safetensors::SafeTensors;
use serde_json::Value;

use crate::common::close::{NETWORK, Tolerance, assert_close, compare};
use crate::common::golden::repository;
use crate::common::run::devices;

fn folder() -> PathBuf {
    repository("tests/onnx")
}

/// The descriptions of the stored networks.
fn networks() -> Vec<Value> {
    let text = std::fs::read(folder().join("networks.json")).unwrap();
    let mut all: Value = serde_json::from_slice(&text).unwrap();
    let Value::Array(networks) = all["networks"].take() else { panic!("networks.json has no list") };
    networks
}

/// The f64 elements of a stored tensor.
fn doubles(answers: &SafeTensors, name: &str) -> Vec<f64> {
    let tensor = answers.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!(tensor.dtype(), safetensors::Dtype::F64, "{name}");
    tensor.data().as_chunks::<8>().0.iter().map(|chunk| f64::from_le_bytes(*chunk)).collect()
}

fn floats(answers: &SafeTensors, name: &str) -> Vec<f32> {
    let tensor = answers.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}"));
    tensor.data().as_chunks::<4>().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect()
}

/// Compares a network's exits with the answers, on every device.
fn check(network: &Value, answers: &SafeTensors) -> Result<(), String> {
    let file = network["file"].as_str().unwrap();
    let exits = network["exits"].as_array().unwrap();
    let numbers = |value: &Value| -> Vec<usize> {
        value.as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect()
    };
    let shape = numbers(&network["input"]["shape"]);
    // A size that the file says must not need the option.
    let is_open = network["input"]["dynamic_size"].as_bool().unwrap();
    let options = OpenOptions { input_size: is_open.then(|| (shape[1], shape[2])), ..OpenOptions::default() };
    let model =
        Model::open_with(folder().join("networks").join(file), &options).map_err(|e| e.to_string())?;
    let own = model.input_shape();
    let shapes = ([own.c, own.h, own.w].to_vec(), shape);
    if model.exits.len() != exits.len() || shapes.0 != shapes.1 {
        return Err(format!("{file}: {} exits of {}, input {shapes:?}", model.exits.len(), exits.len()));
    }
    let images = floats(answers, network["image"].as_str().unwrap());
    let tolerance = Tolerance(network["tolerance"].as_f64().unwrap());
    for device in devices() {
        let request = ExplainRequest { signed: true, ..ExplainRequest::grad_cam(&model) };
        let mut explainer =
            Explainer::new(&model, &request, &device, 2).map_err(|e| format!("{file}: {e}"))?;
        let explained = explainer.explain(&images).map_err(|e| format!("{file}: {e}"))?;
        for (k, exit) in (1..).zip(exits) {
            let of = |what: &str| format!("{}: {file}: {what} of exit {k}", device.description());
            let tap = model.graph.shape(model.exit_tap(k).node);
            let expected = numbers(&exit["tap"]["shape"]);
            if [tap.c, tap.h, tap.w] != expected[..] {
                return Err(format!("{}: {tap}, expected {expected:?}", of("tap")));
            }
            let key = |what: &str| format!("{}.exit{k}.{what}", network["answers"].as_str().unwrap());
            let (logits, maps) = (doubles(answers, &key("logits")), doubles(answers, &key("map")));
            for (i, explanation) in explained.iter().enumerate() {
                let explanation = &explanation[k - 1];
                let (classes, area) = (logits.len() / 2, maps.len() / 2);
                let (want, map) = (&logits[i * classes..][..classes], &maps[i * area..][..area]);
                compare(&explanation.prediction.logits, want, tolerance)
                    .map_err(|e| of("logits") + ": " + &e)?;
                compare(&explanation.maps[0].signed, map, tolerance).map_err(|e| of("map") + ": " + &e)?;
            }
        }
    }
    Ok(())
}

#[test]
fn networks_of_every_family_have_the_answers_of_pytorch() {
    let bytes = std::fs::read(folder().join("networks.safetensors")).unwrap();
    let answers = SafeTensors::deserialize(&bytes).unwrap();
    let all = networks();
    assert!(all.len() > 60, "{} networks", all.len());
    let faults: Vec<String> = all
        .iter()
        .filter(|network| network["later"].as_str() == Some(""))
        .filter_map(|network| check(network, &answers).err())
        .collect();
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), all.len(), faults.join("\n"));
}

/// Compares a test of an operator with its answer on every device, if it is not refused as it may be.
fn check_node(case: &Value, images: &[f32], answers: &[f64]) -> Result<(), String> {
    let file = case["file"].as_str().unwrap();
    let number = |name: &str, i: usize| case[name][i].as_u64().unwrap() as usize;
    let model = match Model::open(folder().join("nodes").join(file)) {
        Ok(model) => model,
        Err(error) => {
            let line = error.to_string();
            let parts = case["refusal"].as_array();
            let is_fine =
                parts.is_some_and(|parts| parts.iter().all(|part| line.contains(part.as_str().unwrap())));
            return if is_fine && !line.contains('\n') { Ok(()) } else { Err(format!("{file}: {line}")) };
        }
    };
    if let Some(parts) = case["refusal"].as_array() {
        return Err(format!("{file}: it is answered, expected: {parts:?}"));
    }
    let (count, classes) = (number("image", 1), number("answer", 1));
    let images = &images[number("image", 0)..][..count * model.input_shape().len()];
    let answers = &answers[number("answer", 0)..][..count * classes];
    // The elements of a folded constant are the scores of a black image.
    let is_constant = file.ends_with("-fold.onnx") || file.contains("-fold_");
    let tolerance = case["tolerance"].as_f64().unwrap_or(if is_constant { 1e-6 } else { 1e-5 });
    for device in devices() {
        let of = |what: &str| format!("{}: {file}: {what}", device.description());
        let request = ExplainRequest { signed: true, ..ExplainRequest::grad_cam(&model) };
        let mut explainer =
            Explainer::new(&model, &request, &device, count).map_err(|e| of(&e.to_string()))?;
        let explained = explainer.explain(images).map_err(|e| of(&e.to_string()))?;
        for (explanation, want) in explained.iter().zip(answers.chunks_exact(classes)) {
            let [explanation] = &explanation[..] else {
                return Err(of(&format!("{} exits", explanation.len())));
            };
            let logits = explanation.prediction.logits.iter().map(|&logit| f64::from(logit));
            let got = match case["final"].as_str() {
                Some(last) => softmax(&logits.collect::<Vec<f64>>(), last == "log_softmax"),
                None => logits.collect(),
            };
            if is_constant && got.len() == want.len() {
                for (i, (g, w)) in got.iter().zip(want).enumerate() {
                    compare(&[*g], &[*w], Tolerance(tolerance))
                        .map_err(|e| of(&format!("constant {i}: {e}")))?;
                }
            } else {
                compare(&got, want, Tolerance(tolerance)).map_err(|e| of(&e))?;
            }
        }
    }
    Ok(())
}

/// The softmax of scores, or its logarithm.
fn softmax(logits: &[f64], is_log: bool) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|logit| (logit - largest).exp()).sum();
    let log = logits.iter().map(|logit| logit - largest - sum.ln());
    if is_log { log.collect() } else { log.map(f64::exp).collect() }
}

/// The onnx package's tests of operators, on maps and on constants, and others for what it does not test.
#[test]
fn the_node_tests_of_the_onnx_package_have_their_outputs() {
    let text = std::fs::read(folder().join("nodes.json")).unwrap();
    let all: Value = serde_json::from_slice(&text).unwrap();
    let cases = all["cases"].as_array().unwrap();
    assert!(cases.len() > 500, "{} cases", cases.len());
    let bytes = std::fs::read(folder().join("nodes.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let (images, answers) = (floats(&tensors, "images"), doubles(&tensors, "answers"));
    let faults: Vec<String> =
        cases.iter().filter_map(|case| check_node(case, &images, &answers).err()).collect();
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), cases.len(), faults.join("\n"));
}

/// Every stored file that is damaged, contradicts itself or cannot be run is refused in one line that says why.
#[test]
fn bad_files_are_refused_with_their_cause() {
    let text = std::fs::read(folder().join("bad.json")).unwrap();
    let all: Value = serde_json::from_slice(&text).unwrap();
    let mut faults = Vec::new();
    for entry in all["files"].as_array().unwrap() {
        let file = entry["file"].as_str().unwrap();
        let words: Vec<&str> =
            entry["words"].as_array().unwrap().iter().map(|w| w.as_str().unwrap()).collect();
        match (Model::open(folder().join("bad").join(file)), entry["kind"] == "fine") {
            (Ok(_), true) => {}
            (Ok(_), false) => faults.push(format!("{file}: opened, expected {words:?}")),
            (Err(error), is_fine) => {
                let line = error.to_string();
                let names = words.iter().all(|word| line.to_lowercase().contains(&word.to_lowercase()));
                if is_fine || !names || line.contains('\n') || !line.contains(file) {
                    faults.push(format!("{file}: expected {words:?}: {line}"));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}:\n{}", faults.len(), faults.join("\n"));
}

/// A network of the golden results, as the weights file that is made of its checkpoint and as an ONNX file.
#[test]
fn our_own_network_is_the_same_from_both_files_and_stops_early() {
    let place = tempfile::tempdir().unwrap();
    let weights = place.path().join("w.safetensors");
    let checkpoint = repository("tests/golden/nets/blocks-lin_grow.pth");
    let options = ConvertOptions { input: Some(34), ..ConvertOptions::default() };
    convert(&checkpoint, &weights, &options).unwrap_or_else(|e| panic!("{e}"));
    let own = Model::open(&weights).unwrap();
    let onnx = Model::open(folder().join("own.onnx")).unwrap();
    assert_eq!((onnx.exits.len(), onnx.classes()), (own.exits.len(), own.classes()));
    let input: Vec<f32> = (0..own.input_shape().len()).map(|i| (i as f32 * 0.37).sin()).collect();
    for device in devices() {
        let explain = |model: &Model| {
            let request = ExplainRequest { signed: true, ..ExplainRequest::grad_cam(model) };
            let mut explainer = Explainer::new(model, &request, &device, 1).unwrap();
            explainer.explain(&input).unwrap().remove(0)
        };
        for (a, b) in explain(&onnx).iter().zip(&explain(&own)) {
            let what = format!("{}: exit {}", device.description(), a.prediction.exit);
            assert_close(&what, &a.prediction.logits, &b.prediction.logits, NETWORK);
            assert_close(&what, &a.maps[0].signed, &b.maps[0].signed, NETWORK);
        }
        let exits: Vec<usize> = (1..=onnx.exits.len()).collect();
        let cost = |model: &Model| {
            Classifier::new(model, &exits, Order::ByExit, &device, 1).unwrap().multiply_adds()
        };
        let costs = cost(&onnx);
        assert!(costs.is_sorted_by(|a, b| a < b), "what an exit needs is computed before it: {costs:?}");
        assert_eq!(costs, cost(&own));
    }
}

/// Slopes of activations and the normalization of the image are not weights, which the randomization check replaces.
#[test]
fn constants_of_the_architecture_stay_where_weights_are_replaced() {
    for (file, kept) in
        [("leaky_legacy.onnx", true), ("normalized_legacy.onnx", true), ("earlyon_legacy.onnx", false)]
    {
        let model = Model::open(folder().join("networks").join(file)).unwrap();
        let groups: Vec<LayerGroup> = (1..=model.exits.len()).flat_map(LayerGroup::cascade).collect();
        let random = model.reinitialized(&groups, 1);
        let pairs = model.graph.params().iter().zip(random.graph.params());
        let is_constant = |name: &str| name.ends_with(".scale") || name.ends_with(".shift");
        let (constants, weights): (Vec<_>, Vec<_>) = pairs.partition(|(param, _)| is_constant(&param.name));
        assert!(constants.is_empty() != kept && constants.iter().all(|(a, b)| a.data == b.data), "{file}");
        for (a, b) in weights.iter().filter(|(param, _)| param.dims.len() == 4) {
            assert!(a.data != b.data, "{file}: {}", a.name);
        }
    }
}
