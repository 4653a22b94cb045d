//! Deletion and insertion curves (Petsiuk et al. 2018, RISE, arXiv 1806.07421).

/// Deletion or insertion curve: the class's probability as a function of the share of the pixels that
/// were deleted or inserted, the most important first.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Shares of the pixels, from 0 to 1.
    pub fractions: Vec<f64>,
    /// The probability at each share.
    pub scores: Vec<f64>,
}

impl Curve {
    /// Area under the curve by the trapezoid rule (section 4.1 of the paper). In [0, 1]; low is good
    /// for deletion, high for insertion.
    pub fn area(&self) -> f64 {
        let points = self.fractions.windows(2).zip(self.scores.windows(2));
        points.map(|(x, y)| (x[1] - x[0]) * (y[0] + y[1]) / 2.0).sum()
    }
}

/// Changed pixels at each point of a curve of up to `steps` equal steps, from 0 to `pixels`; the last
/// step may be shorter.
///
/// # Panics
/// When `pixels` or `steps` is zero.
pub(super) fn step_counts(pixels: usize, steps: usize) -> Vec<usize> {
    let step = pixels.div_ceil(steps);
    (0..pixels).step_by(step).chain([pixels]).collect()
}

/// Writes `image`, (C, H, W), to `out`, with the pixels at the indices `changed` taken from `other`, of
/// the same shape.
pub(super) fn replace_pixels(image: &[f32], other: &[f32], changed: &[u32], plane: usize, out: &mut [f32]) {
    out.copy_from_slice(image);
    for (out, other) in out.chunks_exact_mut(plane).zip(other.chunks_exact(plane)) {
        changed.iter().for_each(|&at| out[at as usize] = other[at as usize]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn area_follows_the_trapezoid_rule() {
        let curve = Curve { fractions: vec![0.0, 0.25, 1.0], scores: vec![1.0, 0.5, 0.1] };
        assert!((curve.area() - (0.25 * 0.75 + 0.75 * 0.3)).abs() < 1e-15);
        let flat = Curve { fractions: vec![0.0, 0.5, 1.0], scores: vec![0.3; 3] };
        assert!((flat.area() - 0.3).abs() < 1e-15);
    }

    #[test]
    fn steps_are_equal_except_the_last() {
        assert_eq!(step_counts(10, 5), [0, 2, 4, 6, 8, 10]);
        assert_eq!(step_counts(10, 4), [0, 3, 6, 9, 10]);
        assert_eq!(step_counts(3, 20), [0, 1, 2, 3]);
        assert_eq!(step_counts(7, 1), [0, 7]);
    }

    #[test]
    fn replaces_pixels_in_every_channel() {
        let mut out = [0.0; 6];
        replace_pixels(
            &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
            &[-1.0, -2.0, -3.0, -4.0, -5.0, -6.0],
            &[2, 0],
            3,
            &mut out,
        );
        assert_eq!(out, [-1.0, 2.0, -3.0, -4.0, 5.0, -6.0]);
    }
}
