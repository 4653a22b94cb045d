//! The pointing game: whether the map's brightest pixel lies on the object.

/// The tolerance of the pointing game's authors, pixels of an image whose shorter side is 224.
pub const TOLERANCE_AT_224: f64 = 15.0;

/// Whether the brightest pixel of `map`, the first of several, lies on the `object`, both (h, w),
/// or less than `tolerance` pixels from it (Zhang et al. 2018, doi 10.1007/s11263-017-1059-x, as
/// TorchRay plays it). The mean over the classes of the share of hits is the game's result.
///
/// A `tolerance` of 0 asks for the peak itself, as TorchRay's 1 does, whose 0 never hits; Quantus'
/// `PointingGame` knows no tolerance, and hits where any of several equal peaks is on the object.
///
/// # Panics
/// When the two have different lengths or are empty.
pub fn hits(map: &[f32], object: &[bool], w: usize, tolerance: f64) -> bool {
    assert_eq!(map.len(), object.len());
    let peak = crate::engine::tensor::argmax(map);
    let (y, x) = (peak / w, peak % w);
    let near = |at: usize| {
        let (down, right) = ((at / w).abs_diff(y) as f64, (at % w).abs_diff(x) as f64);
        down * down + right * right < tolerance * tolerance
    };
    object[peak] || object.iter().enumerate().any(|(at, &on)| on && near(at))
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
        assert_eq!([0.0, 3.0, 3.01].map(|tolerance| hits(&map, &object, 5, tolerance)), [false, false, true]);
        object[0] = true;
        assert!(hits(&map, &object, 5, 0.0));
        assert!(!hits(&map, &[false; 20], 5, 100.0));
    }
}
