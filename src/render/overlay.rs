//! Overlays: a heatmap or a signed map blended over a photo.

use super::color::{Colormap, index};
use crate::imaging::heatmap::Heatmap;
use crate::imaging::rgb_image::RgbImage;

/// Default opacity of a heatmap.
pub const HEAT_ALPHA: f32 = 0.5;

/// `heatmap` in color over `photo`: `(1 - heat_alpha) * photo + heat_alpha * color`, rounded.
///
/// # Panics
/// When the two differ in size, or `heat_alpha` is outside [0, 1].
pub fn overlay(photo: &RgbImage, heatmap: &Heatmap, colormap: Colormap, heat_alpha: f32) -> RgbImage {
    assert_eq!((photo.width, photo.height), (heatmap.width, heatmap.height), "sizes of photo and heatmap");
    assert!((0.0..=1.0).contains(&heat_alpha), "opacity {heat_alpha}");
    const BLOCK: usize = 64;
    // The fourth element makes a color a vector, which is copied whole: the next color replaces it.
    let above = colormap.table().map(|color| {
        let [r, g, b] = color.map(|v| heat_alpha * f32::from(v) + 0.5);
        [r, g, b, 0.0]
    });
    let mut rgb = vec![0; photo.rgb.len()];
    // For a few pixels at a time, indices are computed in vectors, then colors looked up, then blended in vectors.
    let (mut indices, mut colors) = ([0_u8; BLOCK], [0.0; 3 * BLOCK + 1]);
    let pixels = rgb.chunks_mut(3 * BLOCK).zip(photo.rgb.chunks(3 * BLOCK));
    for ((out, pixels), values) in pixels.zip(heatmap.values.chunks(BLOCK)) {
        indices.iter_mut().zip(values).for_each(|(place, &v)| *place = index(v) as u8);
        for (i, &place) in indices.iter().enumerate() {
            colors[3 * i..3 * i + 4].copy_from_slice(&above[usize::from(place)]);
        }
        blend(out, pixels, &colors, 1.0 - heat_alpha);
    }
    RgbImage::new(photo.width, photo.height, rgb)
}

/// `share * below + above` rounded down, by whole vectors of bytes; `above` may be longer. The share is in [0, 1], and
/// `above` at most 255.5 less what it leaves.
fn blend(out: &mut [u8], below: &[u8], above: &[f32], share: f32) {
    /// Bytes of a vector.
    const BYTES: usize = 16;
    let blended = |below: u8, above: f32| {
        let sum = share * f32::from(below) + above;
        // SAFETY: both terms are finite and not negative, and their sum is at most about 255.5. Conversions that check
        // this are done one by one, which takes three times as long.
        unsafe { sum.to_int_unchecked::<i32>() as u8 }
    };
    let (vectors, rest) = out.as_chunks_mut::<BYTES>();
    let (below_rest, above_rest) = (&below[BYTES * vectors.len()..], &above[BYTES * vectors.len()..]);
    let terms = below.as_chunks::<BYTES>().0.iter().zip(above.as_chunks::<BYTES>().0);
    for (out, (below, above)) in vectors.iter_mut().zip(terms) {
        *out = std::array::from_fn(|i| blended(below[i], above[i]));
    }
    for ((out, &below), &above) in rest.iter_mut().zip(below_rest).zip(above_rest) {
        *out = blended(below, above);
    }
}

/// A signed map with values in [-1, 1] over `photo`, in a diverging colormap: transparent where it is 0, and
/// more opaque the farther from 0, up to 1.5 times `heat_alpha`.
///
/// # Panics
/// As [`overlay`].
pub fn diverging(photo: &RgbImage, signed: &Heatmap, heat_alpha: f32) -> RgbImage {
    assert_eq!((photo.width, photo.height), (signed.width, signed.height), "sizes of photo and heatmap");
    assert!((0.0..=1.0).contains(&heat_alpha), "opacity {heat_alpha}");
    let most = (1.5 * heat_alpha).min(1.0);
    let colors = Colormap::RdBuR.table();
    let mut picture = photo.clone();
    for (i, &v) in signed.values.iter().enumerate() {
        let (x, y) = (i % photo.width, i / photo.width);
        picture.blend(x, y, colors[index(0.5 + 0.5 * v)], most * v.abs().sqrt().min(1.0));
    }
    picture
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heatmap(values: &[f32]) -> Heatmap {
        Heatmap::new(values, (1, values.len()), (1, values.len()))
    }

    #[test]
    fn opacity_blends_from_the_photo_to_the_color() {
        let photo = RgbImage::new(2, 1, vec![10, 20, 255, 0, 100, 200]);
        let heatmap = heatmap(&[0.0, 1.0]);
        let at = |alpha| overlay(&photo, &heatmap, Colormap::Jet, alpha).rgb;
        assert_eq!(at(0.0), photo.rgb);
        assert_eq!(at(1.0), [0, 0, 128, 128, 0, 0]);
        // (10 + 0) / 2, (20 + 0) / 2, (255 + 128) / 2 = 191.5, rounded up.
        assert_eq!(at(0.5), [5, 10, 192, 64, 50, 100]);
    }

    #[test]
    fn zeros_of_a_signed_map_are_transparent() {
        let photo = RgbImage::filled(3, 1, [100, 150, 200]);
        let mut signed = heatmap(&[0.0, 1.0, 2.0]);
        signed.values = vec![0.0, 1.0, -1.0];
        let picture = diverging(&photo, &signed, 0.5);
        assert_eq!(picture.pixel(0, 0), [100, 150, 200]);
        // Three quarters of the ends, 103, 0, 31 and 5, 48, 97, with a quarter of the photo.
        assert_eq!((picture.pixel(1, 0), picture.pixel(2, 0)), ([102, 38, 73], [29, 74, 123]));
        assert_eq!(diverging(&photo, &signed, 0.0), photo);
    }
}
