//! Networks of code bases that derive from MSD-Net, with random weights: logits and Grad-CAM of every exit as
//! their own code has them (`tests/golden/README.md`).

use std::path::PathBuf;

use msdcam::model::{ConvertOptions, Normalization, convert};
use msdcam::util::npz::Archive;
use msdcam::{ExplainRequest, Explainer, Model, RgbImage};

use crate::common::close::{NETWORK, assert_close};
use crate::common::golden::repository;
use crate::common::run::devices;

fn derived(name: &str) -> PathBuf {
    repository(&format!("tests/golden/derived/{name}"))
}

/// Converts `checkpoint`, and compares every exit on every device with the answers `expected`.
fn check(checkpoint: &str, expected: &str, size: usize, options: ConvertOptions) {
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("w.safetensors");
    convert(&derived(checkpoint), &weights, &options).unwrap_or_else(|e| panic!("{e}"));
    let model = Model::open(&weights).unwrap();
    assert_eq!((model.input.height, model.input.width), (size, size), "{checkpoint}");
    let photo = RgbImage::open(derived(&format!("image_{size}.png"))).unwrap();
    let path = derived(&format!("{expected}.expected.npz"));
    let bytes = std::fs::read(&path).unwrap();
    let mut archive = Archive::open(&path, &bytes).unwrap();
    let (logits, cams) = (archive.floats("logits").unwrap(), archive.floats("cam").unwrap());
    let (classes, area) = (model.classes(), cams.values.len() / model.exits.len());
    assert_eq!(logits.values.len(), model.exits.len() * classes, "{checkpoint}");
    for device in devices() {
        let mut explainer = Explainer::new(&model, &ExplainRequest::grad_cam(&model), &device, 1).unwrap();
        let explained = explainer.explain(&model.prepare(&photo).tensor).unwrap();
        for (exit, explanation) in explained[0].iter().enumerate() {
            let of =
                |what: &str| format!("{}: {expected}: {what} of exit {}", device.description(), exit + 1);
            let (want, cam) =
                (&logits.values[exit * classes..][..classes], &cams.values[exit * area..][..area]);
            assert_close(&of("logits"), &explanation.prediction.logits, want, NETWORK);
            assert_close(&of("map"), &scaled(&explanation.maps[0].map), &scaled(cam), NETWORK);
        }
    }
}

/// The map divided by its maximum: not every code base divides the mean gradient by the area.
fn scaled(map: &[f32]) -> Vec<f32> {
    let most = map.iter().copied().fold(0.0, f32::max);
    map.iter().map(|x| if most > 0.0 { x / most } else { *x }).collect()
}

fn plain() -> ConvertOptions {
    ConvertOptions::default()
}

/// With the normalization that the derived code bases use for Tiny ImageNet.
fn tiny_imagenet() -> ConvertOptions {
    let statistics = "0.4802,0.4481,0.3975/0.2302,0.2265,0.2262".parse().unwrap();
    ConvertOptions { normalization: Some(statistics), input: Some(64), ..plain() }
}

#[test]
fn the_authors_network_as_a_reference() {
    check("ok-reference.pth", "ok-reference", 56, plain());
}

#[test]
fn scales_dropped_as_late_as_possible() {
    check("prune-min.pth.tar", "prune-min", 56, plain());
}

#[test]
fn growth_factors_without_a_common_unit() {
    check("grfactor-2-3-4.pth.tar", "grfactor-2-3-4", 56, plain());
}

#[test]
fn heads_of_another_width() {
    check("head-16-wide.pth", "head-16-wide", 32, plain());
}

#[test]
fn a_stem_without_bias() {
    check("stem-without-bias.pth", "stem-without-bias", 56, plain());
}

#[test]
fn heads_that_pool_the_whole_map() {
    let options = ConvertOptions { adaptive_pool: Some(true), ..tiny_imagenet() };
    check("tinyimagenet.pth", "tinyimagenet-adaptive-pool", 64, options);
}

#[test]
fn a_stem_of_stride_2() {
    let options = ConvertOptions { stem_stride: Some(2), ..tiny_imagenet() };
    check("tinyimagenet.pth", "tinyimagenet-stem-stride-2", 64, options);
}

#[test]
fn the_names_of_pytorchcv() {
    check("pytorchcv.pth", "pytorchcv", 56, plain());
}

#[test]
fn exits_that_add_up() {
    check("boostnet.pth", "boostnet", 56, ConvertOptions { boosted: Some(0.5), ..plain() });
}

#[test]
fn exits_that_read_the_exit_before() {
    check("imta.pth.tar", "imta", 56, plain());
}

#[test]
fn what_no_tensor_tells_and_does_not_fit_names_the_options() {
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("w.safetensors");
    let refusal = |file: &str, options: ConvertOptions| {
        let error = convert(&derived(file), &weights, &options).unwrap_err().to_string();
        error.split_once(&format!("{file}: ")).expect("the file is not named").1.to_string()
    };
    assert_eq!(
        refusal("tinyimagenet.pth", ConvertOptions { input: Some(64), ..plain() }),
        "architecture: an input of 64 x 64 pixels gives heads that pool to 2 x 2, but their linear layers read 1 x \
         1; see --input-size, --stem-stride and --head-pool"
    );
    assert_eq!(refusal("one-head-missing.pth", plain()), "tensor 'blocks.1': 2 blocks, 1 head");
    convert(&derived("reduction-0.7-width-90.pth"), &weights, &plain()).unwrap();
    let report = convert(&derived("extra-eenet-switcher.pth.tar"), &weights, &plain()).unwrap();
    assert_eq!(report.notes, ["left out 7 tensors under 'switcher', which are no part of an MSD-Net"]);
}

/// A ten-class network for small images: everything that is assumed, with the option that changes it.
#[test]
fn each_assumption_names_its_option() {
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("w.safetensors");
    let report = convert(&derived("head-16-wide.pth"), &weights, &plain()).unwrap();
    assert_eq!(
        report.assumed,
        [
            "input of 32 x 32 pixels, the usual for this stem (--input-size)",
            "first convolution of stride 1 (--stem-stride)",
            "heads that end in a 2 x 2 average pool (--head-pool)",
            "ReLU behind every batch norm (no other activation is supported)",
            "logits of each head alone, not added to those of the exit before (--boosted)",
            "mean [0.4914, 0.4824, 0.4467] and standard deviation [0.2471, 0.2435, 0.2616], the usual for this network \
             (--normalize)",
        ]
    );
    let told = ConvertOptions {
        normalization: Some(Normalization::NONE),
        input: Some(32),
        stem_stride: Some(1),
        adaptive_pool: Some(false),
        boosted: Some(0.0),
        ..plain()
    };
    let report = convert(&derived("head-16-wide.pth"), &weights, &told).unwrap();
    assert_eq!(report.assumed, ["ReLU behind every batch norm (no other activation is supported)"]);
}
