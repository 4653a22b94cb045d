//! Intersection over union: how much of two maps' bright parts is common.

/// The share of the maximum from which a pixel is bright: that of the boxes of the Grad-CAM paper
/// (Selvaraju et al. 2017, arXiv 1610.02391, section 4.1).
pub const BRIGHT: f32 = 0.15;

/// The pixels bright in both maps, divided by those bright in one or the other; a pixel is bright
/// from `share` of its own map's maximum. In [0, 1]; `None` where a map has nothing above zero.
///
/// # Panics
/// When the two have different lengths.
pub fn overlap(x: &[f32], y: &[f32], share: f32) -> Option<f64> {
    assert_eq!(x.len(), y.len());
    let most = |v: &[f32]| v.iter().copied().fold(0.0, f32::max);
    let (from_x, from_y) = (share * most(x), share * most(y));
    if most(x) <= 0.0 || most(y) <= 0.0 {
        return None;
    }
    let (mut both, mut either) = (0, 0);
    for (x, y) in x.iter().zip(y) {
        both += usize::from(*x >= from_x && *y >= from_y);
        either += usize::from(*x >= from_x || *y >= from_y);
    }
    Some(both as f64 / either as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bright_is_measured_by_each_maps_own_maximum() {
        let x = [1.0, 0.15, 0.14, 0.0];
        assert_eq!(overlap(&x, &x.map(|v| v * 10.0), BRIGHT), Some(1.0));
        assert_eq!(overlap(&x, &[0.0, 2.0, 2.0, 0.0], BRIGHT), Some(1.0 / 3.0));
        assert_eq!(overlap(&x, &[0.0, 0.0, 0.0, 1.0], BRIGHT), Some(0.0));
        assert_eq!(overlap(&x, &[0.0; 4], BRIGHT), None);
    }
}
