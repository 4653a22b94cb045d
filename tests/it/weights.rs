//! Weights files: round trips, contradictory headers, and conversion from a checkpoint.

use crate::common::nets::network_tensors;
use msdcam::model::Normalization;
use msdcam::model::convert::{ConvertOptions, convert};
use msdcam::model::inspect::inspect;
use msdcam::model::msdnet::config::{Head, HeadChannels, Layout, Stem};
use msdcam::model::msdnet::{Config, layers};
use msdcam::model::pytorch::Checkpoint;
use msdcam::model::weights::{Precision, Weights};
use std::path::{Path, PathBuf};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/checkpoints").join(name)
}

fn options() -> ConvertOptions {
    ConvertOptions::default()
}

/// Weights of a small model, all exact in half precision.
fn small() -> Weights {
    let config = Config {
        stem: Stem::Imagenet,
        layout: Layout::Blocks,
        input: 28,
        classes: 2,
        channels: 2,
        growth: 2,
        scale_factor: vec![1],
        bottleneck_factor: vec![1],
        head: Head { channels: HeadChannels::Tap, ..Config::cifar10_anytime().head },
        ..Config::cifar10_anytime()
    }
    .with_layers(&[1], 0.5);
    let tensors = layers::tensors(&config)
        .unwrap()
        .into_iter()
        .map(|(name, dims)| {
            let n = dims.iter().product::<usize>();
            (name, (dims, (0..n).map(|i| (i % 17) as f32 / 16.0).collect()))
        })
        .collect();
    Weights {
        config,
        labels: vec!["no \"quote\"".into(), "ja\u{e9}".into()],
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
        source_sha256: "00".repeat(32),
        tensors,
    }
}

fn bytes(weights: &Weights) -> Vec<u8> {
    weights.to_bytes(Path::new("w"), Precision::F32).unwrap().0
}

fn refusal(bytes: &[u8]) -> String {
    let error = Weights::from_bytes(Path::new("w.safetensors"), bytes).expect_err("accepted");
    assert!(matches!(error, msdcam::Error::Refused { .. }), "{error}");
    let text = error.to_string();
    assert!(!text.contains('\n'), "{text}");
    text.strip_prefix("w.safetensors: ").expect("the file is not named").to_string()
}

/// A file with this header and `n` bytes of data.
fn file(header: &str, n: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; n]].concat()
}

#[test]
fn weights_round_trip_in_both_precisions() {
    let weights = small();
    for precision in [Precision::F32, Precision::F16] {
        let (bytes, rounded) = weights.to_bytes(Path::new("w"), precision).unwrap();
        assert_eq!(rounded, 0);
        assert_eq!(Weights::from_bytes(Path::new("w"), &bytes).unwrap(), weights);
        assert_eq!(weights.to_bytes(Path::new("w"), precision).unwrap().0, bytes, "not the same bytes");
    }
}

#[test]
fn the_safetensors_crate_finds_the_names_and_types_of_pytorch() {
    let (bytes, _) = small().to_bytes(Path::new("w"), Precision::F16).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let metadata = metadata.metadata().clone().unwrap();
    assert_eq!(metadata["format"], "pt");
    let about: serde_json::Value = serde_json::from_str(&metadata["msdcam"]).unwrap();
    assert_eq!(about["architecture"]["input"], 28);
    assert_eq!(about["labels"][1], "ja\u{e9}");
    assert_eq!(about["source_sha256"], "00".repeat(32));
    let dtype = |name: &str| file.tensor(name).unwrap().dtype();
    assert_eq!(dtype("blocks.0.0.layers.0.0.weight"), safetensors::Dtype::F16);
    assert_eq!(dtype("classifier.0.linear.weight"), safetensors::Dtype::F16);
    assert_eq!(dtype("classifier.0.linear.bias"), safetensors::Dtype::F32);
    assert_eq!(dtype("blocks.0.0.layers.0.0.bias"), safetensors::Dtype::F32);
    assert_eq!(dtype("blocks.0.0.layers.0.1.weight"), safetensors::Dtype::F32);
    assert_eq!(dtype("blocks.0.0.layers.0.1.running_var"), safetensors::Dtype::F32);
}

/// Changes the elements of a tensor.
fn change(weights: &mut Weights, tensor: &str, change: impl FnOnce(&mut [f32])) {
    let elements = &mut weights.tensors.get_mut(tensor).unwrap().1;
    let mut changed = elements.to_vec();
    change(&mut changed);
    *elements = changed.into();
}

#[test]
fn half_precision_counts_rounded_elements_and_refuses_overflow() {
    let mut weights = small();
    let conv = "blocks.0.0.layers.0.0.weight";
    change(&mut weights, conv, |x| x[..3].copy_from_slice(&[0.1, -0.3, 65504.0]));
    // Biases stay f32 and are not counted.
    change(&mut weights, "classifier.0.linear.bias", |x| x[0] = 1e30);
    assert_eq!(weights.to_bytes(Path::new("w"), Precision::F16).unwrap().1, 2);
    change(&mut weights, conv, |x| x[0] = 65520.0);
    assert_eq!(
        weights.to_bytes(Path::new("w"), Precision::F16).unwrap_err().to_string(),
        format!("w: tensor '{conv}': 65520 is too large for f16, whose largest is 65504; use f32")
    );
}

#[test]
fn a_tensor_is_found_only_with_its_own_dimensions() {
    let weights = small();
    assert_eq!(weights.get("classifier.0.linear.bias", &[2]).unwrap()[..], [0.0, 1.0 / 16.0]);
    assert!(weights.get("classifier.0.linear.bias", &[2, 1]).unwrap_err().to_string().contains("[2]"));
    assert!(weights.get("classifier.1.linear.bias", &[2]).unwrap_err().to_string().contains("no tensor"));
}

#[test]
fn names_the_tensor_of_an_inconsistent_header() {
    let tensor = |dtype: &str, shape: &str, range: &str| {
        format!(r#"{{"a.b":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{range}}}}}"#)
    };
    for (header, n, said) in [
        (tensor("F32", "[2]", "[0,8]"), 9, "header: its tensors take 8 bytes, the file has 9"),
        (tensor("F32", "[2]", "[0,8]"), 7, "header: its tensors take 8 bytes, the file has 7"),
        (tensor("F32", "[2]", "[0,12]"), 12, "tensor 'a.b': F32 of dimensions [2] in 12 bytes"),
        (tensor("F32", "[2]", "[4,12]"), 12, "tensor 'a.b': lies at 4..12, expected to begin at 0"),
        (tensor("F32", "[2]", "[0,-8]"), 8, "header: tensor 'a.b': invalid value"),
        (tensor("F9", "[1]", "[0,8]"), 8, "tensor 'a.b': holds F9, an unknown element type"),
        (tensor("F32", "[9223372036854775807,9]", "[0,8]"), 8, "tensor 'a.b': F32 of dimensions"),
        (tensor("F32", "[99999999999999999999]", "[0,8]"), 8, "header: tensor 'a.b': invalid"),
        (r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}"#.into(), 6, "tensor 'b': lies at 2..6, expected to begin at 4"),
        (r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#.into(), 8, "header: 'a' is there twice"),
        (r#"{"a\u0000":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#.into(), 4, "header: \"a\\0\" is not a usable name"),
        (r#"{"__metadata__":{"msdcam":3}}"#.into(), 0, "header: invalid type: integer `3`"),
        ("{}".into(), 0, "header: no 'msdcam' in its metadata: not written by `msdcam convert`"),
        ("{".into(), 0, "header: EOF while parsing"),
        ("{\"\u{7f}".into(), 0, "header: EOF while parsing"),
        (r#"{"__metadata__":{"msdcam":"{}"}}"#.into(), 0, "metadata: missing field `version`"),
        (r#"{"__metadata__":{"msdcam":"{\"version\":9}"}}"#.into(), 0, "metadata: version 9 of the weights format"),
    ] {
        let text = refusal(&file(&header, n));
        assert!(text.starts_with(said), "{header}\nsaid     {text}\nexpected {said}");
    }
    let good = bytes(&small());
    let length = u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    let at = good[..length].windows(3).position(|w| w == b"F32").unwrap();
    let integers = [&good[..at], b"I32", &good[at + 3..]].concat();
    assert!(refusal(&integers).ends_with("holds I32, expected F32 or F16"));
    let mut long = file("{}", 0);
    long[..8].copy_from_slice(&90_000_000u64.to_le_bytes());
    assert_eq!(refusal(&long), "header: says it has 90000000 bytes, 2 follow");
    let deep = "{\"a\":".to_string() + &"[".repeat(100_000);
    assert!(refusal(&file(&deep, 0)).starts_with("header: tensor 'a': "));
}

#[test]
fn refuses_inconsistent_weights() {
    let change = |edit: &dyn Fn(&mut serde_json::Value)| {
        let good = bytes(&small());
        let length = u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
        let mut header: serde_json::Value = serde_json::from_slice(&good[8..8 + length]).unwrap();
        let mut about = serde_json::from_str(header["__metadata__"]["msdcam"].as_str().unwrap()).unwrap();
        edit(&mut about);
        header["__metadata__"]["msdcam"] = about.to_string().into();
        let text = header.to_string();
        refusal(&[&(text.len() as u64).to_le_bytes()[..], text.as_bytes(), &good[8 + length..]].concat())
    };
    assert!(
        change(&|a| a["labels"] = serde_json::json!(["one"])).starts_with("labels: 1 names for 2 classes")
    );
    assert!(change(&|a| a["std"][1] = 0.into()).starts_with("normalisation: "));
    assert!(change(&|a| a["mean"][0] = 1e300.into()).starts_with("normalisation: "));
    let layers = |layers: &'static [u64]| change(&|a| a["architecture"]["layers"] = layers.into());
    assert!(layers(&[1, 1]).starts_with("tensors: "));
    assert!(layers(&[1_000_000_000, 1]).starts_with("architecture: "));
    assert!(layers(&[]).starts_with("architecture: exits is 0"));
    assert!(change(&|a| a["architecture"]["drops"] = [7].into()).starts_with("architecture: "));
    assert!(change(&|a| a["architecture"]["head"]["boost"] = 1e300.into()).starts_with("architecture: "));
    assert!(change(&|a| a["architecture"]["growth"] = 1_000_000_000u64.into()).starts_with("architecture: "));
    assert!(change(&|a| a["architecture"]["input"] = 10.into()).starts_with("architecture: "));
    assert!(
        change(&|a| a["architecture"]["exits"] = 2.into()).starts_with("metadata: unknown field `exits`")
    );
    assert!(change(&|a| a["surprise"] = 1.into()).starts_with("metadata: unknown field `surprise`"));
}

#[test]
fn refuses_elements_that_are_not_finite_and_negative_variances() {
    for (tensor, number, said) in [
        ("classifier.0.linear.bias", f32::NAN, "1 of 2 numbers are NaN or infinite"),
        ("blocks.0.0.layers.0.1.running_var", -0.5, "1 of 2 variances are negative"),
    ] {
        let mut weights = small();
        change(&mut weights, tensor, |x| x[1] = number);
        assert_eq!(refusal(&bytes(&weights)), format!("tensor '{tensor}': {said}"));
    }
}

#[test]
fn truncated_weights_are_an_error() {
    let whole = bytes(&small());
    for cut in (0..whole.len()).step_by(7) {
        refusal(&whole[..cut]);
    }
}

#[test]
fn a_flipped_byte_in_a_weights_header_never_panics() {
    let whole = bytes(&small());
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    for at in 0..header {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        if let Ok(weights) = Weights::from_bytes(Path::new("w"), &flipped) {
            assert_eq!(weights.shapes(), small().shapes(), "flip at {at}");
        }
    }
}

#[test]
fn both_containers_convert_to_the_same_weights() {
    let folder = tempfile::tempdir().unwrap();
    let to = |name: &str| folder.path().join(name);
    for [zip, legacy] in [["subnets_zip.pth.tar", "subnets_legacy.pth.tar"], ["blocks_zip.pt", "old_tar.pth"]]
    {
        convert(&golden(zip), &to("zip"), &options()).unwrap();
        convert(&golden(legacy), &to("legacy"), &options()).unwrap();
        let [mut zip, legacy] = ["zip", "legacy"].map(|n| Weights::read(&to(n)).unwrap());
        assert_ne!(zip.source_sha256, legacy.source_sha256);
        zip.source_sha256.clone_from(&legacy.source_sha256);
        assert!(zip == legacy, "the weights differ");
    }
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "left behind: {left:?}");
}

#[test]
fn conversion_keeps_every_element_and_the_usual_normalization() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("w.safetensors");
    for (name, normalization) in
        [("subnets_zip.pth.tar", Normalization::NONE), ("blocks_zip.pt", Normalization::IMAGENET)]
    {
        let report = convert(&golden(name), &out, &options()).unwrap();
        let (weights, source) =
            (Weights::read(&out).unwrap(), Checkpoint::read(&golden(name), None).unwrap());
        let tensors = network_tensors(&source).unwrap();
        assert_eq!(report.tensors, tensors.len());
        assert_eq!(weights.source_sha256, source.sha256);
        assert_eq!(weights.labels, ["0", "1", "2"]);
        assert_eq!((weights.mean, weights.std), (normalization.mean, normalization.std));
        for (name, tensor) in &tensors {
            assert_eq!(weights.get(name, &tensor.dims).unwrap()[..], tensor.data, "{name}");
        }
    }
}

#[test]
fn reads_labels_from_a_file_and_checks_their_count() {
    let folder = tempfile::tempdir().unwrap();
    let (out, list) = (folder.path().join("w"), folder.path().join("labels.txt"));
    let with = |text: &[u8]| {
        std::fs::write(&list, text).unwrap();
        convert(&golden("blocks_zip.pt"), &out, &ConvertOptions { labels: Some(list.clone()), ..options() })
    };
    with(b"\xef\xbb\xbfcat\r\n dog \r\nowl\r\n").unwrap();
    assert_eq!(Weights::read(&out).unwrap().labels, ["cat", "dog", "owl"]);
    for (text, said) in [
        (&b"cat\ndog\n"[..], "labels.txt: labels: 2 names for a network of 3 classes"),
        (b"cat\n\ndog", "labels.txt: line 2: empty"),
        (b"cat\n\xff\ndog", "labels.txt: UTF-8: invalid utf-8 sequence of 1 bytes from index 4"),
    ] {
        assert!(with(text).unwrap_err().to_string().ends_with(said), "{said}");
    }
}

#[test]
fn the_output_may_not_be_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("a.pth"), folder.path().join("b.pth"));
    std::fs::copy(golden("blocks_zip.pt"), &path).unwrap();
    std::fs::hard_link(&path, &link).unwrap();
    for output in [&path, &link] {
        let error = convert(&path, output, &options()).unwrap_err();
        assert!(matches!(error, msdcam::Error::Request(_)), "{error}");
    }
    let error = convert(&path, &folder.path().join("no/such/folder/w"), &options()).unwrap_err();
    assert!(matches!(error, msdcam::Error::Write { .. }), "{error}");
    let error = convert(&path, folder.path(), &options()).unwrap_err();
    assert!(matches!(error, msdcam::Error::Write { .. }), "{error}");
    Checkpoint::read(&path, None).unwrap();
}

#[test]
fn parses_normalizations() {
    let parse = |text: &str| text.parse::<Normalization>();
    assert_eq!(parse("none"), Ok(Normalization::NONE));
    assert_eq!(parse("imagenet"), Ok(Normalization::IMAGENET));
    assert_eq!(
        parse("0.49,0.48, 0.44/0.24,0.24,0.26"),
        Ok(Normalization { mean: [0.49, 0.48, 0.44], std: [0.24, 0.24, 0.26] })
    );
    for bad in
        ["", "cifar", "1,2,3", "1,2/1,2", "1,2,3/1,2,0", "1,2,3/1,2,-1", "nan,0,0/1,1,1", "1,2,3/1,2,3/4"]
    {
        assert!(parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn inspects_checkpoints_and_weights_files() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("w");
    convert(&golden("subnets_legacy.pth.tar"), &out, &options()).unwrap();
    let (before, after) =
        (inspect(&golden("subnets_legacy.pth.tar"), None).unwrap(), inspect(&out, None).unwrap());
    assert_eq!(before.format, "PyTorch checkpoint (legacy stream)");
    assert_eq!(before.state_dict.as_deref(), Some("state_dict"));
    assert_eq!(before.stored, ["f32"]);
    assert_eq!(after.source_sha256, Some(before.sha256));
    assert_eq!(
        (before.architecture, before.exits, before.numbers),
        (after.architecture, after.exits, after.numbers)
    );
    assert!(before.problems.is_empty());
    assert_eq!(after.labels.unwrap(), ["0", "1", "2"]);
}

#[test]
fn the_costs_of_the_articles_model_are_the_published_ones() {
    let exits = msdcam::model::inspect::exits(&Config::cifar10_anytime()).unwrap();
    assert_eq!(exits.iter().map(|e| e.parameters).sum::<u64>(), 5_440_864);
    assert_eq!(exits[9].total, 147_386_880);
    assert_eq!((exits[0].tap_channels, exits[9].tap_channels, exits[9].tap_height), (224, 300, 8));
}
