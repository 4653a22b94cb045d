//! Timing of the exits.

use std::time::{Duration, Instant};

use crate::Result;
use crate::evaluation::Milliseconds;
use crate::explain::Classifier;

/// Maximum number of rounds; the median of the rounds is reported.
const ROUNDS: usize = 7;
/// Time after which no further round starts.
const TIME_LIMIT: Duration = Duration::from_secs(5);
/// Images that are timed one at a time.
const SINGLE_IMAGES: usize = 8;

/// For each exit, the time of an image that stops there, measured on `sample`, the inputs of one batch.
/// Every round times all exits, so that other load on the machine affects them equally.
///
/// # Errors
/// When the device fails.
pub fn milliseconds(classifier: &mut Classifier, sample: &[f32]) -> Result<Vec<Milliseconds>> {
    let image = classifier.image().len();
    let batch = sample.len() / image;
    let exits = classifier.multiply_adds().len();
    let mut times = vec![(Vec::new(), Vec::new()); exits];
    let begin = Instant::now();
    for _ in (0..ROUNDS).take_while(|&round| round == 0 || begin.elapsed() < TIME_LIMIT) {
        for (exit, (alone, in_batch)) in times.iter_mut().enumerate() {
            let mut leave = vec![None; exits];
            leave[exit] = Some(0.0);
            let mut time = |inputs: &[f32]| -> Result<f64> {
                let start = Instant::now();
                classifier.classify_early_exit(inputs, &leave)?;
                Ok(start.elapsed().as_secs_f64() * 1e3)
            };
            in_batch.push(time(sample)? / batch as f64);
            for image in sample.chunks_exact(image).take(SINGLE_IMAGES) {
                alone.push(time(image)?);
            }
        }
    }
    let exit = |(alone, in_batch)| Milliseconds { alone: median(alone), in_batch: median(in_batch), batch };
    Ok(times.into_iter().map(exit).collect())
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
