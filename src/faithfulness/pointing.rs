//! Pointing game and energy-based pointing game: whether a map highlights the object.

use crate::engine::tensor::argmax;

/// Results of one map in both pointing games.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pointing {
    /// See [`pointing_game_hit`].
    pub hit: bool,
    /// See [`pointing_energy`].
    pub energy: f64,
    /// See [`object_share`].
    pub object_share: f64,
}

/// Tolerance of the pointing game in its authors' code: pixels of an image whose shorter side is 224.
pub const POINTING_TOLERANCE_AT_224: f64 = 15.0;

/// Pointing game for one map: whether the first maximum of `map` is on the `object`, both (h, w), or
/// less than `tolerance` pixels away from it (Zhang et al. 2018, doi 10.1007/s11263-017-1059-x, as
/// implemented in TorchRay). The metric is the hit rate of each class, averaged over the classes.
///
/// A `tolerance` of 0 requires the maximum itself to be on the object: TorchRay's 1, whose 0 never
/// hits. Quantus' `PointingGame` has no tolerance and accepts any of several equal maxima.
///
/// # Panics
/// When `map` and `object` have different lengths, are empty, or do not have rows of `w` pixels.
pub fn pointing_game_hit(map: &[f32], object: &[bool], w: usize, tolerance: f64) -> bool {
    assert_eq!(map.len(), object.len(), "elements of map and object");
    assert!(
        w > 0 && !map.is_empty() && map.len().is_multiple_of(w),
        "rows of {w} pixels in a map of {}",
        map.len()
    );
    let peak = argmax(map);
    let (y, x) = (peak / w, peak % w);
    let near = |at: usize| {
        let (rows, columns) = ((at / w).abs_diff(y) as f64, (at % w).abs_diff(x) as f64);
        rows * rows + columns * columns < tolerance * tolerance
    };
    object[peak] || object.iter().enumerate().any(|(at, &on)| on && near(at))
}

/// Energy-based pointing game for one map: its sum on the `object` divided by its total sum (Wang et
/// al. 2020, Score-CAM, arXiv 1910.01279, section 4.3). In [0, 1]; high is good. `None` where the sum is
/// not positive and finite. A constant map scores [`object_share`].
///
/// For a non-negative map this equals Quantus' `RelevanceMassAccuracy` and, but for the 1e-9 in its
/// divisor, `AttributionLocalisation`; for a zero map those are NaN and 0.
///
/// # Panics
/// When `map` and `object` have different lengths.
pub fn pointing_energy(map: &[f32], object: &[bool]) -> Option<f64> {
    assert_eq!(map.len(), object.len(), "elements of map and object");
    let total: f64 = map.iter().map(|&x| f64::from(x)).sum();
    let inside: f64 = map.iter().zip(object).filter(|(_, on)| **on).map(|(&x, _)| f64::from(x)).sum();
    (total > 0.0 && total.is_finite()).then(|| inside / total)
}

/// Share of the pixels that the object covers: the [`pointing_energy`] of a constant map; 0 where there is no
/// pixel.
pub fn object_share(object: &[bool]) -> f64 {
    object.iter().filter(|on| **on).count() as f64 / object.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_beside_the_object_hits_within_the_tolerance() {
        let mut map = [0.0; 20];
        map[0] = 1.0;
        let mut object = [false; 20];
        object[3] = true;
        let hits = [0.0, 3.0, 3.01].map(|tolerance| pointing_game_hit(&map, &object, 5, tolerance));
        assert_eq!(hits, [false, false, true]);
        object[0] = true;
        assert!(pointing_game_hit(&map, &object, 5, 0.0));
        assert!(!pointing_game_hit(&map, &[false; 20], 5, 100.0));
    }

    #[test]
    fn energy_is_the_share_of_the_sum_on_the_object() {
        let object = [true, false, true, false];
        assert_eq!(pointing_energy(&[1.0, 1.0, 0.0, 2.0], &object), Some(0.25));
        assert_eq!(pointing_energy(&[0.5; 4], &object), Some(object_share(&object)));
        assert_eq!(pointing_energy(&[0.0; 4], &object), None);
    }
}
