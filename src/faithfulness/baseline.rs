//! Baselines: the values of deleted pixels.

use std::str::FromStr;

use crate::explain::method::by_name;
use crate::{Error, Result, Shape};

/// Values of deleted pixels, and of the image before any pixel is inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Baseline {
    /// The zero of each channel: see [`super::Settings::zero`].
    Zero,
    /// Each channel's mean over the image's pixels.
    Mean,
    /// The blurred image: see [`blur`].
    Blur,
}

impl Baseline {
    /// Its name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Baseline::Zero => "zero",
            Baseline::Mean => "mean",
            Baseline::Blur => "blur",
        }
    }

    /// The baseline of `image`, of `shape` (3, H, W); `zero` is as [`super::Settings::zero`].
    ///
    /// # Panics
    /// When the image is not of `shape`, or empty.
    pub fn of(self, image: &[f32], shape: Shape, zero: [f32; 3]) -> Vec<f32> {
        let len = image.len();
        assert!(
            shape.c == 3 && len > 0 && len == shape.len(),
            "an image of {len} elements, expected {shape}"
        );
        let planes = image.chunks_exact(shape.plane());
        match self {
            Baseline::Zero => zero.into_iter().flat_map(|z| vec![z; shape.plane()]).collect(),
            Baseline::Mean => planes.flat_map(|plane| vec![mean(plane); shape.plane()]).collect(),
            Baseline::Blur => planes.flat_map(|plane| blur(plane, (shape.h, shape.w))).collect(),
        }
    }
}

impl FromStr for Baseline {
    type Err = Error;

    fn from_str(text: &str) -> Result<Baseline> {
        by_name("baseline", text, &[Baseline::Zero, Baseline::Mean, Baseline::Blur], Baseline::name)
    }
}

fn mean(plane: &[f32]) -> f32 {
    (plane.iter().map(|&x| f64::from(x)).sum::<f64>() / plane.len() as f64) as f32
}

/// Radius of the blur, in pixels, as in RISE.
const BLUR_RADIUS: usize = 5;
/// Standard deviation of the blur, in pixels, as in RISE.
const BLUR_DEVIATION: f64 = 5.0;

/// Gaussian blur of a plane, (h, w), with a kernel of 11 x 11 and a standard deviation of 5 (Petsiuk et
/// al. 2018, RISE, arXiv 1806.07421). The border is reflected without repeating the edge, as OpenCV's
/// `GaussianBlur(x, (11, 11), 5)` does.
///
/// # Panics
/// When the plane is empty, or does not have h * w elements.
pub fn blur(plane: &[f32], (h, w): (usize, usize)) -> Vec<f32> {
    let len = plane.len();
    assert!(len > 0 && h.checked_mul(w) == Some(len), "a plane of {len} elements, expected {h} x {w}");
    let offsets = -(BLUR_RADIUS as isize)..=BLUR_RADIUS as isize;
    let gaussian = |d: isize| (-((d * d) as f64) / (2.0 * BLUR_DEVIATION * BLUR_DEVIATION)).exp();
    let total: f64 = offsets.clone().map(gaussian).sum();
    let kernel: Vec<(isize, f64)> = offsets.map(|d| (d, gaussian(d) / total)).collect();
    let sum = |at: &dyn Fn(isize) -> f64| kernel.iter().map(|&(d, weight)| weight * at(d)).sum::<f64>();

    let mut across = vec![0.0; h * w];
    for (out, row) in across.chunks_exact_mut(w).zip(plane.chunks_exact(w)) {
        for (x, out) in out.iter_mut().enumerate() {
            *out = sum(&|d| f64::from(row[reflect(x as isize + d, w)]));
        }
    }
    let mut blurred = Vec::with_capacity(h * w);
    for y in 0..h {
        blurred.extend((0..w).map(|x| sum(&|d| across[reflect(y as isize + d, h) * w + x]) as f32));
    }
    blurred
}

/// The index in 0..n to which reflection maps `i`: ... 2 1 0 1 2 ...
fn reflect(i: isize, n: usize) -> usize {
    let last = n as isize - 1;
    if last == 0 {
        return 0;
    }
    let phase = i.rem_euclid(2 * last);
    (if phase > last { 2 * last - phase } else { phase }) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn baselines_of_a_small_image() {
        let (image, shape) = ([1.0, 3.0, 2.0, 2.0, 0.0, 8.0], Shape::new(3, 1, 2));
        assert_eq!(Baseline::Zero.of(&image, shape, [-1.0, 0.0, 1.0]), [-1.0, -1.0, 0.0, 0.0, 1.0, 1.0]);
        assert_eq!(Baseline::Mean.of(&image, shape, [0.0; 3]), [2.0, 2.0, 2.0, 2.0, 4.0, 4.0]);
        let blurred = Baseline::Blur.of(&image, shape, [0.0; 3]);
        // A constant channel is unchanged; other elements move towards the mean.
        assert!((blurred[2] - 2.0).abs() < 1e-6 && blurred[0] > 1.0 && blurred[1] < 3.0, "{blurred:?}");
    }

    #[test]
    fn reflection_does_not_repeat_the_edge() {
        let indices: Vec<usize> = (-4..8).map(|i| reflect(i, 4)).collect();
        assert_eq!(indices, [2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1]);
        assert_eq!(reflect(-3, 1), 0);
    }
}
