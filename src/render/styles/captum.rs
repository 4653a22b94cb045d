//! Pictures of captum's `LayerGradCam`: `LayerAttribution.interpolate`, then `visualize_image_attr`, both with
//! their defaults, drawn by matplotlib.

use super::matplotlib_index;
use crate::imaging::rgb_image::RgbImage;
use crate::render::color::table;

/// Percentage of the sum of magnitudes that lies beyond the end of the scale.
const OUTLIERS: f32 = 2.0;

/// `blended_heat_map`, sign `positive`: `map` (h, w) in greens at half opacity over the grayscale photo with
/// stretched contrast. The map is not smoothed: its elements stay squares.
///
/// # Panics
/// When the map or the photo is empty.
pub fn blended(photo: &RgbImage, map: &[f32], from: (usize, usize)) -> RgbImage {
    let map: Vec<f32> = map.iter().map(|&v| v.max(0.0)).collect();
    let values = normalized(&nearest(&map, from, (photo.height, photo.width)));
    let mut rgb = Vec::with_capacity(photo.rgb.len());
    for (gray, v) in stretched_gray(photo).into_iter().zip(values) {
        rgb.extend(colors()[matplotlib_index(v)].map(|color| half_over(gray, color)));
    }
    RgbImage::new(photo.width, photo.height, rgb)
}

/// `heat_map`, sign `all`: `signed` (h, w), before its ReLU, from red over white to green, without the photo.
///
/// # Panics
/// When the map or the size is empty.
pub fn signed(signed: &[f32], from: (usize, usize), (height, width): (usize, usize)) -> RgbImage {
    let values = normalized(&nearest(signed, from, (height, width)));
    let colors = table(include_bytes!("../colormaps/red_white_green.rgb"));
    let rgb = values.iter().flat_map(|v| colors[matplotlib_index((v + 1.0) / 2.0)]).collect();
    RgbImage::new(width, height, rgb)
}

/// The greens of [`blended`].
pub fn colors() -> &'static [[u8; 3]; 256] {
    table(include_bytes!("../colormaps/greens.rgb"))
}

/// Nearest-neighbor resize, like PyTorch's `interpolate(mode="nearest")`.
fn nearest(map: &[f32], (h, w): (usize, usize), (height, width): (usize, usize)) -> Vec<f32> {
    assert!(map.len() == h * w && !map.is_empty(), "map of {h} x {w} with {} elements", map.len());
    let at =
        |i: usize, from: usize, to: usize| ((i as f32 * (from as f32 / to as f32)) as usize).min(from - 1);
    let columns: Vec<usize> = (0..width).map(|x| at(x, w, width)).collect();
    (0..height).flat_map(|y| columns.iter().map(move |&x| map[at(y, h, height) * w + x])).collect()
}

/// Values divided by the magnitude below which all but [`OUTLIERS`] percent of the sum of magnitudes lie, and
/// clamped to [-1, 1]. Zero if all values are zero.
fn normalized(values: &[f32]) -> Vec<f32> {
    let mut sorted: Vec<f32> = values.iter().map(|v| v.abs()).collect();
    sorted.sort_unstable_by(f32::total_cmp);
    let running = |values: &[f32]| {
        let mut sum = 0.0_f32;
        values
            .iter()
            .map(|v| {
                sum += v;
                sum
            })
            .collect::<Vec<f32>>()
    };
    let sums = running(&sorted);
    let enough = sums.last().expect("a map is not empty") * 0.01 * (100.0 - OUTLIERS);
    let end = sorted[sums.partition_point(|&sum| sum < enough).min(sorted.len() - 1)];
    if end == 0.0 {
        return vec![0.0; values.len()];
    }
    values.iter().map(|v| (v / end).clamp(-1.0, 1.0)).collect()
}

/// Mean over the photo's channels, stretched from minimum to maximum, in matplotlib's gray.
fn stretched_gray(photo: &RgbImage) -> Vec<u8> {
    let means: Vec<f64> =
        photo.rgb.chunks_exact(3).map(|p| p.iter().map(|&v| f64::from(v)).sum::<f64>() / 3.0).collect();
    let (low, high) = means.iter().fold((f64::MAX, f64::MIN), |(l, h), &v| (l.min(v), h.max(v)));
    let spread = if high > low { high - low } else { 1.0 };
    let grays = table(include_bytes!("../colormaps/gray_matplotlib.rgb"));
    means.iter().map(|v| grays[(((v - low) / spread) * 256.0).min(255.0) as usize][0]).collect()
}

/// One channel of matplotlib's blend of a color at alpha 127/255 over an opaque gray: Agg's rule for plain
/// alpha, in integers.
fn half_over(below: u8, above: u8) -> u8 {
    const ALPHA: i32 = 127;
    let below = i32::from(below) * 255;
    let opaque = ((ALPHA + 255) << 8) - ALPHA * 255;
    ((((i32::from(above) << 8) - below) * ALPHA + (below << 8)) / opaque) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_percent_of_the_sum_lie_beyond_the_scale() {
        // The sum is 100; the cumulative sum reaches 98 at the element 50.
        let values = [50.0, 40.0, 8.0, 1.0, 1.0].map(|v: f32| -v);
        assert_eq!(normalized(&values)[..3], [-1.0, -0.8, -0.16]);
        assert_eq!(normalized(&[0.0; 3]), [0.0; 3]);
    }

    #[test]
    fn elements_stay_squares() {
        assert_eq!(nearest(&[1.0, 2.0, 3.0], (1, 3), (2, 5)), [1.0, 1.0, 2.0, 2.0, 3.0].repeat(2));
    }
}
