//! Preparation of a photo as model input: resize, crop or padding, normalization.

use std::fmt;
use std::str::FromStr;

use super::resample::{Filter, Region, resample, resample_window};
use super::rgb_image::RgbImage;

/// A photo prepared as model input, and the region of the photo that it covers.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// Input of shape (3, H, W): red, green and blue planes, each element `(x / 255 - mean) / std`.
    pub tensor: Vec<f32>,
    /// The same as an image of H x W pixels, before normalization.
    pub seen: RgbImage,
    /// Region of the photo that the input covers, in the photo's pixels; it reaches beyond the photo where the input
    /// is padded.
    pub crop: Region,
    /// Color of the padding.
    fill: [u8; 3],
}

impl Prepared {
    /// The region of `photo` that the input covers, resized for display: a picture of the input's aspect ratio,
    /// whose longer side is `size` pixels.
    ///
    /// # Panics
    /// When `size` is zero or the picture has more pixels than the largest photo, or `photo` is not the one that was
    /// prepared.
    pub fn view(&self, photo: &RgbImage, size: usize) -> RgbImage {
        let (height, width) = with_longer_side((self.seen.height, self.seen.width), size);
        let (crop, all) = (self.crop, Region::all(photo));
        let is_inside =
            crop.left >= 0.0 && crop.top >= 0.0 && crop.right <= all.right && crop.bottom <= all.bottom;
        if is_inside || size == 0 {
            return resample(photo, crop, width, height, Filter::Bicubic);
        }
        // First and last pixel of the view that the photo covers.
        let along = |from: f64, to: f64, end: f64, size: usize| {
            let place = |x: f64| ((x - from) / (to - from) * size as f64).round() as usize;
            let first = place(0.0).min(size - 1);
            first..place(end).clamp(first + 1, size)
        };
        let columns = along(crop.left, crop.right, all.right, width);
        let rows = along(crop.top, crop.bottom, all.bottom, height);
        let inside = resample(photo, all, columns.len(), rows.len(), Filter::Bicubic);
        padded(&inside, (columns.start, rows.start), (width, height), self.fill)
    }
}

/// (rows, columns) of a picture of `size` (rows, columns) that is resized so that its longer side has `longer`
/// pixels. The other side is rounded and at least 1, unless `longer` is zero.
pub fn with_longer_side((height, width): (usize, usize), longer: usize) -> (usize, usize) {
    let most = height.max(width);
    let scaled = |side: usize| match side {
        _ if side == most => longer,
        _ => ((side as f64 / most as f64 * longer as f64).round() as usize).max(longer.min(1)),
    };
    (scaled(height), scaled(width))
}

/// Most pixels of [`ResizePolicy::CenterCropFrom`].
const MAX_SHORTER: usize = 1 << 16;

/// How a photo is brought to the size of a model's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ResizePolicy {
    /// Scaled so that it just covers the input, then cut to its center: torchvision's
    /// `Resize(size)` and `CenterCrop(size)` where the input is a square.
    #[default]
    CenterCrop,
    /// Scaled so that its shorter side has this many pixels, then cut to its center: torchvision's `Resize(256)` and
    /// `CenterCrop(224)` for 256 and an input of 224 x 224. Where the input is no square, scaled so that it just covers the
    /// input enlarged by as much.
    CenterCropFrom(usize),
    /// Scaled to the input's height and width, whatever the photo's aspect ratio: torchvision's
    /// `Resize((height, width))`.
    Stretch,
    /// Scaled so that all of it just fits into the input, in whose center it stands: Pillow's `ImageOps.pad`. The
    /// rest has the mean color of the normalization, as 8 bits rounded.
    Pad,
}

impl ResizePolicy {
    /// All policies without a number, with their names.
    const ALL: [(ResizePolicy, &str); 3] =
        [(ResizePolicy::CenterCrop, "crop"), (ResizePolicy::Stretch, "stretch"), (ResizePolicy::Pad, "pad")];
}

impl fmt::Display for ResizePolicy {
    /// `crop`, `crop256`, `stretch` or `pad`.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if let ResizePolicy::CenterCropFrom(shorter) = self {
            return write!(f, "crop{shorter}");
        }
        let name = Self::ALL.iter().find(|(policy, _)| policy == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

impl FromStr for ResizePolicy {
    type Err = String;

    /// `crop`, `crop` and a number of pixels, `stretch` or `pad`.
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(_, name)| *name == text).map(|(policy, _)| *policy);
        let from = || {
            let pixels = text.strip_prefix("crop")?.parse().ok()?;
            (1..=MAX_SHORTER).contains(&pixels).then_some(ResizePolicy::CenterCropFrom(pixels))
        };
        found.or_else(from).ok_or_else(|| "expected crop, crop256, stretch or pad".into())
    }
}

/// Brings `photo` to `(height, width)` and normalizes each channel.
///
/// The resize is antialiased bilinear, bit for bit that of Pillow 13. A photo of the input's size is not resampled.
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
    let fill = mean.map(|mean| (mean * 255.0).round() as u8);
    let (seen, crop) = match policy {
        ResizePolicy::Pad => resize_and_pad(photo, size, fill),
        _ => resize_and_crop(photo, size, policy),
    };
    let mut tensor = Vec::with_capacity(3 * size.0 * size.1);
    for c in 0..3 {
        tensor.extend(seen.rgb[c..].iter().step_by(3).map(|&v| (f32::from(v) / 255.0 - mean[c]) / std[c]));
    }
    Prepared { tensor, seen, crop, fill }
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
    // Rows and columns that the photo has to cover.
    let (rows, columns) = match policy {
        ResizePolicy::CenterCropFrom(shorter) => {
            let least = height.min(width);
            let scaled = |side: usize| (side * shorter).div_ceil(least).max(side);
            (scaled(height), scaled(width))
        }
        _ => (height, width),
    };
    // Pillow and torchvision round the side that is cut down.
    let (scaled_width, scaled_height) = match policy {
        ResizePolicy::Stretch | ResizePolicy::Pad => (width, height),
        _ if photo.width * rows <= photo.height * columns => (columns, columns * photo.height / photo.width),
        _ => (rows * photo.width / photo.height, rows),
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

/// The pixels of the padded input, and its region in the photo.
fn resize_and_pad(photo: &RgbImage, (height, width): (usize, usize), fill: [u8; 3]) -> (RgbImage, Region) {
    let all = Region::all(photo);
    // Pillow's rounding of the shorter side, which it refuses if it comes to nothing.
    let scaled = |side: usize, other: usize, to: usize| {
        ((side as f64 / other as f64 * to as f64).round_ties_even() as usize).clamp(1, usize::MAX)
    };
    let (scaled_width, scaled_height) = if photo.width * height >= photo.height * width {
        (width, scaled(photo.height, photo.width, width).min(height))
    } else {
        (scaled(photo.width, photo.height, height).min(width), height)
    };
    let (left, top) = (half_even(width - scaled_width), half_even(height - scaled_height));
    let inside = if (scaled_width, scaled_height) == (photo.width, photo.height) {
        photo.clone()
    } else {
        resample(photo, all, scaled_width, scaled_height, Filter::Bilinear)
    };
    let (sx, sy) = (all.right / scaled_width as f64, all.bottom / scaled_height as f64);
    let crop = Region {
        // Not the negative, which is -0 where there is no margin.
        left: 0.0 - left as f64 * sx,
        top: 0.0 - top as f64 * sy,
        right: if scaled_width == width { all.right } else { (width - left) as f64 * sx },
        bottom: if scaled_height == height { all.bottom } else { (height - top) as f64 * sy },
    };
    (padded(&inside, (left, top), (width, height), fill), crop)
}

/// `picture` in column `left` and row `top` of one of `width` x `height` pixels of color `fill`.
fn padded(
    picture: &RgbImage,
    (left, top): (usize, usize),
    (width, height): (usize, usize),
    fill: [u8; 3],
) -> RgbImage {
    let mut whole = RgbImage::filled(width, height, fill);
    let rows = whole.rgb.chunks_exact_mut(3 * width).skip(top);
    for (row, from) in rows.zip(picture.rgb.chunks_exact(3 * picture.width)) {
        row[3 * left..3 * (left + picture.width)].copy_from_slice(from);
    }
    whole
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
        // 512 x 256 pixels are not resized: Resize(256) and CenterCrop(224).
        let wide = RgbImage::filled(512, 256, [0; 3]);
        let margin = prepare(&wide, (224, 224), ResizePolicy::CenterCropFrom(256), [0.0; 3], [1.0; 3]).crop;
        assert_eq!(margin, Region { left: 144.0, top: 16.0, right: 368.0, bottom: 240.0 });
        assert_eq!("crop256".parse(), Ok(ResizePolicy::CenterCropFrom(256)));
        assert_eq!(ResizePolicy::CenterCropFrom(256).to_string(), "crop256");
        assert!("crop0".parse::<ResizePolicy>().is_err() && "crop9999999".parse::<ResizePolicy>().is_err());
        // 10 rows of 20 columns: the width decides, 15 rows of which 10 stay (2 above, 3 below).
        let covered = crop((10, 20), ResizePolicy::CenterCrop);
        assert_eq!((covered.left, covered.right, covered.top, covered.bottom), (0.0, 40.0, 4.0, 24.0));
        let tall = crop((30, 10), ResizePolicy::CenterCrop);
        assert_eq!((tall.left, tall.right, tall.top, tall.bottom), (15.0, 25.0, 0.0, 30.0));
        assert_eq!(crop((10, 20), ResizePolicy::Stretch), Region::all(&photo));
    }

    #[test]
    fn a_padded_input_shows_the_whole_photo_between_its_mean_color() {
        let photo = RgbImage::filled(40, 10, [9; 3]);
        let prepared = prepare(&photo, (20, 20), ResizePolicy::Pad, [0.5, 0.2, 0.0], [1.0; 3]);
        // 20 x 5 pixels; of the 15 others 8 are above, as Python rounds 7.5.
        let crop = prepared.crop;
        assert_eq!((crop.left, crop.top, crop.right, crop.bottom), (0.0, -16.0, 40.0, 24.0));
        let colors = |picture: &RgbImage, x: usize| [0, 7, 8, 12, 13, 19].map(|y| picture.pixel(x, y));
        let fill = [128, 51, 0];
        assert_eq!(colors(&prepared.seen, 3), [fill, fill, [9; 3], [9; 3], fill, fill]);
        assert_eq!(colors(&prepared.view(&photo, 20), 3), [fill, fill, [9; 3], [9; 3], fill, fill]);
        assert_eq!(prepared.view(&photo, 1).pixel(0, 0), [9; 3]);
        for (width, height) in [(1, 5000), (5000, 1), (20, 20), (19, 20), (7, 9)] {
            let photo = RgbImage::filled(width, height, [9; 3]);
            let prepared = prepare(&photo, (20, 20), ResizePolicy::Pad, [0.0; 3], [1.0; 3]);
            assert_eq!((prepared.seen.width, prepared.seen.height), (20, 20));
            let view = prepared.view(&photo, 9);
            assert!((view.width, view.height) == (9, 9) && view.rgb.contains(&9));
        }
    }

    #[test]
    fn a_view_has_the_aspect_ratio_of_the_input_and_shows_what_the_input_shows() {
        // Left half dark, right half light.
        let pixels = |_: usize| (0..40).flat_map(|x| [if x < 20 { 10 } else { 200 }; 3]);
        let photo = RgbImage::new(40, 30, (0..30).flat_map(pixels).collect());
        for (policy, size) in [ResizePolicy::CenterCrop, ResizePolicy::Stretch, ResizePolicy::Pad]
            .into_iter()
            .flat_map(|policy| [(12, 48), (48, 12), (7, 9)].map(|size| (policy, size)))
        {
            let prepared = prepare(&photo, size, policy, [0.0; 3], [1.0; 3]);
            assert_eq!((prepared.seen.height, prepared.seen.width), size);
            let view = prepared.view(&photo, 96);
            assert_eq!((view.height, view.width), with_longer_side(size, 96), "{policy} {size:?}");
            // Equal but for the sharpness of the middle, whose columns the two filters blend differently.
            let small = resample(&view, Region::all(&view), size.1, size.0, Filter::Bilinear);
            let differ = small.rgb.iter().zip(&prepared.seen.rgb).filter(|(a, b)| a.abs_diff(**b) > 8);
            assert!(differ.count() <= 3 * 6 * size.0, "{policy} {size:?}");
        }
        let sides = [(48, 192), (192, 48), (5, 5), (1, 9000), (3, 7)].map(|size| with_longer_side(size, 512));
        assert_eq!(sides, [(128, 512), (512, 128), (512, 512), (1, 512), (219, 512)]);
    }

    #[test]
    fn policies_are_named() {
        for (policy, name) in ResizePolicy::ALL {
            assert_eq!((policy.to_string().as_str(), name.parse()), (name, Ok(policy)));
        }
        assert!("".parse::<ResizePolicy>().is_err());
    }

    #[test]
    fn halves_round_to_even() {
        assert_eq!([0, 1, 2, 3, 5, 7, 16].map(half_even), [0, 0, 1, 2, 2, 4, 8]);
    }
}
