//! The energy-based pointing game: how much of the map lies on the object.

/// The map's sum on the `object` divided by its whole sum (Wang et al. 2020, Score-CAM, arXiv
/// 1910.01279, section 4.3), in [0, 1]; `None` where the map is zero. A flat map scores the share
/// of the image that the object covers: see [`object_share`].
///
/// Quantus' `RelevanceMassAccuracy` and, but for its 1e-9 in the divisor, `AttributionLocalisation`
/// are the same of a map that is nowhere negative; of a zero map they are NaN and 0.
///
/// # Panics
/// When the two have different lengths.
pub fn energy(map: &[f32], object: &[bool]) -> Option<f64> {
    assert_eq!(map.len(), object.len());
    let all: f64 = map.iter().map(|&x| f64::from(x)).sum();
    let on: f64 = map.iter().zip(object).filter(|(_, on)| **on).map(|(&x, _)| f64::from(x)).sum();
    (all > 0.0).then(|| on / all)
}

/// The share of the pixels that the object covers.
pub fn object_share(object: &[bool]) -> f64 {
    object.iter().filter(|on| **on).count() as f64 / object.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn energy_is_counted_on_the_object() {
        let object = [true, false, true, false];
        assert_eq!(energy(&[1.0, 1.0, 0.0, 2.0], &object), Some(0.25));
        assert_eq!(energy(&[0.5; 4], &object), Some(object_share(&object)));
        assert_eq!(energy(&[0.0; 4], &object), None);
    }
}
