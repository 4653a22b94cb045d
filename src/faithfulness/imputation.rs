//! Linear imputation of missing pixels: the noisy linear imputation of ROAD (Rong et al. 2022, arXiv
//! 2202.00449, section 4), before its noise is added.
//!
//! Each missing pixel is the weighted mean of its up to eight neighbors, with weight 1/6 for horizontal
//! and vertical and 1/12 for diagonal ones. The missing pixels of an image form a linear system,
//! symmetric and positive definite, which is solved by the conjugate gradient method.

use crate::Shape;

/// Weight of a horizontal or vertical neighbor.
const ADJACENT: f64 = 1.0 / 6.0;
/// Weight of a diagonal neighbor.
const DIAGONAL: f64 = 1.0 / 12.0;

/// Norm of the residual, relative to the initial one, at which the solution is exact enough for f32.
const TOLERANCE: f64 = 1e-9;

/// `image`, of `shape`, with its `missing` pixels imputed; `missing` has a flag for each of the H x W
/// pixels.
///
/// # Panics
/// When every pixel is missing.
pub fn impute(image: &[f32], shape: Shape, missing: &[bool]) -> Vec<f32> {
    assert!(missing.iter().any(|missing| !missing), "every pixel is missing");
    let system = LinearSystem::new(shape, missing);
    let mut out = image.to_vec();
    for plane in out.chunks_exact_mut(shape.plane()) {
        system.solve(plane);
    }
    out
}

/// Linear system for one set of missing pixels, on a grid with a border of one pixel.
struct LinearSystem {
    h: usize,
    w: usize,
    /// 1 at a missing pixel, 0 elsewhere.
    missing: Vec<f64>,
    /// Diagonal of the matrix: the sum of the weights of a pixel's neighbors; 1 on the border.
    diagonal: Vec<f64>,
}

impl LinearSystem {
    fn new(shape: Shape, missing: &[bool]) -> LinearSystem {
        let (h, w) = (shape.h, shape.w);
        let mut system = LinearSystem { h, w, missing: Vec::new(), diagonal: Vec::new() };
        let inside = system.padded(|_| 1.0);
        let mut weights = vec![0.0; inside.len()];
        system.add_neighbors(&inside, &mut weights);
        system.diagonal = weights.iter().zip(&inside).map(|(w, i)| if *i > 0.0 { *w } else { 1.0 }).collect();
        // The pixel of a 1 x 1 image has no neighbors; it is not missing.
        system.diagonal.iter_mut().filter(|d| **d == 0.0).for_each(|d| *d = 1.0);
        system.missing = system.padded(|i| if missing[i] { 1.0 } else { 0.0 });
        system
    }

    fn width(&self) -> usize {
        self.w + 2
    }

    /// Grid with `value(i)` at pixel i and zero on the border.
    fn padded(&self, value: impl Fn(usize) -> f64) -> Vec<f64> {
        let mut grid = vec![0.0; (self.h + 2) * self.width()];
        for y in 0..self.h {
            let row = &mut grid[(y + 1) * self.width() + 1..][..self.w];
            row.iter_mut().enumerate().for_each(|(x, to)| *to = value(y * self.w + x));
        }
        grid
    }

    /// Adds the weighted sum of each pixel's neighbors to `sums`; elements on the border are meaningless.
    fn add_neighbors(&self, x: &[f64], sums: &mut [f64]) {
        let width = self.width();
        // From the first to the last pixel; each distance covers two opposite neighbors.
        let (first, count) = (width + 1, self.h * width - 2);
        for (distance, weight) in
            [(1, ADJACENT), (width - 1, DIAGONAL), (width, ADJACENT), (width + 1, DIAGONAL)]
        {
            let (before, after) = (&x[first - distance..], &x[first + distance..]);
            for ((sum, a), b) in sums[first..][..count].iter_mut().zip(after).zip(before) {
                *sum += weight * (a + b);
            }
        }
    }

    /// Writes the matrix-vector product with `x` to `out`; `x` is zero except at missing pixels.
    fn multiply(&self, x: &[f64], out: &mut [f64]) {
        out.fill(0.0);
        self.add_neighbors(x, out);
        for (((out, x), diagonal), missing) in out.iter_mut().zip(x).zip(&self.diagonal).zip(&self.missing) {
            *out = missing * (diagonal * x - *out);
        }
    }

    /// Imputes one channel by the conjugate gradient method.
    fn solve(&self, plane: &mut [f32]) {
        let known = self.padded(|i| f64::from(plane[i]));
        let known: Vec<f64> =
            known.iter().zip(&self.missing).map(|(x, missing)| x * (1.0 - missing)).collect();
        let mut residual = vec![0.0; known.len()];
        self.add_neighbors(&known, &mut residual);
        residual.iter_mut().zip(&self.missing).for_each(|(r, missing)| *r *= missing);

        let mut x = vec![0.0; known.len()];
        let mut direction = residual.clone();
        let mut product = vec![0.0; known.len()];
        let mut size = dot(&residual, &residual);
        let target = size * TOLERANCE * TOLERANCE;
        // In exact arithmetic the number of unknowns bounds the iterations.
        for _ in 0..2 * plane.len() {
            if size <= target {
                break;
            }
            self.multiply(&direction, &mut product);
            let step = size / dot(&direction, &product);
            x.iter_mut().zip(&direction).for_each(|(x, d)| *x += step * d);
            residual.iter_mut().zip(&product).for_each(|(r, p)| *r -= step * p);
            let next = dot(&residual, &residual);
            let share = next / size;
            direction.iter_mut().zip(&residual).for_each(|(d, r)| *d = r + share * *d);
            size = next;
        }
        for (y, row) in plane.chunks_exact_mut(self.w).enumerate() {
            let at = (y + 1) * self.width() + 1;
            let solved = x[at..].iter().zip(&self.missing[at..]);
            row.iter_mut()
                .zip(solved)
                .filter(|(_, (_, missing))| **missing > 0.0)
                .for_each(|(to, (x, _))| *to = *x as f32);
        }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(indices: &[usize], len: usize) -> Vec<bool> {
        (0..len).map(|i| indices.contains(&i)).collect()
    }

    #[test]
    fn a_single_pixel_is_the_weighted_mean_of_its_neighbors() {
        let image: Vec<f32> = (0..9).map(|i| (i * i) as f32).collect();
        let filled = impute(&image, Shape::new(1, 3, 3), &missing(&[4], 9));
        let beside = (1.0 + 9.0 + 25.0 + 49.0) / 6.0;
        let diagonal = (0.0 + 4.0 + 36.0 + 64.0) / 12.0;
        assert!((filled[4] - (beside + diagonal)).abs() < 1e-5, "{filled:?}");
        assert!(filled.iter().zip(&image).enumerate().all(|(i, (f, x))| i == 4 || f == x), "{filled:?}");
        // A corner has only weights 1/6, 1/6 and 1/12.
        let filled = impute(&image, Shape::new(1, 3, 3), &missing(&[0], 9));
        let corner = ((1.0 + 9.0) / 6.0 + 16.0 / 12.0) / (5.0 / 12.0);
        assert!((filled[0] - corner).abs() < 1e-5, "{filled:?}");
    }

    #[test]
    fn a_row_between_known_ends_becomes_a_ramp() {
        let filled = impute(&[0.0, 9.0, 9.0, 9.0, 1.0], Shape::new(1, 1, 5), &missing(&[1, 2, 3], 5));
        assert!(
            filled.iter().zip([0.0, 0.25, 0.5, 0.75, 1.0]).all(|(f, w)| (f - w).abs() < 1e-6),
            "{filled:?}"
        );
    }

    #[test]
    fn a_single_known_pixel_spreads_everywhere_and_complete_images_are_unchanged() {
        let image: Vec<f32> = (0..64).map(|i| i as f32 - 7.0).collect();
        let filled = impute(&image, Shape::new(1, 8, 8), &missing(&(1..64).collect::<Vec<_>>(), 64));
        assert!(filled.iter().all(|x| (x + 7.0).abs() < 1e-5), "{filled:?}");
        assert_eq!(impute(&image, Shape::new(1, 8, 8), &[false; 64]), image);
        assert_eq!(impute(&[2.0], Shape::new(1, 1, 1), &[false]), [2.0]);
    }
}
