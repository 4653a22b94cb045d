//! Structural similarity (SSIM) of two maps.

/// Radius of the Gaussian window, in pixels.
const RADIUS: usize = 5;
/// Standard deviation of the Gaussian window, in pixels.
const DEVIATION: f64 = 1.5;
/// Stabilizing constants of the formula, relative to the range.
const K1: f64 = 0.01;
const K2: f64 = 0.03;

/// Mean structural similarity of `x` and `y`, (h, w), whose elements span `range` (Wang et al. 2004,
/// doi 10.1109/TIP.2003.819861). The window is Gaussian, 11 x 11 with a standard deviation of 1.5, at
/// every position where it fits into the map. In [-1, 1], 1 for equal maps. Equals scikit-image's
/// `structural_similarity` with `gaussian_weights=True, use_sample_covariance=False`. `None` where the
/// maps are smaller than the window, `range` is not positive and finite, or an element is not finite.
///
/// # Panics
/// When `x` and `y` do not have h * w elements.
pub fn structural_similarity(x: &[f32], y: &[f32], (h, w): (usize, usize), range: f64) -> Option<f64> {
    let (a, b) = (x.len(), y.len());
    assert!(a == b && h.checked_mul(w) == Some(a), "maps of {a} and {b} elements, expected {h} x {w}");
    // Written so that a NaN range is rejected.
    if h.min(w) < 2 * RADIUS + 1 || !(range > 0.0 && range.is_finite()) {
        return None;
    }
    let mean = |of: &dyn Fn(f64, f64) -> f64| {
        let values: Vec<f64> = x.iter().zip(y).map(|(&x, &y)| of(f64::from(x), f64::from(y))).collect();
        window_means(&values, (h, w))
    };
    let (mx, my) = (mean(&|x, _| x), mean(&|_, y| y));
    let (xx, yy, xy) = (mean(&|x, _| x * x), mean(&|_, y| y * y), mean(&|x, y| x * y));
    let (c1, c2) = ((K1 * range).powi(2), (K2 * range).powi(2));
    let similarity = |i: usize| {
        let (mx, my) = (mx[i], my[i]);
        let (vx, vy, covariance) = (xx[i] - mx * mx, yy[i] - my * my, xy[i] - mx * my);
        (2.0 * mx * my + c1) * (2.0 * covariance + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))
    };
    let mean = (0..mx.len()).map(similarity).sum::<f64>() / mx.len() as f64;
    mean.is_finite().then_some(mean)
}

/// Mean under the window at each position where it fits: (h - 10, w - 10).
fn window_means(values: &[f64], (h, w): (usize, usize)) -> Vec<f64> {
    let gaussian = |i: usize| (-(i as f64 - RADIUS as f64).powi(2) / (2.0 * DEVIATION * DEVIATION)).exp();
    let total: f64 = (0..=2 * RADIUS).map(gaussian).sum();
    let kernel: Vec<f64> = (0..=2 * RADIUS).map(|i| gaussian(i) / total).collect();
    let (rows, columns) = (h - 2 * RADIUS, w - 2 * RADIUS);
    let across: Vec<f64> = values
        .chunks_exact(w)
        .flat_map(|row| {
            row.windows(kernel.len()).map(|part| part.iter().zip(&kernel).map(|(v, k)| v * k).sum())
        })
        .collect();
    let down = |i: usize| kernel.iter().enumerate().map(|(d, k)| k * across[i + d * columns]).sum();
    (0..rows * columns).map(down).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_maps_score_one_and_constant_maps_by_their_means() {
        let ramp: Vec<f32> = (0..144).map(|i| i as f32 / 144.0).collect();
        assert!((structural_similarity(&ramp, &ramp, (12, 12), 1.0).unwrap() - 1.0).abs() < 1e-12);
        // For zero variance the formula is (2 a b + c) / (a a + b b + c).
        let (a, b, c) = (0.25, 0.75, 1e-4);
        let found = structural_similarity(&[a as f32; 121], &[b as f32; 121], (11, 11), 1.0).unwrap();
        assert!((found - (2.0 * a * b + c) / (a * a + b * b + c)).abs() < 1e-9, "{found}");
        let inverted: Vec<f32> = ramp.iter().map(|x| 1.0 - x).collect();
        assert!(structural_similarity(&ramp, &inverted, (12, 12), 1.0).unwrap() < 0.0);
    }

    #[test]
    fn rejects_small_maps_and_empty_ranges() {
        assert_eq!(structural_similarity(&[0.0; 110], &[0.0; 110], (10, 11), 1.0), None);
        assert_eq!(structural_similarity(&[0.0; 121], &[0.0; 121], (11, 11), 0.0), None);
        assert_eq!(structural_similarity(&[0.0; 121], &[0.0; 121], (11, 11), f64::NAN), None);
    }
}
