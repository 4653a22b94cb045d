//! The CUDA device against the CPU device. Where `MSDCAM_CUDA_TESTS` is set, the tests run on the
//! driver that they find; otherwise each runs itself again under the stand-in driver.

use std::process::Command;
use std::sync::Arc;

use msdcam::cam::{ExitAnswer, Explainer, Question};
use msdcam::cuda::{Cuda, Tiling};
use msdcam::device::{Device, DeviceChoice};
use msdcam::graph::Graph;
use msdcam::graph::ops::{
    AvgPool, BatchNorm, Conv2d, Heat, Linear, MaxPool, Op, ReluGrad, ReluRule, WeightedSum, Window,
};
use msdcam::graph::passes::Passes;
use msdcam::graph::plan::{Order, Plan};
use msdcam::msdnet::{Config, Network};
use msdcam::{Error, Shape};

/// Runs `body` on the driver at hand, or the test `name` again under the stand-in with `settings`.
fn on_device(name: &str, settings: &[(&str, &str)], body: impl FnOnce()) {
    if std::env::var_os("MSDCAM_CUDA_TESTS").is_some() {
        return body();
    }
    let root = env!("CARGO_MANIFEST_DIR");
    if Command::new("g++").arg("--version").output().is_err() {
        eprintln!("skipped: {name}: the stand-in driver needs g++");
        return;
    }
    let cache = std::path::Path::new(root).join("target/standin-kernels");
    let output = Command::new(std::path::Path::new(root).join("tests/standin/run"))
        .arg(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture", "--test-threads", "1"])
        .env("MSDCAM_CUDA_TESTS", "1")
        .env("XDG_CACHE_HOME", cache)
        .envs(settings.iter().copied())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "{name} under the stand-in:\n{out}\n{err}");
    print!("{out}");
}

/// Numbers in [-1, 1) that depend on `seed` and their position alone (SplitMix64).
fn numbers(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// A network whose values neither vanish nor explode: weights scaled by their fan-in.
fn network(config: &Config) -> Network {
    let tensor = |name: &str, dims: &[usize]| -> msdcam::Result<Arc<[f32]>> {
        let seed = name.bytes().fold(7_u64, |h, b| h.wrapping_mul(131).wrapping_add(b.into()));
        let len: usize = dims.iter().product();
        let fan_in = (len / dims[0].max(1)).max(1);
        let numbers = numbers(seed, len);
        Ok(match name.rsplit('.').next().unwrap() {
            "weight" if dims.len() > 1 => numbers.iter().map(|x| x * (6.0_f32 / fan_in as f32).sqrt()).collect(),
            "weight" | "running_var" => numbers.iter().map(|x| 1.0 + 0.3 * x).collect(),
            _ => numbers.iter().map(|x| 0.1 * x).collect(),
        })
    };
    Network::new(config, tensor).unwrap()
}

fn gpu() -> Cuda {
    Cuda::new(0).unwrap()
}

fn explain(device: &Device, network: &Network, images: &[f32], target: Option<usize>) -> Vec<Vec<ExitAnswer>> {
    let n = images.len() / (3 * network.config.input * network.config.input);
    let question = Question::explain_all(network);
    let mut explainer = Explainer::new(network, &question, device, n).unwrap();
    explainer.explain(images, target).unwrap()
}

/// Fails where two arrays differ by more than `tolerance` of the second one's largest number, or
/// where a number is NaN.
fn assert_close(what: &str, got: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(0.0_f32, |m, x| m.max(x.abs())).max(1e-6);
    for (i, (g, e)) in got.iter().zip(expected).enumerate() {
        let error = (g - e).abs() / scale;
        assert!(error <= tolerance, "{what}: number {i} is {g}, expected {e} (error {error} of {scale})");
    }
}

fn assert_same_answers(got: &[Vec<ExitAnswer>], expected: &[Vec<ExitAnswer>], tolerance: f32) {
    assert_eq!(got.len(), expected.len());
    for (image, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert_eq!(got.len(), expected.len(), "exits of image {image}");
        for (g, e) in got.iter().zip(expected) {
            let what = |part: &str| format!("image {image}, exit {}, {part}", e.exit);
            assert_eq!((g.exit, g.class), (e.exit, e.class), "{}", what("class"));
            assert_close(&what("logits"), &g.logits, &e.logits, tolerance);
            assert_close(&what("probabilities"), &g.probabilities, &e.probabilities, tolerance);
            let (Some(g), Some(e)) = (&g.map, &e.map) else { panic!("{}", what("no map")) };
            assert_close(&what("weights"), &g.weights, &e.weights, tolerance);
            assert_close(&what("map"), &g.map, &e.map, tolerance);
            assert_close(&what("range"), &[g.min, g.max], &[e.min, e.max], tolerance);
            assert_close(&what("heat map"), &g.heat, &e.heat, tolerance);
        }
    }
}

#[test]
fn every_exit_of_the_default_network_is_answered_as_on_the_cpu() {
    on_device("every_exit_of_the_default_network_is_answered_as_on_the_cpu", &[], || {
        let network = network(&Config::cifar10_anytime());
        let images = numbers(1, 3 * 3 * 32 * 32);
        let started = std::time::Instant::now();
        let device = Device::Cuda(gpu());
        println!("{} opened in {:?}", device.description(), started.elapsed());
        let cpu = Device::open(DeviceChoice::Cpu, 0).unwrap();
        let started = std::time::Instant::now();
        let got = explain(&device, &network, &images, None);
        println!("3 images in {:?}", started.elapsed());
        assert_same_answers(&got, &explain(&cpu, &network, &images, None), 1e-4);
    });
}
