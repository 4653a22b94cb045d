//! Picture of pytorch-grad-cam: `show_cam_on_image` with its defaults.

use super::{range, unit};
use crate::engine::bilinear::bilinear;
use crate::imaging::rgb_image::RgbImage;
use crate::render::color::{Colormap, index};

/// `map` (h, w) after its ReLU, in jet over `photo`: half of each, divided by the maximum of the sum. The map
/// is scaled at its own size, resized, and scaled again.
///
/// # Panics
/// When the map or the photo is empty.
pub fn cam(photo: &RgbImage, map: &[f32], from: (usize, usize)) -> RgbImage {
    let mut mask = map.to_vec();
    scale(&mut mask);
    mask = bilinear(&mask, from, (photo.height, photo.width));
    scale(&mut mask);
    let colors = Colormap::Jet.table().map(|color| color.map(|v| 0.5 * (f32::from(v) / 255.0)));
    let photo_half: Vec<f32> = unit(photo).map(|v| 0.5 * v).collect();
    let mut sum = Vec::with_capacity(photo.rgb.len());
    for (pixel, &v) in photo_half.chunks_exact(3).zip(&mask) {
        let color = colors[index(v)];
        sum.extend([color[0] + pixel[0], color[1] + pixel[1], color[2] + pixel[2]]);
    }
    let most = sum.iter().copied().fold(0.0, f32::max);
    RgbImage::new(photo.width, photo.height, sum.iter().map(|v| (255.0 * (v / most)) as u8).collect())
}

/// Min-max scaling with an epsilon of 1e-7.
fn scale(values: &mut [f32]) {
    let (low, high) = range(values);
    let divisor = 1e-7 + (high - low);
    values.iter_mut().for_each(|v| *v = (*v - low) / divisor);
}
