//! Pictures of the article's tool: `dog_100_5_cam.jpg`, `_gb`, `_cam_gb` and `dog_100_input.jpg`.
//!
//! Reproduced quirks: the photo is the model's input, resized without antialiasing; jet is added to it and
//! the sum divided by its maximum, which darkens and shifts colors; red and blue of the photo are swapped,
//! because an RGB array is written as BGR; `_gb` does not replace any ReLU and runs backward twice, so that
//! it is twice the plain gradient with negative values clipped.

use super::unit;
use crate::engine::bilinear::bilinear;
use crate::imaging::heatmap::Heatmap;
use crate::imaging::rgb_image::RgbImage;
use crate::render::color::{Colormap, index};

/// Longer side of the pictures, which are squares if the input is one.
pub const SIDE: usize = 512;

/// `_cam`: the heatmap in jet, added to `seen`, the model's input, at the size of the heatmap.
///
/// # Panics
/// When one of them is empty.
pub fn cam(seen: &RgbImage, heatmap: &Heatmap) -> RgbImage {
    let [red, green, blue] =
        resized(&planes(seen), (seen.height, seen.width), (heatmap.height, heatmap.width));
    let colors = Colormap::Jet.table().map(|color| color.map(|v| f32::from(v) / 255.0));
    let mut sum = Vec::with_capacity(heatmap.values.len() * 3);
    for (i, &v) in heatmap.values.iter().enumerate() {
        let color = colors[index(v)];
        sum.extend([color[0] + blue[i], color[1] + green[i], color[2] + red[i]]);
    }
    let most = sum.iter().copied().fold(0.0, f32::max);
    let rgb = sum.iter().map(|v| (255.0 * (v / most)) as u8).collect();
    RgbImage::new(heatmap.width, heatmap.height, rgb)
}

/// `_gb`: twice the `gradient` (3, h, w) with respect to the model's input, resized to `to`.
///
/// # Panics
/// When `gradient` does not hold 3 x h x w elements.
pub fn gb(gradient: &[f32], from: (usize, usize), to: (usize, usize)) -> RgbImage {
    saved(&resized(&doubled(gradient), from, to), to)
}

/// `_cam_gb`: as [`gb`], multiplied by the heatmap, at the size of the heatmap.
///
/// # Panics
/// As [`gb`].
pub fn cam_gb(gradient: &[f32], from: (usize, usize), heatmap: &Heatmap) -> RgbImage {
    let to = (heatmap.height, heatmap.width);
    let mut channels = resized(&doubled(gradient), from, to);
    for channel in &mut channels {
        channel.iter_mut().zip(&heatmap.values).for_each(|(g, &v)| *g *= v);
    }
    saved(&channels, to)
}

/// `_input`: the model's input, resized.
///
/// # Panics
/// When it is empty.
pub fn input(seen: &RgbImage, to: (usize, usize)) -> RgbImage {
    saved(&resized(&planes(seen), (seen.height, seen.width), to), to)
}

/// Red, green and blue planes, (3, h, w), in [0, 1].
fn planes(photo: &RgbImage) -> Vec<f32> {
    let values: Vec<f32> = unit(photo).collect();
    (0..3).flat_map(|c| values[c..].iter().step_by(3)).copied().collect()
}

fn doubled(gradient: &[f32]) -> Vec<f32> {
    gradient.iter().map(|g| g + g).collect()
}

fn resized(planes: &[f32], from: (usize, usize), to: (usize, usize)) -> [Vec<f32>; 3] {
    assert_eq!(planes.len(), 3 * from.0 * from.1, "three planes of {from:?}");
    let plane = from.0 * from.1;
    [0, 1, 2].map(|c| bilinear(&planes[c * plane..][..plane], from, to))
}

/// Converts [0, 1] to bytes like torchvision's `save_image`: rounded and clamped.
fn saved([red, green, blue]: &[Vec<f32>; 3], (height, width): (usize, usize)) -> RgbImage {
    let byte = |v: f32| (v * 255.0 + 0.5) as u8;
    let pixels = red.iter().zip(green).zip(blue);
    RgbImage::new(width, height, pixels.flat_map(|((&r, &g), &b)| [r, g, b].map(byte)).collect())
}
