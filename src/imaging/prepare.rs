//! Preparation of a photo as model input: resize, center crop, normalization.

use super::resample::{Filter, Region, resample, resample_window};
use super::rgb_image::RgbImage;

/// A photo prepared as model input, and the region of the photo that it covers.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// Input of shape (3, S, S): red, green and blue planes, each element `(x / 255 - mean) / std`.
    pub tensor: Vec<f32>,
    /// The same as an image of S x S pixels, before normalization.
    pub seen: RgbImage,
    /// Region of the photo that the input covers, in the photo's pixels.
    pub crop: Region,
}

impl Prepared {
    /// The region of `photo` that the input covers, resized to `size` x `size` pixels for display.
    pub fn view(&self, photo: &RgbImage, size: usize) -> RgbImage {
        resample(photo, self.crop, size, size, Filter::Bicubic)
    }
}

/// Resizes and crops `photo` to `size` x `size` pixels and normalizes each channel.
///
/// Equals torchvision's `Resize(size)` and `CenterCrop(size)` on a Pillow image: the shorter side becomes
/// `size` by an antialiased bilinear resize, then the center is cropped. A photo of `size` x `size` pixels
/// is not resampled.
///
/// # Panics
/// When `size` is zero or the photo is empty.
pub fn prepare(photo: &RgbImage, size: usize, mean: [f32; 3], std: [f32; 3]) -> Prepared {
    let (seen, crop) = resize_and_crop(photo, size);
    let mut tensor = Vec::with_capacity(3 * size * size);
    for c in 0..3 {
        tensor.extend(seen.rgb[c..].iter().step_by(3).map(|&v| (f32::from(v) / 255.0 - mean[c]) / std[c]));
    }
    Prepared { tensor, seen, crop }
}

/// The `size` x `size` pixels of the input, and the region of the photo that they cover.
fn resize_and_crop(photo: &RgbImage, size: usize) -> (RgbImage, Region) {
    if (photo.width, photo.height) == (size, size) {
        return (photo.clone(), Region::all(photo));
    }
    let shorter = photo.width.min(photo.height);
    // Pillow and torchvision round the longer side down.
    let scaled = |side: usize| size * side / shorter;
    let (width, height) = (scaled(photo.width), scaled(photo.height));
    let (left, top) = (half_even(width - size), half_even(height - size));
    // Only the rows and columns inside the crop are computed, so that a photo of 1 x 60000 is cheap.
    let window = (left..left + size, top..top + size);
    let seen = resample_window(photo, Region::all(photo), (width, height), window, Filter::Bilinear);

    let (sx, sy) = (photo.width as f32 / width as f32, photo.height as f32 / height as f32);
    let crop = Region {
        left: left as f32 * sx,
        top: top as f32 * sy,
        // Rounding must not push the far edge out of the photo.
        right: ((left + size) as f32 * sx).min(photo.width as f32),
        bottom: ((top + size) as f32 * sy).min(photo.height as f32),
    };
    (seen, crop)
}

/// `n / 2` with halves rounded to even, like Python's `round`.
fn half_even(n: usize) -> usize {
    let half = n / 2;
    half + (n % 2) * (half % 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_photo_of_the_input_size_is_not_resampled() {
        let photo = RgbImage::new(2, 2, (0..12).map(|i| i * 20).collect());
        let prepared = prepare(&photo, 2, [0.0, 0.5, 0.0], [1.0, 0.25, 2.0]);
        let scaled = |v: u8| f32::from(v) / 255.0;
        let red = [0, 60, 120, 180].map(scaled);
        let green = [20, 80, 140, 200].map(|v| (scaled(v) - 0.5) / 0.25);
        let blue = [40, 100, 160, 220].map(|v| scaled(v) / 2.0);
        assert_eq!(prepared.tensor, [red, green, blue].concat());
        assert_eq!(prepared.crop, Region::all(&photo));
    }

    #[test]
    fn the_crop_covers_the_center_of_the_photo() {
        let photo = RgbImage::filled(451, 300, [9; 3]);
        // 48 x 32, of which columns 8..40.
        let crop = prepare(&photo, 32, [0.0; 3], [1.0; 3]).crop;
        assert_eq!((crop.top, crop.bottom), (0.0, 300.0));
        assert!((crop.left - 8.0 * 451.0 / 48.0).abs() < 1e-4, "{crop:?}");
        assert!((crop.right - 40.0 * 451.0 / 48.0).abs() < 1e-4, "{crop:?}");
    }

    #[test]
    fn the_crop_stays_inside_the_photo() {
        for (width, height) in
            [(1, 1), (1, 5000), (5000, 1), (7, 5), (33, 47), (451, 300), (4031, 4033), (65535, 3)]
        {
            for size in [32, 33, 224] {
                let photo = RgbImage::filled(width, height, [0; 3]);
                let prepared = prepare(&photo, size, [0.0; 3], [1.0; 3]);
                assert_eq!(prepared.tensor.len(), 3 * size * size);
                let view = prepared.view(&photo, 9);
                assert_eq!((view.width, view.height), (9, 9));
            }
        }
    }

    #[test]
    fn halves_round_to_even() {
        assert_eq!([0, 1, 2, 3, 5, 7, 16].map(half_even), [0, 0, 1, 2, 2, 4, 8]);
    }
}
