//! Pearson's correlation.

/// The correlation of `x` and `y`, in [-1, 1]; `None` where one of them is the same everywhere,
/// or they are empty. Sums are taken of differences from the mean.
///
/// # Panics
/// When the two have different lengths.
pub fn pearson(x: &[f64], y: &[f64]) -> Option<f64> {
    assert_eq!(x.len(), y.len());
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let same = |v: &[f64]| v.iter().all(|a| *a == v[0]);
    if same(x) || same(y) {
        return None;
    }
    let (mx, my) = (mean(x), mean(y));
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (a, b) in x.iter().zip(y) {
        let (a, b) = (a - mx, b - my);
        (xy, xx, yy) = (xy + a * b, xx + a * a, yy + b * b);
    }
    let correlation = xy / (xx * yy).sqrt();
    correlation.is_finite().then(|| correlation.clamp(-1.0, 1.0))
}

/// In f64, as the correlations want it.
pub(crate) fn widened(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_correlates_wholly_and_a_constant_not_at_all() {
        let close = |x: &[f64], y: &[f64], want: f64| (pearson(x, y).unwrap() - want).abs() < 1e-15;
        assert!(close(&[1.0, 2.0, 3.0], &[10.0, 20.0, 30.0], 1.0));
        assert!(close(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0], -1.0));
        // 1 / sqrt(2 x 14 / 3): worked by hand.
        assert!(close(&[1.0, 2.0, 3.0], &[1.0, 5.0, 0.0], -1.0 / 28f64.sqrt()));
        assert_eq!(pearson(&[1.0, 2.0], &[3.0, 3.0]), None);
        assert_eq!(pearson(&[], &[]), None);
        assert_eq!(pearson(&[1e-200, 2e-200], &[0.0, 1.0]), None);
    }
}
