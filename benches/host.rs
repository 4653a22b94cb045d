//! The host's share of a call: Grad-CAM at all ten exits of the default model, at one batch size.
//!
//!     STANDIN_SKIP_KERNELS=1 tests/standin/run cargo bench --bench host -- [BATCH] [CALLS]
//!
//! Under the stand-in driver kernels do nothing and copies are the CPU's, so that a call is the host's work
//! plus the driver's. The two are told apart by the device's clock, which spans the same graph, copies
//! included, launched without a call around it. Medians of milliseconds a call:
//!
//! | row | what is counted |
//! |---|---|
//! | `call` | `Explainer::submit` and `wait`: from images in memory to results in memory |
//! | `driver` | upload, launches and download by the device's clock, and waiting for an empty batch. A GPU does the copies itself |
//! | `host` | `call` less `driver`, in pairs: checking the images and writing them to pinned memory, bookkeeping |
//! | `predictions` | views of every prediction: class, score, target |
//! | `maps` | the same with a view of every map, which checks that its elements are finite and tells its status |
//! | `explain` | `Explainer::explain`: the call, and copies of all results with memory of their own |
//!
//! On a GPU the rows are the same, with a driver that works.

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
    let images = noise(batch * model.input_shape().len(), &mut 1, 1.0);
    let mut rows: [(&str, Vec<f64>); 6] =
        ["call", "driver", "host", "predictions", "maps", "explain"].map(|name| (name, Vec::new()));
    let ms = |start: Instant| start.elapsed().as_secs_f64() * 1e3;
    for round in 0..=calls {
        let start = Instant::now();
        explainer.submit(&images, &[])?;
        let explanations = explainer.wait()?;
        let call = ms(start);
        let [predictions, maps] = [false, true].map(|maps| {
            let start = Instant::now();
            black_box(view(explanations, maps));
            ms(start)
        });
        let session = explainer.session_mut();
        let start = Instant::now();
        session.submit(0, &mut |_, _| Ok(()))?;
        session.wait()?;
        let driver = ms(start) + session.device_ms(batch, 1)?.expect("a GPU has a clock");
        let start = Instant::now();
        drop(black_box(explainer.explain(&images)?));
        let explain = ms(start);
        // The first round captures the graph and touches the memory.
        if round > 0 {
            for ((_, times), time) in
                rows.iter_mut().zip([call, driver, call - driver, predictions, maps, explain])
            {
                times.push(time);
            }
        }
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
