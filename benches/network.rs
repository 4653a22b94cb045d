//! Latency and throughput of whole networks with random weights: forward and Grad-CAM, all exits.
//!
//!     cargo bench --bench network -- [cifar|imagenet] [threads] [batch] [seconds]

use std::sync::Arc;
use std::time::{Duration, Instant};

use msdcam::cam::{Explainer, Question};
use msdcam::device::{Device, DeviceChoice};
use msdcam::msdnet::{Config, Network};

/// Small numbers that look random, from a fixed start.
fn noise(len: usize, seed: &mut u64, scale: f32) -> Vec<f32> {
    let mut next = || {
        *seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (*seed >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next() * scale).collect()
}

fn random_network(config: &Config) -> Network {
    let seed = std::cell::Cell::new(1_u64);
    Network::new(config, |name, dims| {
        let len: usize = dims.iter().product();
        let mut state = seed.get();
        let fan_in = dims[1..].iter().product::<usize>().max(1);
        let data = if name.ends_with("running_var") {
            vec![1.0; len]
        } else {
            noise(len, &mut state, (2.0 / fan_in as f32).sqrt())
        };
        seed.set(state);
        Ok(Arc::from(data))
    })
    .expect("a published configuration")
}

fn measure(explainer: &mut Explainer, images: &[f32], budget: Duration) -> (f64, f64) {
    let mut times = Vec::new();
    let start = Instant::now();
    while times.len() < 5 || start.elapsed() < budget {
        let begin = Instant::now();
        explainer.explain(images, None).expect("the CPU runs");
        times.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], times[times.len() * 9 / 10])
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let number = |i: usize, default: usize| args.get(i).and_then(|a| a.parse().ok()).unwrap_or(default);
    let imagenet = args.first().is_some_and(|a| a == "imagenet");
    let config = if imagenet { Config::imagenet(4) } else { Config::cifar10_anytime() };
    let (threads, batch, seconds) = (number(1, 0), number(2, 1), number(3, 2));
    let network = random_network(&config);
    let device = Device::open(DeviceChoice::Cpu, threads).expect("the CPU is there");
    println!("{}, batch {batch}", device.description());
    let images = noise(batch * 3 * config.input * config.input, &mut 7, 1.0);
    for maps in [false, true] {
        let question = Question { maps, ..Question::explain_all(&network) };
        let mut explainer = Explainer::new(&network, &question, &device, batch).expect("the network loads");
        let work = explainer.runner().plan().multiply_adds();
        let (p50, p90) = measure(&mut explainer, &images, Duration::from_secs(seconds as u64));
        let rate = 2e-6 * work as f64 * batch as f64 / p50;
        println!(
            "{:9} p50 {p50:8.3} ms  p90 {p90:8.3} ms  {:9.1} images/s  {:6.1} M multiply-adds  {rate:6.1} GFLOP/s  {} levels",
            if maps { "grad-cam" } else { "forward" },
            batch as f64 * 1e3 / p50,
            work as f64 / 1e6,
            explainer.runner().plan().levels.len(),
        );
    }
}
