//! Confidence metrics: average drop, increase in confidence and average gain.
//!
//! Each compares the probability of the explained class for the image (`original`) with that for the
//! image multiplied by its heatmap (`masked`). The mean over the images is the metric.

/// Relative drop of one image: max(0, original - masked) / original, or 0 where `original` is 0.
/// In [0, 1]; low is good. The mean is the average drop (Chattopadhay et al. 2018, arXiv 1710.11063,
/// section 3.1).
///
/// torchcam uses the same definition; pytorch-grad-cam's `DropInConfidence` is
/// [`absolute_confidence_drop`].
pub fn confidence_drop(original: f64, masked: f64) -> f64 {
    if original > 0.0 { (original - masked).max(0.0) / original } else { 0.0 }
}

/// Absolute drop of one image: max(0, original - masked). In [0, 1]; low is good.
pub fn absolute_confidence_drop(original: f64, masked: f64) -> f64 {
    (original - masked).max(0.0)
}

/// Whether the masked image has the larger probability. The share of images for which this holds is
/// the increase in confidence (Chattopadhay et al. 2018, arXiv 1710.11063, section 3.1); high is good.
pub fn confidence_increases(original: f64, masked: f64) -> bool {
    masked > original
}

/// Relative gain of one image: max(0, masked - original) / (1 - original), or 0 where `original` is 1.
/// In [0, 1]; high is good. The mean is the average gain (Zhang et al. 2023, arXiv 2301.07002), which,
/// unlike the increase in confidence, weights an image by the size of its gain.
///
/// Xplique's `AverageGainMetric` adds 1e-8 to both divisors and first rescales the map to [0, 1], which
/// changes a map whose minimum is above 0.
pub fn confidence_gain(original: f64, masked: f64) -> f64 {
    if original < 1.0 { (masked - original).max(0.0) / (1.0 - original) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drop_is_relative_to_the_original_confidence() {
        let drops = [confidence_drop(0.8, 0.4), confidence_drop(0.2, 0.8), confidence_drop(0.5, 0.0)];
        assert_eq!(drops, [0.5, 0.0, 1.0]);
        assert_eq!([confidence_drop(0.0, 0.5), confidence_drop(0.0, 0.0)], [0.0, 0.0]);
        assert_eq!([absolute_confidence_drop(0.75, 0.25), absolute_confidence_drop(0.25, 0.75)], [0.5, 0.0]);
    }

    #[test]
    fn equal_confidence_is_not_an_increase() {
        assert_eq!([0.6, 0.5, 0.4].map(|masked| confidence_increases(0.5, masked)), [true, false, false]);
    }

    #[test]
    fn gain_is_relative_to_the_possible_gain() {
        let gains = [confidence_gain(0.5, 0.75), confidence_gain(0.75, 0.5), confidence_gain(0.0, 1.0)];
        assert_eq!(gains, [0.5, 0.0, 1.0]);
        assert_eq!([confidence_gain(1.0, 1.0), confidence_gain(1.0, 0.5)], [0.0, 0.0]);
    }
}
