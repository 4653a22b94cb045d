//! Picture of torchcam: `overlay_mask` with its defaults.

use super::{matplotlib_index, range};
use crate::imaging::rgb_image::RgbImage;
use crate::imaging::{Filter, resample_map};
use crate::render::color::table;

/// `map` (h, w) after its ReLU, scaled at its own size, resized by Pillow's bicubic filter and *squared*, in
/// matplotlib's jet: 0.7 photo + 0.3 color.
///
/// # Panics
/// When the map or the photo is empty.
pub fn cam(photo: &RgbImage, map: &[f32], from: (usize, usize)) -> RgbImage {
    const PHOTO: f32 = 0.7;
    let (low, high) = range(map);
    let divisor = (high - low) + 1e-8;
    let mask: Vec<f32> = map.iter().map(|v| (v - low) / divisor).collect();
    let mask = resample_map(&mask, from, (photo.height, photo.width), Filter::Bicubic);
    let mut rgb = Vec::with_capacity(photo.rgb.len());
    for (pixel, v) in photo.rgb.chunks_exact(3).zip(mask) {
        let color = colors()[matplotlib_index(v * v)];
        // Pillow's blend truncates instead of rounding.
        let blend = |c: usize| {
            let (above, below) = (f32::from(color[c]), f32::from(pixel[c]));
            (above + PHOTO * (below - above)) as u8
        };
        rgb.extend([0, 1, 2].map(blend));
    }
    RgbImage::new(photo.width, photo.height, rgb)
}

/// matplotlib's jet.
pub fn colors() -> &'static [[u8; 3]; 256] {
    table(include_bytes!("../colormaps/jet_matplotlib.rgb"))
}
