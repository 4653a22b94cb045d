//! Latency and throughput of whole models with random weights: forward pass and Grad-CAM at all exits.
//!
//!     cargo bench --bench network -- [cifar|imagenet] [threads] [batch] [seconds]

use std::time::{Duration, Instant};

use msdcam::engine::plan::Order;
use msdcam::engine::session::Session;
use msdcam::explain::{Classifier, ExplainRequest, Explainer};
use msdcam::model::msdnet::Config;
use support::{noise, random_network};

mod support;

/// Minimum, median and 90th percentile of the time of `run` in milliseconds.
fn measure(mut run: impl FnMut(), budget: Duration) -> [f64; 3] {
    let mut times = Vec::new();
    let start = Instant::now();
    while times.len() < 5 || start.elapsed() < budget {
        let begin = Instant::now();
        run();
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
    let model = random_network(&config);
    let device = support::cpu(threads).expect("the CPU is there");
    println!("{}, batch {batch}", device.description());
    let images = noise(batch * 3 * config.input * config.input, &mut 7, 1.0);
    let budget = Duration::from_secs(seconds as u64);
    let exits: Vec<usize> = (1..=model.exits.len()).collect();
    let mut classifier =
        Classifier::new(&model, &exits, Order::Depth, &device, batch).expect("the model loads");
    let forward = measure(|| drop(classifier.classify(&images).expect("the CPU runs")), budget);
    let request = ExplainRequest::grad_cam(&model);
    let mut explainer = Explainer::new(&model, &request, &device, batch).expect("the model loads");
    let grad_cam = measure(|| drop(explainer.explain(&images).expect("the CPU runs")), budget);
    let rows: [(&str, &dyn Session, [f64; 3]); 2] =
        [("forward", classifier.session(), forward), ("grad-cam", explainer.session(), grad_cam)];
    for (name, session, [best, p50, p90]) in rows {
        let work = session.plan().multiply_adds();
        let rate = 2e-6 * work as f64 * batch as f64 / p50;
        println!(
            "{:9} p50 {p50:8.3} ms  p90 {p90:8.3} ms  best {best:8.3} ms  {:9.1} images/s  {:6.1} M multiply-adds  {rate:6.1} GFLOP/s  {} levels",
            name,
            batch as f64 * 1e3 / p50,
            work as f64 / 1e6,
            session.plan().levels().len(),
        );
    }
}
