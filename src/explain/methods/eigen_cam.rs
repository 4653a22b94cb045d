//! The projection on the first principal component, for Eigen-CAM and Eigen-Grad-CAM.
//!
//! No singular value decomposition is needed: for centered data X (positions x channels), the
//! projection of the positions on the first axis is the leading eigenvector of X X^T times the square
//! root of its eigenvalue, and X X^T (or X^T X, if there are fewer channels) is small. The eigenvector
//! comes from repeated squaring of the matrix: each squaring doubles the exponent of a power iteration,
//! and no random start is needed.

/// Number of squarings: in the 2^30th power an eigenvalue that is smaller by one millionth vanishes.
const SQUARINGS: usize = 30;
/// Power iterations on the matrix itself, which remove the rounding error of the squarings.
const POLISH: usize = 4;

/// The projections of `positions` points on their first principal axis; `rows` is (channels,
/// positions), one row for each coordinate. Zero if all points are equal.
///
/// The sign of a principal axis is arbitrary. Here the projection of largest magnitude is positive
/// (Chung and Ying 2025, doi 10.3390/app15137562, equation 13); of several, the first.
pub(crate) fn principal_projection(rows: &[f64], channels: usize, positions: usize) -> Vec<f64> {
    let elements = channels.checked_mul(positions);
    assert_eq!(Some(rows.len()), elements, "elements of {channels} channels of {positions} places");
    let mut x = rows.to_vec();
    // Scaled so that squares neither overflow nor underflow.
    let scale = x.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    if scale == 0.0 {
        return vec![0.0; positions];
    }
    for row in x.chunks_exact_mut(positions) {
        let mean = row.iter().sum::<f64>() / positions as f64;
        row.iter_mut().for_each(|v| *v = (*v - mean) / scale);
    }
    if x.iter().any(|v| !v.is_finite()) {
        return vec![f64::NAN; positions];
    }
    // Equal elements minus their mean leave only rounding error.
    if x.iter().all(|v| v.abs() < 1e-14) {
        return vec![0.0; positions];
    }
    let mut projection = if positions <= channels {
        let gram = gram(positions, |i, j| x.chunks_exact(positions).map(|row| row[i] * row[j]).sum());
        let axis = leading_eigenvector(&gram, positions);
        let value = dot(&axis, &times(&gram, &axis));
        axis.iter().map(|a| a * value.max(0.0).sqrt()).collect()
    } else {
        let row = |c: usize| &x[c * positions..][..positions];
        let axis = leading_eigenvector(&gram(channels, |i, j| dot(row(i), row(j))), channels);
        let mut sum = vec![0.0; positions];
        for (c, a) in axis.iter().enumerate() {
            sum.iter_mut().zip(row(c)).for_each(|(sum, x)| *sum += a * x);
        }
        sum
    };
    let sign = if largest_in_magnitude(&projection) < 0.0 { -scale } else { scale };
    projection.iter_mut().for_each(|p| *p *= sign);
    projection
}

/// The first element of largest magnitude, up to rounding.
fn largest_in_magnitude(x: &[f64]) -> f64 {
    let largest = x.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    x.iter().copied().find(|v| v.abs() >= largest * (1.0 - 1e-12)).unwrap_or(0.0)
}

/// The symmetric n x n matrix whose element (i, j) is `product(i, j)`.
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

/// The unit eigenvector of the largest eigenvalue. `matrix` is n x n, positive semidefinite and not zero.
fn leading_eigenvector(matrix: &[f64], n: usize) -> Vec<f64> {
    let mut power = normalized(matrix.to_vec());
    for _ in 0..SQUARINGS {
        // The matrix is symmetric, so its rows serve as its columns.
        let next = normalized(gram(n, |i, j| dot(&power[i * n..][..n], &power[j * n..][..n])));
        let change = next.iter().zip(&power).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        power = next;
        if change < 1e-15 {
            break;
        }
    }
    let longest = (0..n).max_by(|&i, &j| power[i * n + i].total_cmp(&power[j * n + j])).unwrap_or(0);
    let mut vector = power[longest * n..][..n].to_vec();
    for _ in 0..POLISH {
        vector = normalized(times(matrix, &vector));
    }
    vector
}

/// `x` divided by its Euclidean norm.
fn normalized(mut x: Vec<f64>) -> Vec<f64> {
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
    fn projects_points_of_a_line_on_the_line() {
        // (0, 0), (3, 4), (6, 8), (15, 20): along (3, 4) / 5 their coordinates are 0, 5, 10 and 25, with mean 10.
        let rows = [0.0, 3.0, 6.0, 15.0, 0.0, 4.0, 8.0, 20.0];
        assert_near(&principal_projection(&rows, 2, 4), &[-10.0, -5.0, 0.0, 15.0]);
    }

    #[test]
    fn more_coordinates_than_points_give_the_same_projection() {
        // The line above in four coordinates, two of them constant; three points.
        let rows = [0.0, 3.0, 15.0, 0.0, 4.0, 20.0, 7.0, 7.0, 7.0, -1.0, -1.0, -1.0];
        assert_near(&principal_projection(&rows, 4, 3), &[-10.0, -5.0, 15.0]);
    }

    #[test]
    fn the_projection_of_largest_magnitude_is_positive() {
        assert_near(&principal_projection(&[9.0, 0.0, 0.0], 1, 3), &[6.0, -3.0, -3.0]);
        assert_near(&principal_projection(&[-9.0, 0.0, 0.0], 1, 3), &[6.0, -3.0, -3.0]);
        assert_near(&principal_projection(&[1.0, 2.0], 1, 2), &[0.5, -0.5]);
    }

    #[test]
    fn equal_points_project_to_zero() {
        assert_eq!(principal_projection(&[0.1; 12], 3, 4), [0.0; 4]);
        assert_eq!(principal_projection(&[0.0; 12], 3, 4), [0.0; 4]);
    }

    #[test]
    fn separates_axes_of_nearly_equal_variance() {
        // Variances 1 and 0.9999 along the axes.
        let y = 0.9999_f64.sqrt();
        let rows = [1.0, -1.0, 0.0, 0.0, 0.0, 0.0, y, -y];
        assert_near(&principal_projection(&rows, 2, 4), &[1.0, -1.0, 0.0, 0.0]);
    }

    #[test]
    fn neither_overflows_nor_underflows() {
        for scale in [1e-200, 1e200] {
            let got = principal_projection(&[9.0 * scale, 0.0, 0.0], 1, 3);
            assert!((got[0] / scale - 6.0).abs() < 1e-9, "{got:?}");
        }
    }
}
