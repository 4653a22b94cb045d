//! Preparation of a photo as model input: resize, center crop, normalization.

use super::resample::{Filter, Region, resample, resample_window};
use super::rgb_image::RgbImage;

/// A photo prepared as model input, and the region of the photo that it covers.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// Input of shape (3, H, W): red, green and blue planes, each element `(x / 255 - mean) / std`.
    pub tensor: Vec<f32>,
    /// The same as an image of H x W pixels, before normalization.
    pub seen: RgbImage,
    /// Region of the photo that the input covers, in the photo's pixels.
    pub crop: Region,
}

impl Prepared {
    /// The region of `photo` that the input covers, resized to `size` x `size` pixels for display.
    ///
    /// # Panics
    /// When `size` is zero or its square above the pixels of the largest photo, or `photo` is not the one that was
    /// prepared.
    pub fn view(&self, photo: &RgbImage, size: usize) -> RgbImage {
        resample(photo, self.crop, size, size, Filter::Bicubic)
    }
}

/// How a photo is brought to the size of a model's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ResizePolicy {
    /// Scaled so that it just covers the input, then cut to its center: torchvision's
    /// `Resize(size)` and `CenterCrop(size)` where the input is a square.
    #[default]
    CenterCrop,
    /// Scaled to the input's height and width, whatever the photo's aspect ratio.
    Stretch,
}

/// Brings `photo` to `(height, width)` and normalizes each channel.
///
/// The resize is antialiased bilinear, as Pillow's. A photo of the input's size is not resampled.
///
/// # Panics
/// When a size is zero or the photo is empty.
pub fn prepare(
    photo: &RgbImage,
    size: (usize, usize),
    policy: ResizePolicy,
    mean: [f32; 3],
    std: [f32; 3],
) -> Prepared {
    let (pixels, len) = (photo.width.saturating_mul(photo.height), photo.rgb.len());
    assert!(pixels > 0 && Some(len) == pixels.checked_mul(3), "{len} bytes of a photo of {pixels} pixels");
    assert!(size.0 > 0 && size.1 > 0, "an input of {} x {} pixels", size.0, size.1);
    let (seen, crop) = resize_and_crop(photo, size, policy);
    let mut tensor = Vec::with_capacity(3 * size.0 * size.1);
    for c in 0..3 {
        tensor.extend(seen.rgb[c..].iter().step_by(3).map(|&v| (f32::from(v) / 255.0 - mean[c]) / std[c]));
    }
    Prepared { tensor, seen, crop }
}

/// The pixels of the input, and the region of the photo that they cover.
fn resize_and_crop(
    photo: &RgbImage,
    (height, width): (usize, usize),
    policy: ResizePolicy,
) -> (RgbImage, Region) {
    let all = Region::all(photo);
    if (photo.width, photo.height) == (width, height) {
        return (photo.clone(), all);
    }
    // Pillow and torchvision round the side that is cut down.
    let (scaled_width, scaled_height) = match policy {
        ResizePolicy::Stretch => (width, height),
        ResizePolicy::CenterCrop if photo.width * height <= photo.height * width => {
            (width, width * photo.height / photo.width)
        }
        ResizePolicy::CenterCrop => (height * photo.width / photo.height, height),
    };
    let (left, top) = (half_even(scaled_width - width), half_even(scaled_height - height));
    // Only the rows and columns inside the crop are computed, so that a photo of 1 x 60000 is cheap.
    let window = (left..left + width, top..top + height);
    let seen = resample_window(photo, all, (scaled_width, scaled_height), window, Filter::Bilinear);

    let sx = photo.width as f64 / scaled_width as f64;
    let sy = photo.height as f64 / scaled_height as f64;
    let crop = Region {
        left: left as f64 * sx,
        top: top as f64 * sy,
        // Rounding must not push the far edge out of the photo.
        right: ((left + width) as f64 * sx).min(photo.width as f64),
        bottom: ((top + height) as f64 * sy).min(photo.height as f64),
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
        let prepared = prepare(&photo, (2, 2), ResizePolicy::CenterCrop, [0.0, 0.5, 0.0], [1.0, 0.25, 2.0]);
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
        let crop = prepare(&photo, (32, 32), ResizePolicy::CenterCrop, [0.0; 3], [1.0; 3]).crop;
        assert_eq!((crop.top, crop.bottom), (0.0, 300.0));
        assert!((crop.left - 8.0 * 451.0 / 48.0).abs() < 1e-9, "{crop:?}");
        assert!((crop.right - 40.0 * 451.0 / 48.0).abs() < 1e-9, "{crop:?}");
    }

    #[test]
    fn the_crop_stays_inside_the_photo() {
        for (width, height) in [
            (1, 1),
            (1, 5000),
            (5000, 1),
            (7, 5),
            (33, 47),
            (451, 300),
            (4031, 4033),
            (65535, 3),
            (20_000_000, 1),
            (1, 20_000_001),
        ] {
            for size in [32, 33, 224] {
                let photo = RgbImage::filled(width, height, [0; 3]);
                let prepared = prepare(&photo, (size, size), ResizePolicy::CenterCrop, [0.0; 3], [1.0; 3]);
                assert_eq!(prepared.tensor.len(), 3 * size * size);
                let view = prepared.view(&photo, 9);
                assert_eq!((view.width, view.height), (9, 9));
            }
        }
    }

    #[test]
    fn an_input_of_another_aspect_ratio_is_covered_or_stretched_to() {
        let photo = RgbImage::filled(40, 30, [9; 3]);
        let crop = |size, policy| prepare(&photo, size, policy, [0.0; 3], [1.0; 3]).crop;
        // 10 rows of 20 columns: the width decides, 15 rows of which 10 stay (2 above, 3 below).
        let covered = crop((10, 20), ResizePolicy::CenterCrop);
        assert_eq!((covered.left, covered.right, covered.top, covered.bottom), (0.0, 40.0, 4.0, 24.0));
        let tall = crop((30, 10), ResizePolicy::CenterCrop);
        assert_eq!((tall.left, tall.right, tall.top, tall.bottom), (15.0, 25.0, 0.0, 30.0));
        assert_eq!(crop((10, 20), ResizePolicy::Stretch), Region::all(&photo));
    }

    #[test]
    fn halves_round_to_even() {
        assert_eq!([0, 1, 2, 3, 5, 7, 16].map(half_even), [0, 0, 1, 2, 2, 4, 8]);
    }
}
