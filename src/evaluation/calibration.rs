//! Calibration of an exit: agreement of confidence and accuracy (Guo et al. 2017, arXiv 1706.04599).

use serde::{Deserialize, Serialize};

use super::ImageOutcome;

/// Number of equal-width bins of the confidence; 15 is the usual choice.
pub const BINS: usize = 15;

/// Calibration of an exit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Expected calibration error, 0 to 1: |accuracy - confidence| of the bins, weighted by their images.
    pub ece: f64,
    /// Bins of the reliability diagram.
    pub reliability: Vec<Bin>,
}

/// Bin of the reliability diagram: the images with a confidence above `from` and at most `to`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// Lower bound, exclusive.
    pub from: f64,
    /// Upper bound, inclusive.
    pub to: f64,
    /// Number of images.
    pub images: u64,
    /// Mean confidence, 0 to 1; `None` without images.
    pub confidence: Option<f64>,
    /// Accuracy, 0 to 1; `None` without images.
    pub accuracy: Option<f64>,
}

impl Calibration {
    /// Calibration of the exit at position `exit`.
    pub(super) fn new(outcomes: &[ImageOutcome], exit: usize) -> Calibration {
        let mut sums = [(0_u64, 0.0, 0_u64); BINS];
        for outcome in outcomes.iter().map(|outcome| &outcome.exits[exit]) {
            let (images, confidence, right) = &mut sums[bin(outcome.probability)];
            *images += 1;
            *confidence += f64::from(outcome.probability);
            *right += u64::from(outcome.is_right());
        }
        let bound = |i: usize| i as f64 / BINS as f64;
        let bin = |(i, &(images, confidence, right)): (usize, &(u64, f64, u64))| {
            let mean = |sum: f64| (images > 0).then(|| sum / images as f64);
            let (confidence, accuracy) = (mean(confidence), mean(right as f64));
            Bin { from: bound(i), to: bound(i + 1), images, confidence, accuracy }
        };
        let reliability: Vec<Bin> = sums.iter().enumerate().map(bin).collect();
        let error = |bin: &Bin| Some(bin.images as f64 * (bin.accuracy? - bin.confidence?).abs());
        let ece = reliability.iter().filter_map(error).sum::<f64>() / outcomes.len() as f64;
        Calibration { ece, reliability }
    }
}

/// Index of the bin of a confidence; NaN belongs to the first bin.
fn bin(probability: f32) -> usize {
    let above = (f64::from(probability) * BINS as f64).ceil();
    (above as usize).clamp(1, BINS) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_include_their_upper_bound() {
        assert_eq!([1e-9, 0.2, 0.200001, 0.999, 1.0].map(bin), [0, 3, 3, 14, 14]);
        assert_eq!([0.0, f32::NAN].map(bin), [0, 0]);
    }
}
