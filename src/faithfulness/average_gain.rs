//! Average gain: the counterpart of the average drop.

/// max(0, after - before) / (1 - before), of the class's probability before and after the image
/// was multiplied by its map; 0 where nothing could be gained. In [0, 1], high is good; its mean
/// over the images is the average gain (Zhang et al. 2023, arXiv 2301.07002). Unlike the increase
/// in confidence it tells a large gain from a tiny one.
///
/// Xplique's `AverageGainMetric` adds 1e-8 to both divisors, and stretches the map to [0, 1] first,
/// which changes a map that is nowhere 0.
pub fn gain(before: f64, after: f64) -> f64 {
    if before < 1.0 { (after - before).max(0.0) / (1.0 - before) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gain_is_a_share_of_what_was_missing() {
        assert_eq!([gain(0.5, 0.75), gain(0.75, 0.5), gain(0.0, 1.0)], [0.5, 0.0, 1.0]);
        assert_eq!([gain(1.0, 1.0), gain(1.0, 0.5)], [0.0, 0.0]);
    }
}
