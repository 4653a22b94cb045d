//! What stands where a pixel was deleted.

use std::str::FromStr;

use crate::explain::method::by_name;
use crate::{Error, Result, Shape};

/// What a deleted pixel becomes, and what an image is before any pixel is inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Baseline {
    /// What counts as zero: see [`super::Settings::zero`].
    Zero,
    /// Each channel's mean over the image.
    Mean,
    /// The image, blurred.
    Blur,
}

impl Baseline {
    /// The word on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Baseline::Zero => "zero",
            Baseline::Mean => "mean",
            Baseline::Blur => "blur",
        }
    }

    /// The baseline of `image`, of `shape` (3, H, W); `zero` is the value of each channel that
    /// counts as zero.
    pub fn of(self, image: &[f32], shape: Shape, zero: [f32; 3]) -> Vec<f32> {
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

/// Pixels on each side of the blur's middle, and its standard deviation: those of RISE.
const BLUR_RADIUS: usize = 5;
const BLUR_DEVIATION: f64 = 5.0;

/// A Gaussian blur of 11 x 11 pixels with a standard deviation of 5 (Petsiuk et al. 2018, RISE),
/// mirrored at the border without repeating it: OpenCV's `GaussianBlur(x, (11, 11), 5)`.
pub fn blur(plane: &[f32], (h, w): (usize, usize)) -> Vec<f32> {
    let offsets = -(BLUR_RADIUS as isize)..=BLUR_RADIUS as isize;
    let bell = |d: isize| (-((d * d) as f64) / (2.0 * BLUR_DEVIATION * BLUR_DEVIATION)).exp();
    let total: f64 = offsets.clone().map(bell).sum();
    let kernel: Vec<(isize, f64)> = offsets.map(|d| (d, bell(d) / total)).collect();
    let sum = |at: &dyn Fn(isize) -> f64| kernel.iter().map(|&(d, weight)| weight * at(d)).sum::<f64>();

    let mut across = vec![0.0; h * w];
    for (out, row) in across.chunks_exact_mut(w).zip(plane.chunks_exact(w)) {
        for (x, out) in out.iter_mut().enumerate() {
            *out = sum(&|d| f64::from(row[mirrored(x as isize + d, w)]));
        }
    }
    let mut blurred = Vec::with_capacity(h * w);
    for y in 0..h {
        blurred.extend((0..w).map(|x| sum(&|d| across[mirrored(y as isize + d, h) * w + x]) as f32));
    }
    blurred
}

/// The place in 0..n that `i` is mirrored to: ... 2 1 0 1 2 ...
fn mirrored(i: isize, n: usize) -> usize {
    let last = n as isize - 1;
    if last == 0 {
        return 0;
    }
    let turn = i.rem_euclid(2 * last);
    (if turn > last { 2 * last - turn } else { turn }) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_baseline_of_a_small_image() {
        let (image, shape) = ([1.0, 3.0, 2.0, 2.0, 0.0, 8.0], Shape::new(3, 1, 2));
        assert_eq!(Baseline::Zero.of(&image, shape, [-1.0, 0.0, 1.0]), [-1.0, -1.0, 0.0, 0.0, 1.0, 1.0]);
        assert_eq!(Baseline::Mean.of(&image, shape, [0.0; 3]), [2.0, 2.0, 2.0, 2.0, 4.0, 4.0]);
        let blurred = Baseline::Blur.of(&image, shape, [0.0; 3]);
        // What is even stays; what differs moves towards its mean.
        assert!((blurred[2] - 2.0).abs() < 1e-6 && blurred[0] > 1.0 && blurred[1] < 3.0, "{blurred:?}");
    }

    #[test]
    fn a_border_is_mirrored_without_being_repeated() {
        let places: Vec<usize> = (-4..8).map(|i| mirrored(i, 4)).collect();
        assert_eq!(places, [2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1]);
        assert_eq!(mirrored(-3, 1), 0);
    }
}
