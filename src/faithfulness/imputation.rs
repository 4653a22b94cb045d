//! Missing pixels from their neighbours: the noisy linear imputation of ROAD (Rong et al. 2022,
//! arXiv 2202.00449, section 4), without its noise.
//!
//! Each missing pixel is the weighted mean of its up to eight neighbours, 1/6 for those beside,
//! above and below, 1/12 for the diagonal ones; several missing pixels together are a system of
//! equations, symmetric and positive definite, which conjugate gradients solve.

use crate::Shape;

const BESIDE: f64 = 1.0 / 6.0;
const DIAGONAL: f64 = 1.0 / 12.0;

/// The residual at which an answer is exact enough for f32, as a share of the first one.
const TOLERANCE: f64 = 1e-9;

/// `image`, of `shape`, with its `missing` pixels (one flag for each of H x W) imputed.
///
/// # Panics
/// When every pixel is missing.
pub fn impute(image: &[f32], shape: Shape, missing: &[bool]) -> Vec<f32> {
    assert!(missing.iter().any(|missing| !missing), "every pixel is missing");
    let system = System::new(shape, missing);
    let mut out = image.to_vec();
    for plane in out.chunks_exact_mut(shape.plane()) {
        system.solve(plane);
    }
    out
}

/// The equations of one set of missing pixels, on a grid with a border of one pixel.
struct System {
    h: usize,
    w: usize,
    /// 1 where a pixel is missing, else 0.
    missing: Vec<f64>,
    /// The sum of the weights of a pixel's neighbours; 1 on the border.
    diagonal: Vec<f64>,
}

impl System {
    fn new(shape: Shape, missing: &[bool]) -> System {
        let (h, w) = (shape.h, shape.w);
        let mut system = System { h, w, missing: Vec::new(), diagonal: Vec::new() };
        let inside = system.padded(|_| 1.0);
        let mut weights = vec![0.0; inside.len()];
        system.add_neighbours(&inside, &mut weights);
        system.diagonal = weights.iter().zip(&inside).map(|(w, i)| if *i > 0.0 { *w } else { 1.0 }).collect();
        // An image of one pixel has no neighbours, and that pixel is not missing.
        system.diagonal.iter_mut().filter(|d| **d == 0.0).for_each(|d| *d = 1.0);
        system.missing = system.padded(|i| if missing[i] { 1.0 } else { 0.0 });
        system
    }

    fn width(&self) -> usize {
        self.w + 2
    }

    /// A grid of `value` of each pixel, zero on the border.
    fn padded(&self, value: impl Fn(usize) -> f64) -> Vec<f64> {
        let mut grid = vec![0.0; (self.h + 2) * self.width()];
        for y in 0..self.h {
            let row = &mut grid[(y + 1) * self.width() + 1..][..self.w];
            row.iter_mut().enumerate().for_each(|(x, to)| *to = value(y * self.w + x));
        }
        grid
    }

    /// Adds each pixel's weighted neighbours to `sums`; what lands on the border means nothing.
    fn add_neighbours(&self, x: &[f64], sums: &mut [f64]) {
        let width = self.width();
        // From the first pixel to the last one; each weight is that of two opposite neighbours.
        let (first, count) = (width + 1, self.h * width - 2);
        for (distance, weight) in [(1, BESIDE), (width - 1, DIAGONAL), (width, BESIDE), (width + 1, DIAGONAL)]
        {
            let (before, after) = (&x[first - distance..], &x[first + distance..]);
            for ((sum, a), b) in sums[first..][..count].iter_mut().zip(after).zip(before) {
                *sum += weight * (a + b);
            }
        }
    }

    /// (the matrix) x `x`, where `x` is zero but for the missing pixels.
    fn times(&self, x: &[f64], out: &mut [f64]) {
        out.fill(0.0);
        self.add_neighbours(x, out);
        for (((out, x), diagonal), missing) in out.iter_mut().zip(x).zip(&self.diagonal).zip(&self.missing) {
            *out = missing * (diagonal * x - *out);
        }
    }

    /// Imputes one channel.
    fn solve(&self, plane: &mut [f32]) {
        let known = self.padded(|i| f64::from(plane[i]));
        let known: Vec<f64> =
            known.iter().zip(&self.missing).map(|(x, missing)| x * (1.0 - missing)).collect();
        let mut residual = vec![0.0; known.len()];
        self.add_neighbours(&known, &mut residual);
        residual.iter_mut().zip(&self.missing).for_each(|(r, missing)| *r *= missing);

        let mut x = vec![0.0; known.len()];
        let mut direction = residual.clone();
        let mut product = vec![0.0; known.len()];
        let mut size = dot(&residual, &residual);
        let enough = size * TOLERANCE * TOLERANCE;
        // In exact arithmetic as many steps as there are unknowns suffice.
        for _ in 0..2 * plane.len() {
            if size <= enough {
                break;
            }
            self.times(&direction, &mut product);
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

    fn missing(places: &[usize], len: usize) -> Vec<bool> {
        (0..len).map(|i| places.contains(&i)).collect()
    }

    #[test]
    fn one_pixel_is_the_weighted_mean_of_its_neighbours() {
        let image: Vec<f32> = (0..9).map(|i| (i * i) as f32).collect();
        let filled = impute(&image, Shape::new(1, 3, 3), &missing(&[4], 9));
        let beside = (1.0 + 9.0 + 25.0 + 49.0) / 6.0;
        let diagonal = (0.0 + 4.0 + 36.0 + 64.0) / 12.0;
        assert!((filled[4] - (beside + diagonal)).abs() < 1e-5, "{filled:?}");
        assert!(filled.iter().zip(&image).enumerate().all(|(i, (f, x))| i == 4 || f == x), "{filled:?}");
        // In a corner 1/6, 1/6 and 1/12 are all there is.
        let filled = impute(&image, Shape::new(1, 3, 3), &missing(&[0], 9));
        let corner = ((1.0 + 9.0) / 6.0 + 16.0 / 12.0) / (5.0 / 12.0);
        assert!((filled[0] - corner).abs() < 1e-5, "{filled:?}");
    }

    #[test]
    fn a_row_with_its_ends_known_is_a_ramp() {
        let filled = impute(&[0.0, 9.0, 9.0, 9.0, 1.0], Shape::new(1, 1, 5), &missing(&[1, 2, 3], 5));
        assert!(
            filled.iter().zip([0.0, 0.25, 0.5, 0.75, 1.0]).all(|(f, w)| (f - w).abs() < 1e-6),
            "{filled:?}"
        );
    }

    #[test]
    fn one_known_pixel_is_everywhere_and_none_missing_changes_nothing() {
        let image: Vec<f32> = (0..64).map(|i| i as f32 - 7.0).collect();
        let filled = impute(&image, Shape::new(1, 8, 8), &missing(&(1..64).collect::<Vec<_>>(), 64));
        assert!(filled.iter().all(|x| (x + 7.0).abs() < 1e-5), "{filled:?}");
        assert_eq!(impute(&image, Shape::new(1, 8, 8), &[false; 64]), image);
        assert_eq!(impute(&[2.0], Shape::new(1, 1, 1), &[false]), [2.0]);
    }
}
