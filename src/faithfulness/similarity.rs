//! Similarity of two maps: Pearson's and Spearman's correlation, intersection over union and the
//! distance of the centers of mass. Structural similarity is in `ssim`.

/// Pearson's correlation of `x` and `y`, in [-1, 1]; `None` where one of them is constant or empty.
/// Two-pass: sums are taken of the differences from the mean.
///
/// # Panics
/// When `x` and `y` have different lengths.
pub fn pearson(x: &[f64], y: &[f64]) -> Option<f64> {
    assert_eq!(x.len(), y.len(), "elements of two maps");
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let is_constant = |v: &[f64]| v.iter().all(|a| *a == v[0]);
    if is_constant(x) || is_constant(y) {
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

/// The elements converted to `f64`, the precision of the correlations.
pub(super) fn to_f64(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

/// Spearman's rank correlation of two maps: Pearson's correlation of the ranks, where equal elements
/// share the mean of their ranks (Spearman 1904; `scipy.stats.spearmanr`). In [-1, 1]; `None` where one
/// of the maps is constant or empty.
///
/// # Panics
/// When the maps have different lengths.
pub fn spearman(x: &[f32], y: &[f32]) -> Option<f64> {
    assert_eq!(x.len(), y.len(), "elements of two maps");
    pearson(&ranks(x), &ranks(y))
}

fn ranks(values: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    // `==` and not `total_cmp`: zero and minus zero are equal.
    for equal in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = first as f64 + (equal.len() - 1) as f64 / 2.0;
        equal.iter().for_each(|&i| ranks[i] = rank);
        first += equal.len();
    }
    ranks
}

/// Share of a map's maximum from which a pixel is salient: the threshold of the boxes in the Grad-CAM
/// paper (Selvaraju et al. 2017, arXiv 1610.02391, section 4.1).
pub const SALIENT_SHARE: f32 = 0.15;

/// Intersection over union of the salient pixels of two maps: those that reach `share` of their own
/// map's maximum. In [0, 1]; `None` where a map has no positive element, or no pixel is salient.
///
/// # Panics
/// When the maps have different lengths.
pub fn salient_iou(x: &[f32], y: &[f32], share: f32) -> Option<f64> {
    assert_eq!(x.len(), y.len(), "elements of two maps");
    let max = |v: &[f32]| v.iter().copied().fold(0.0, f32::max);
    let (from_x, from_y) = (share * max(x), share * max(y));
    if max(x) <= 0.0 || max(y) <= 0.0 {
        return None;
    }
    let (mut intersection, mut union) = (0, 0);
    for (x, y) in x.iter().zip(y) {
        intersection += usize::from(*x >= from_x && *y >= from_y);
        union += usize::from(*x >= from_x || *y >= from_y);
    }
    (union > 0).then(|| intersection as f64 / union as f64)
}

/// Center of mass (row, column) of a non-negative map, (h, w); the center of a pixel has integer
/// coordinates (`scipy.ndimage.center_of_mass`). `None` where the map is zero everywhere.
///
/// # Panics
/// When the map does not have rows of `w` pixels.
pub fn center_of_mass(map: &[f32], w: usize) -> Option<(f64, f64)> {
    assert!(w > 0 && map.len().is_multiple_of(w), "rows of {w} pixels in a map of {}", map.len());
    let (mut mass, mut rows, mut columns) = (0.0, 0.0, 0.0);
    for (y, row) in map.chunks_exact(w).enumerate() {
        for (x, &value) in row.iter().enumerate() {
            let value = f64::from(value);
            (mass, rows, columns) = (mass + value, rows + value * y as f64, columns + value * x as f64);
        }
    }
    (mass > 0.0).then(|| (rows / mass, columns / mass))
}

/// Euclidean distance of the centers of mass of two maps, (h, w), in pixels; `None` where one is zero everywhere.
///
/// # Panics
/// When one of them does not have rows of `w` pixels.
pub fn center_shift(x: &[f32], y: &[f32], w: usize) -> Option<f64> {
    let (a, b) = (center_of_mass(x, w)?, center_of_mass(y, w)?);
    Some((a.0 - b.0).hypot(a.1 - b.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pearson_is_one_for_a_line_and_none_for_a_constant() {
        let close = |x: &[f64], y: &[f64], want: f64| (pearson(x, y).unwrap() - want).abs() < 1e-15;
        assert!(close(&[1.0, 2.0, 3.0], &[10.0, 20.0, 30.0], 1.0));
        assert!(close(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0], -1.0));
        // 1 / sqrt(2 x 14 / 3): worked by hand.
        assert!(close(&[1.0, 2.0, 3.0], &[1.0, 5.0, 0.0], -1.0 / 28f64.sqrt()));
        assert_eq!(pearson(&[1.0, 2.0], &[3.0, 3.0]), None);
        assert_eq!(pearson(&[], &[]), None);
        assert_eq!(pearson(&[1e-200, 2e-200], &[0.0, 1.0]), None);
    }

    #[test]
    fn equal_elements_share_the_mean_of_their_ranks() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 0.0]), [2.5, 1.0, 2.5, 0.0]);
        assert_eq!(ranks(&[0.0, -0.0]), [0.5, 0.5]);
    }

    #[test]
    fn spearman_is_invariant_to_increasing_functions() {
        let x = [0.1, 5.0, 2.0, -3.0];
        assert_eq!(spearman(&x, &x.map(f32::exp)), Some(1.0));
        assert_eq!(spearman(&x, &x.map(|v| -v)), Some(-1.0));
        assert_eq!(spearman(&x, &[1.0; 4]), None);
        // 1 - 6 x (1 + 0 + 1 + 0) / (4 x 15): the textbook formula for distinct elements.
        assert!((spearman(&x, &[2.0, 3.0, 1.0, 0.0]).unwrap() - 0.8).abs() < 1e-15);
    }

    #[test]
    fn salient_pixels_are_relative_to_each_maps_own_maximum() {
        let x = [1.0, 0.15, 0.14, 0.0];
        assert_eq!(salient_iou(&x, &x.map(|v| v * 10.0), SALIENT_SHARE), Some(1.0));
        assert_eq!(salient_iou(&x, &[0.0, 2.0, 2.0, 0.0], SALIENT_SHARE), Some(1.0 / 3.0));
        assert_eq!(salient_iou(&x, &[0.0, 0.0, 0.0, 1.0], SALIENT_SHARE), Some(0.0));
        assert_eq!(salient_iou(&x, &[0.0; 4], SALIENT_SHARE), None);
    }

    #[test]
    fn center_of_mass_weights_pixels_by_their_value() {
        assert_eq!(center_of_mass(&[0.0, 0.0, 3.0, 0.0, 0.0, 1.0], 3), Some((0.25, 2.0)));
        assert_eq!(center_of_mass(&[1.0; 6], 3), Some((0.5, 1.0)));
        assert_eq!(center_of_mass(&[0.0; 6], 3), None);
        // Three columns and four rows apart.
        let (mut a, mut b) = ([0.0; 25], [0.0; 25]);
        (a[0], b[23]) = (1.0, 0.5);
        assert_eq!(center_shift(&a, &b, 5), Some(5.0));
    }
}
