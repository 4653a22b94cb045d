//! The first principal component, for the eigen methods.
//!
//! No singular value decomposition is needed: with centred data X (places x channels), the
//! projection of the places on the first axis is the leading eigenvector of X X^T times the
//! root of its eigenvalue, and X X^T (or X^T X, where there are fewer channels) is small. It is
//! found by squaring the matrix again and again, which doubles the power of a power iteration at
//! each step and needs no random start.

/// Squarings: the 2^30th power leaves nothing of an eigenvalue that is a millionth smaller.
const SQUARINGS: usize = 30;
/// Plain power steps on the matrix itself, which take away the rounding of the squarings.
const POLISH: usize = 4;

/// Projects `places` points on the first principal axis of the points; `rows` holds one row of
/// `places` numbers for each of `channels` coordinates. Zero where all points are the same.
///
/// An axis has no direction of its own, and a singular value decomposition returns either. The
/// sign here is such that the number farthest from zero is positive (Chung and Ying 2025, doi
/// 10.3390/app15137562, equation 13), the first such number where several are.
pub(crate) fn principal_projection(rows: &[f64], channels: usize, places: usize) -> Vec<f64> {
    let mut x = rows.to_vec();
    // Scaled, so that squares neither overflow nor vanish.
    let scale = x.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    if scale == 0.0 {
        return vec![0.0; places];
    }
    for row in x.chunks_exact_mut(places) {
        let mean = row.iter().sum::<f64>() / places as f64;
        row.iter_mut().for_each(|v| *v = (*v - mean) / scale);
    }
    if x.iter().any(|v| !v.is_finite()) {
        return vec![f64::NAN; places];
    }
    // What the subtraction of the means leaves of equal numbers is rounding.
    if x.iter().all(|v| v.abs() < 1e-14) {
        return vec![0.0; places];
    }
    let mut projection = if places <= channels {
        let gram = gram(places, |i, j| x.chunks_exact(places).map(|row| row[i] * row[j]).sum());
        let axis = leading_eigenvector(&gram, places);
        let value = dot(&axis, &times(&gram, &axis));
        axis.iter().map(|a| a * value.max(0.0).sqrt()).collect()
    } else {
        let row = |c: usize| &x[c * places..][..places];
        let axis = leading_eigenvector(&gram(channels, |i, j| dot(row(i), row(j))), channels);
        let mut sum = vec![0.0; places];
        for (c, a) in axis.iter().enumerate() {
            sum.iter_mut().zip(row(c)).for_each(|(sum, x)| *sum += a * x);
        }
        sum
    };
    let sign = if farthest_from_zero(&projection) < 0.0 { -scale } else { scale };
    projection.iter_mut().for_each(|p| *p *= sign);
    projection
}

/// The first number whose magnitude is largest, but for rounding.
fn farthest_from_zero(x: &[f64]) -> f64 {
    let largest = x.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    x.iter().copied().find(|v| v.abs() >= largest * (1.0 - 1e-12)).unwrap_or(0.0)
}

/// The symmetric n x n matrix of `product`.
fn gram(n: usize, product: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    let mut matrix = vec![0.0; n * n];
    for i in 0..n {
        for j in i..n {
            let value = product(i, j);
            matrix[i * n + j] = value;
            matrix[j * n + i] = value;
        }
    }
    matrix
}

/// Of length 1. `matrix` is symmetric, n x n, without negative eigenvalues, and not zero.
fn leading_eigenvector(matrix: &[f64], n: usize) -> Vec<f64> {
    let mut power = normalised(matrix.to_vec());
    for _ in 0..SQUARINGS {
        // The matrix is symmetric: its columns are its rows.
        let next = normalised(gram(n, |i, j| dot(&power[i * n..][..n], &power[j * n..][..n])));
        let change = next.iter().zip(&power).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        power = next;
        if change < 1e-15 {
            break;
        }
    }
    let longest = (0..n).max_by(|&i, &j| power[i * n + i].total_cmp(&power[j * n + j])).unwrap_or(0);
    let mut vector = power[longest * n..][..n].to_vec();
    for _ in 0..POLISH {
        vector = normalised(times(matrix, &vector));
    }
    vector
}

/// Divided by the root of the sum of squares.
fn normalised(mut x: Vec<f64>) -> Vec<f64> {
    let length = dot(&x, &x).sqrt();
    x.iter_mut().for_each(|x| *x /= length);
    x
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Matrix times vector.
fn times(matrix: &[f64], x: &[f64]) -> Vec<f64> {
    matrix.chunks_exact(x.len()).map(|row| dot(row, x)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_near(got: &[f64], want: &[f64]) {
        assert_eq!(got.len(), want.len());
        for (g, w) in got.iter().zip(want) {
            assert!((g - w).abs() < 1e-9, "{got:?}, expected {want:?}");
        }
    }

    #[test]
    fn points_on_a_line_are_projected_on_it() {
        // (0, 0), (3, 4), (6, 8), (15, 20): along (3, 4) / 5 they stand at 0, 5, 10, 25; mean 10.
        let rows = [0.0, 3.0, 6.0, 15.0, 0.0, 4.0, 8.0, 20.0];
        assert_near(&principal_projection(&rows, 2, 4), &[-10.0, -5.0, 0.0, 15.0]);
    }

    #[test]
    fn more_coordinates_than_points_give_the_same() {
        // The line above in four coordinates, two of them constant; three points.
        let rows = [0.0, 3.0, 15.0, 0.0, 4.0, 20.0, 7.0, 7.0, 7.0, -1.0, -1.0, -1.0];
        assert_near(&principal_projection(&rows, 4, 3), &[-10.0, -5.0, 15.0]);
    }

    #[test]
    fn the_number_farthest_from_zero_is_positive() {
        assert_near(&principal_projection(&[9.0, 0.0, 0.0], 1, 3), &[6.0, -3.0, -3.0]);
        assert_near(&principal_projection(&[-9.0, 0.0, 0.0], 1, 3), &[6.0, -3.0, -3.0]);
        assert_near(&principal_projection(&[1.0, 2.0], 1, 2), &[0.5, -0.5]);
    }

    #[test]
    fn points_that_do_not_differ_project_to_zero() {
        assert_eq!(principal_projection(&[0.1; 12], 3, 4), [0.0; 4]);
        assert_eq!(principal_projection(&[0.0; 12], 3, 4), [0.0; 4]);
    }

    #[test]
    fn two_axes_that_are_nearly_as_long_are_told_apart() {
        // Variances 1 and 0.9999 along the axes.
        let y = 0.9999_f64.sqrt();
        let rows = [1.0, -1.0, 0.0, 0.0, 0.0, 0.0, y, -y];
        assert_near(&principal_projection(&rows, 2, 4), &[1.0, -1.0, 0.0, 0.0]);
    }

    #[test]
    fn numbers_of_any_magnitude_will_do() {
        for scale in [1e-200, 1e200] {
            let got = principal_projection(&[9.0 * scale, 0.0, 0.0], 1, 3);
            assert!((got[0] / scale - 6.0).abs() < 1e-9, "{got:?}");
        }
    }
}
