//! How long an image takes that leaves at each exit.

use std::time::Instant;

use msdcam::Result;
use msdcam::cam::Explainer;
use msdcam::evaluation::Milliseconds;

/// Runs of each batch; the median counts.
const RUNS: usize = 5;
/// Images that are timed alone.
const ALONE: usize = 8;

/// For each exit the time of an image that leaves there, measured on `sample`: the inputs of one
/// batch.
///
/// # Errors
/// When the device fails.
pub fn milliseconds(explainer: &mut Explainer, sample: &[f32]) -> Result<Vec<Milliseconds>> {
    let image = explainer.image().len();
    let batch = sample.len() / image;
    let exits = explainer.multiply_adds().len();
    let measure = |exit: usize| {
        let mut leave = vec![None; exits];
        leave[exit] = Some(0.0);
        let mut time = |inputs: &[f32]| {
            let mut runs = Vec::with_capacity(RUNS);
            for _ in 0..RUNS {
                let start = Instant::now();
                explainer.explain_early_exit(inputs, None, &leave)?;
                runs.push(start.elapsed().as_secs_f64() * 1e3);
            }
            Ok(median(runs))
        };
        let alone = sample.chunks_exact(image).take(ALONE).map(&mut time).collect::<Result<Vec<f64>>>()?;
        Ok(Milliseconds { alone: median(alone), in_batch: time(sample)? / batch as f64, batch })
    };
    (0..exits).map(measure).collect()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
