//! From a photo to the network's input, and back to the part of the photo that it shows.

use super::resample::{Filter, Region, resample, resample_window};
use super::rgb_image::RgbImage;

/// What the network reads, and where in the photo it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// (3, S, S): red, green, blue, each `(x / 255 - mean) / std`.
    pub tensor: Vec<f32>,
    /// The same as pixels, S x S.
    pub seen: RgbImage,
    /// The part of the photo that the network sees, in the photo's pixels.
    pub crop: Region,
}

impl Prepared {
    /// The part of `photo` that the network sees, at `size` x `size` pixels for people.
    pub fn view(&self, photo: &RgbImage, size: usize) -> RgbImage {
        resample(photo, self.crop, size, size, Filter::Bicubic)
    }
}

/// Brings `photo` to `size` x `size` and normalizes each channel.
///
/// The recipe is torchvision's `Resize(size)` and `CenterCrop(size)` on a Pillow image: the
/// shorter side becomes `size` by an antialiased bilinear resize, then the center is cut out.
/// A photo that is `size` x `size` already goes in untouched.
///
/// # Panics
/// When `size` is zero or the photo is empty.
pub fn prepare(photo: &RgbImage, size: usize, mean: [f32; 3], std: [f32; 3]) -> Prepared {
    let (seen, crop) = network_view(photo, size);
    let mut tensor = Vec::with_capacity(3 * size * size);
    for c in 0..3 {
        tensor.extend(seen.rgb[c..].iter().step_by(3).map(|&v| (f32::from(v) / 255.0 - mean[c]) / std[c]));
    }
    Prepared { tensor, seen, crop }
}

/// The `size` x `size` pixels that the network sees, and where they come from.
fn network_view(photo: &RgbImage, size: usize) -> (RgbImage, Region) {
    if (photo.width, photo.height) == (size, size) {
        return (photo.clone(), Region::all(photo));
    }
    let shorter = photo.width.min(photo.height);
    // Pillow and torchvision round the longer side down.
    let scaled = |side: usize| size * side / shorter;
    let (width, height) = (scaled(photo.width), scaled(photo.height));
    let (left, top) = (half_even(width - size), half_even(height - size));
    // Only the columns and rows that stay are computed: a photo of 1 x 60000 is then no burden.
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

/// `n / 2`, a half going to the even neighbour, as Python's `round` does.
fn half_even(n: usize) -> usize {
    let half = n / 2;
    half + (n % 2) * (half % 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_photo_of_the_networks_size_goes_in_untouched() {
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
    fn the_crop_is_the_part_of_the_photo_under_the_center_pixels() {
        let photo = RgbImage::filled(451, 300, [9; 3]);
        // 48 x 32, of which columns 8..40.
        let crop = prepare(&photo, 32, [0.0; 3], [1.0; 3]).crop;
        assert_eq!((crop.top, crop.bottom), (0.0, 300.0));
        assert!((crop.left - 8.0 * 451.0 / 48.0).abs() < 1e-4, "{crop:?}");
        assert!((crop.right - 40.0 * 451.0 / 48.0).abs() < 1e-4, "{crop:?}");
    }

    #[test]
    fn the_crop_never_leaves_the_photo() {
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
    fn halves_round_to_even_like_pythons() {
        assert_eq!([0, 1, 2, 3, 5, 7, 16].map(half_even), [0, 0, 1, 2, 2, 4, 8]);
    }
}
