//! Spearman's rank correlation: whether two maps put the pixels into the same order.

use super::pearson::pearson;

/// Pearson's correlation of the ranks, equal numbers sharing the mean of theirs (Spearman 1904;
/// `scipy.stats.spearmanr`), in [-1, 1]; `None` where one of the two is the same everywhere.
///
/// # Panics
/// When the two have different lengths.
pub fn spearman(x: &[f32], y: &[f32]) -> Option<f64> {
    assert_eq!(x.len(), y.len());
    pearson(&ranks(x), &ranks(y))
}

fn ranks(values: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    // `==`: zero and minus zero are one number.
    for equal in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = first as f64 + (equal.len() - 1) as f64 / 2.0;
        equal.iter().for_each(|&i| ranks[i] = rank);
        first += equal.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_numbers_share_their_ranks() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 0.0]), [2.5, 1.0, 2.5, 0.0]);
        assert_eq!(ranks(&[0.0, -0.0]), [0.5, 0.5]);
    }

    #[test]
    fn any_increasing_function_keeps_the_order() {
        let x = [0.1, 5.0, 2.0, -3.0];
        assert_eq!(spearman(&x, &x.map(f32::exp)), Some(1.0));
        assert_eq!(spearman(&x, &x.map(|v| -v)), Some(-1.0));
        assert_eq!(spearman(&x, &[1.0; 4]), None);
        // 1 - 6 x (1 + 0 + 1 + 0) / (4 x 15): without ties the textbook's formula.
        assert!((spearman(&x, &[2.0, 3.0, 1.0, 0.0]).unwrap() - 0.8).abs() < 1e-15);
    }
}
