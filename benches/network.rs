//! Latency and throughput of whole networks with random weights: forward and Grad-CAM, all exits.
//!
//!     cargo bench --bench network -- [cifar|imagenet] [threads] [batch] [seconds]

use std::time::{Duration, Instant};

use msdcam::explain::{Classifier, Question};
use msdcam::model::msdnet::Config;
use support::{noise, random_network};

mod support;

fn measure(explainer: &mut Classifier, images: &[f32], budget: Duration) -> [f64; 3] {
    let mut times = Vec::new();
    let start = Instant::now();
    while times.len() < 5 || start.elapsed() < budget {
        let begin = Instant::now();
        explainer.explain(images, None).expect("the CPU runs");
        times.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    [times[0], times[times.len() / 2], times[times.len() * 9 / 10]]
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let number = |i: usize, default: usize| args.get(i).and_then(|a| a.parse().ok()).unwrap_or(default);
    let imagenet = args.first().is_some_and(|a| a == "imagenet");
    let config = if imagenet { Config::imagenet(4) } else { Config::cifar10_anytime() };
    let (threads, batch, seconds) = (number(1, 0), number(2, 1), number(3, 2));
    let network = random_network(&config);
    let device = support::cpu(threads).expect("the CPU is there");
    println!("{}, batch {batch}", device.description());
    let images = noise(batch * 3 * config.input * config.input, &mut 7, 1.0);
    for maps in [false, true] {
        let question = Question { maps, ..Question::explain_all(&network) };
        let mut explainer = Classifier::new(&network, &question, &device, batch).expect("the network loads");
        let work = explainer.session().plan().multiply_adds();
        let [best, p50, p90] = measure(&mut explainer, &images, Duration::from_secs(seconds as u64));
        let rate = 2e-6 * work as f64 * batch as f64 / p50;
        println!(
            "{:9} p50 {p50:8.3} ms  p90 {p90:8.3} ms  best {best:8.3} ms  {:9.1} images/s  {:6.1} M multiply-adds  {rate:6.1} GFLOP/s  {} levels",
            if maps { "grad-cam" } else { "forward" },
            batch as f64 * 1e3 / p50,
            work as f64 / 1e6,
            explainer.session().plan().levels.len(),
        );
    }
}
