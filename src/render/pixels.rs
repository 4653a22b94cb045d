//! Pictures of pixel attributions: signed arrays of shape (3, height, width), like the model's input.

use super::color::{Colormap, index};
use crate::imaging::rgb_image::RgbImage;

/// How an attribution is drawn. The scale ends at the 99th percentile of the magnitudes, as in the reference
/// code of SmoothGrad (Smilkov et al. 2017), so that single peaks do not darken the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PixelView {
    /// Red, green and blue channels, each centered at mid gray.
    Color,
    /// Sum over channels: blue below zero, white at zero, red above.
    Signed,
    /// Sum of magnitudes over channels, from black to white.
    Magnitude,
}

/// Draws `values` of shape (3, height, width) as a picture of that size.
///
/// # Panics
/// When `values` does not hold 3 x `height` x `width` elements.
pub fn pixel_picture(values: &[f32], (height, width): (usize, usize), view: PixelView) -> RgbImage {
    let plane = height * width;
    assert!(values.len() == 3 * plane && plane > 0, "{height} x {width} with {} elements", values.len());
    let sum = |of: fn(f32) -> f32| -> Vec<f32> {
        (0..plane).map(|i| [0, 1, 2].map(|c| of(values[c * plane + i])).iter().sum()).collect()
    };
    let colored =
        |shares: Vec<f32>, map: Colormap| shares.iter().flat_map(|&s| map.table()[index(s)]).collect();
    let rgb = match view {
        PixelView::Color => {
            let scale = peak(values);
            let level = |i: usize| (127.5 + 127.5 * values[i] / scale + 0.5).clamp(0.0, 255.0) as u8;
            (0..plane).flat_map(|i| [0, 1, 2].map(|c| level(c * plane + i))).collect()
        }
        PixelView::Signed => {
            let sums = sum(|x| x);
            let scale = peak(&sums);
            colored(sums.iter().map(|x| 0.5 + 0.5 * x / scale).collect(), Colormap::RdBuR)
        }
        PixelView::Magnitude => {
            let sums = sum(f32::abs);
            let least = sums.iter().copied().fold(f32::INFINITY, f32::min);
            let above: Vec<f32> = sums.iter().map(|x| x - least).collect();
            let scale = peak(&above);
            colored(above.iter().map(|x| x / scale).collect(), Colormap::Gray)
        }
    };
    RgbImage::new(width, height, rgb)
}

/// `picture` enlarged to `height` x `width` by nearest neighbor, because an array has no values between its
/// pixels.
pub fn enlarged(picture: &RgbImage, (height, width): (usize, usize)) -> RgbImage {
    let columns: Vec<usize> = (0..width).map(|x| x * picture.width / width).collect();
    let mut rgb = Vec::with_capacity(3 * width * height);
    for y in 0..height {
        let from = y * picture.height / height;
        if y > 0 && from == (y - 1) * picture.height / height {
            rgb.extend_from_within(rgb.len() - 3 * width..);
            continue;
        }
        let row = picture.rgb[3 * from * picture.width..].as_chunks::<3>().0;
        columns.iter().for_each(|&x| rgb.extend_from_slice(&row[x]));
    }
    RgbImage::new(width, height, rgb)
}

/// 99th percentile of the magnitudes, as `numpy.percentile` computes it; the maximum if that is zero, and 1
/// if all are zero.
fn peak(values: &[f32]) -> f32 {
    let mut sizes: Vec<f32> = values.iter().map(|x| x.abs()).collect();
    sizes.sort_by(f32::total_cmp);
    let at = 0.99 * (sizes.len() - 1) as f32;
    let (low, high) = (sizes[at as usize], sizes[(at as usize + 1).min(sizes.len() - 1)]);
    let percentile = low + at.fract() * (high - low);
    [percentile, sizes[sizes.len() - 1]].into_iter().find(|&p| p > 0.0).unwrap_or(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One row of two pixels: red 1 and -1, green 0, blue 0 and 0.5.
    const ARRAY: [f32; 6] = [1.0, -1.0, 0.0, 0.0, 0.0, 0.5];

    #[test]
    fn zeros_are_gray_white_or_black() {
        let shown = |view| pixel_picture(&[0.0; 6], (1, 2), view).rgb;
        assert_eq!(shown(PixelView::Color), [128; 6]);
        assert_eq!(shown(PixelView::Magnitude), [0; 6]);
        let white = shown(PixelView::Signed);
        assert!(white.iter().all(|&v| v > 240), "{white:?}");
    }

    #[test]
    fn channels_are_centered_at_gray() {
        assert_eq!(pixel_picture(&ARRAY, (1, 2), PixelView::Color).rgb, [255, 128, 128, 0, 128, 191]);
    }

    #[test]
    fn positive_evidence_is_red_and_negative_blue() {
        let picture = pixel_picture(&ARRAY, (1, 2), PixelView::Signed);
        let ([r, _, b], [r2, _, b2]) = (picture.pixel(0, 0), picture.pixel(1, 0));
        assert!(r > b && r2 < b2, "{picture:?}");
    }

    #[test]
    fn magnitudes_go_from_black_to_white() {
        // 1 and 1.5: the minimum is black; the maximum, beyond the percentile, is white.
        assert_eq!(pixel_picture(&ARRAY, (1, 2), PixelView::Magnitude).rgb, [0, 0, 0, 255, 255, 255]);
    }

    #[test]
    fn the_percentile_equals_numpy() {
        // numpy.percentile(range(101), 99) is 99; of range(11) it is 9.9.
        let range = |n: usize| (0..n).map(|i| i as f32).collect::<Vec<f32>>();
        assert_eq!(peak(&range(101)), 99.0);
        assert!((peak(&range(11)) - 9.9).abs() < 1e-5);
        let mut one = vec![0.0; 1000];
        one[3] = -2.0;
        assert_eq!(peak(&one), 2.0);
        assert_eq!(peak(&[0.0, 0.0]), 1.0);
    }

    #[test]
    fn enlarging_repeats_pixels() {
        let picture = RgbImage::new(2, 1, vec![1, 2, 3, 4, 5, 6]);
        assert_eq!(enlarged(&picture, (2, 2)).rgb, [1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6]);
        assert_eq!(enlarged(&picture, (1, 4)).rgb, [1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6]);
    }
}
