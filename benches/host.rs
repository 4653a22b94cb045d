//! The host's share of a call: Grad-CAM at all ten exits of the default model, at one batch size.
//!
//!     STANDIN_SKIP_KERNELS=1 STANDIN_LAZY=1 tests/standin/run cargo bench --bench host -- [BATCH] [CALLS]
//!
//! Under the stand-in driver with these settings kernels do nothing, and what is enqueued, copies included, is
//! executed when it is waited for. So `submit` is the host's work, as on a GPU, and `wait` is what a GPU does
//! by itself: of the host's time it has only the end of the wait. The images are written anew before each
//! call, as by what reads photos. Milliseconds a call:
//!
//! | row | what is counted |
//! |---|---|
//! | `copy` | the images copied to other memory of the program, for comparison: no call is faster |
//! | `submit` | `Explainer::submit`: checking the images, writing them to pinned memory, enqueueing the graph |
//! | `wait` | `Explainer::wait`: here the stand-in's copies of inputs and results |
//! | `predictions` | views of every prediction: class, score, target |
//! | `maps` | the same with a view of every map, which checks that its elements are finite and tells its status |
//! | `explain` | `Explainer::explain`: submit, wait, and copies of all results with memory of their own |
//!
//! On a GPU the rows are the same, with a device that works.

use std::hint::black_box;
use std::time::Instant;

use msdcam::engine::cuda::{Cuda, Variant};
use msdcam::engine::device::Device;
use msdcam::explain::{ExplainRequest, Explainer, Explanations};
use msdcam::{Error, Result};
use support::{default_network, median, noise};

mod support;

/// Looks at every prediction, and with `maps` at every map; returns how many are usable.
fn view(explanations: Explanations, maps: bool) -> usize {
    let all = (0..explanations.len()).flat_map(|image| explanations.image(image));
    let usable = all.map(|explanation| {
        let explanation = black_box(explanation);
        let maps = if maps { explanation.maps().map(black_box).count() } else { 0 };
        maps + usize::from(explanation.score.is_finite())
    });
    usable.sum()
}

fn run(batch: usize, calls: usize) -> Result<()> {
    let model = default_network();
    let device = Device::Cuda(Cuda::with_variant(0, Variant::from_env())?);
    let mut explainer = Explainer::new(&model, &ExplainRequest::grad_cam(&model), &device, batch)?;
    let photos = noise(batch * model.input_shape().len(), &mut 1, 1.0);
    let (mut images, mut other) = (photos.clone(), photos.clone());
    let mut rows: [(&str, Vec<f64>); 6] =
        ["copy", "submit", "wait", "predictions", "maps", "explain"].map(|name| (name, Vec::new()));
    let ms = |start: Instant| start.elapsed().as_secs_f64() * 1e3;
    for round in 0..=calls {
        let mut times = [0.0; 6];
        let mut lap = |row: usize, start: &mut Instant| {
            times[row] = ms(*start);
            *start = Instant::now();
        };
        images.copy_from_slice(&photos);
        let mut start = Instant::now();
        other.copy_from_slice(black_box(&images));
        lap(0, &mut start);
        images.copy_from_slice(&photos);
        start = Instant::now();
        explainer.submit(&images, &[])?;
        lap(1, &mut start);
        let explanations = explainer.wait()?;
        lap(2, &mut start);
        black_box(view(explanations, false));
        lap(3, &mut start);
        black_box(view(explanations, true));
        lap(4, &mut start);
        // The first round captures the graph and touches the memory.
        if round > 0 {
            rows.iter_mut().zip(times).take(5).for_each(|((_, all), time)| all.push(time));
        }
    }
    // By itself: it fills the caches with copies.
    for _ in 0..calls {
        let start = Instant::now();
        drop(black_box(explainer.explain(&images)?));
        rows[5].1.push(ms(start));
    }
    println!("{}, batches of {batch}, ms a call", device.description());
    println!("{:<12}{:>9}{:>9}", "", "median", "least");
    for (name, times) in &mut rows {
        let median = median(times);
        println!("{name:<12}{median:>9.3}{:>9.3}", times[0]);
    }
    Ok(())
}

fn main() -> std::process::ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let number = |i: usize, default: usize| args.get(i).and_then(|arg| arg.parse().ok()).unwrap_or(default);
    match run(number(0, 256).max(1), number(1, 60).max(1)) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        // Without a GPU or the stand-in there is nothing to measure.
        Err(Error::Device(e)) => {
            println!("skipped: the host's share: {e}");
            std::process::ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("error: {e}");
            std::process::ExitCode::FAILURE
        }
    }
}
