//! Encoding of images as PNG, JPEG and WebP.

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, ImageEncoder};

use super::rgb_image::RgbImage;

/// The bytes of a PNG file, encoded for speed rather than size: one filter for all rows, which on overlays and strips
/// gives the size of choosing one for each row, and a deflate of one pass (levels: benches/NOTES.md).
///
/// # Panics
/// When the image is empty, exceeds the limit of PNG (2^31 pixels per side), or has more or fewer bytes than its
/// pixels.
pub fn encode_png(picture: &RgbImage) -> Vec<u8> {
    assert_encodable(picture, i32::MAX as usize);
    let mut bytes = Vec::with_capacity(picture.rgb.len() / 2);
    let encoder = PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Paeth);
    let (width, height) = (picture.width as u32, picture.height as u32);
    encoder
        .write_image(&picture.rgb, width, height, ExtendedColorType::Rgb8)
        .expect("encoding a non-empty image into memory succeeds");
    bytes
}

/// The bytes of a JPEG file without chroma subsampling, at a quality from 1 to 100 (OpenCV's default is
/// 95).
///
/// # Panics
/// When the image is empty, exceeds the limit of JPEG (65535 pixels per side), or has more or fewer bytes than its
/// pixels; when the quality is out of range.
pub fn encode_jpeg(picture: &RgbImage, quality: u8) -> Vec<u8> {
    assert_encodable(picture, usize::from(u16::MAX));
    assert!((1..=100).contains(&quality), "a quality of {quality}, expected 1 to 100");
    let mut bytes = Vec::new();
    let (width, height) = (picture.width as u32, picture.height as u32);
    JpegEncoder::new_with_quality(&mut bytes, quality)
        .write_image(&picture.rgb, width, height, ExtendedColorType::Rgb8)
        .expect("encoding a non-empty image into memory succeeds");
    bytes
}

/// The bytes of a WebP file, lossless.
///
/// # Panics
/// When the image is empty, exceeds the limit of WebP (16384 pixels per side), or has more or fewer bytes than its
/// pixels.
pub fn encode_webp(picture: &RgbImage) -> Vec<u8> {
    assert_encodable(picture, 1 << 14);
    let mut bytes = Vec::new();
    let (width, height) = (picture.width as u32, picture.height as u32);
    WebPEncoder::new_lossless(&mut bytes)
        .write_image(&picture.rgb, width, height, ExtendedColorType::Rgb8)
        .expect("encoding a non-empty image into memory succeeds");
    bytes
}

/// Assertion that `picture` has sides of 1 to `max` pixels, and their bytes.
///
/// # Panics
/// When it has not.
fn assert_encodable(picture: &RgbImage, max: usize) {
    let RgbImage { width, height, ref rgb } = *picture;
    let sides = 1..=max;
    assert!(
        sides.contains(&width) && sides.contains(&height),
        "a picture of {width} x {height}, sides 1 to {max}"
    );
    assert_eq!(Some(rgb.len()), (3 * width).checked_mul(height), "bytes of a picture of {width} x {height}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn png_and_webp_are_lossless() {
        let rgb = (0..37 * 23 * 3).map(|i| (i * 7919 % 251) as u8).collect();
        let picture = RgbImage::new(37, 23, rgb);
        for bytes in [encode_png(&picture), encode_webp(&picture)] {
            let back = crate::imaging::decode(&bytes, std::path::Path::new("made here")).unwrap();
            assert_eq!(back, picture);
        }
    }

    #[test]
    fn jpeg_of_high_quality_is_nearly_lossless() {
        let rgb = (0..61 * 43).flat_map(|i| [i % 61 * 4, i / 61 * 5, 255 - i % 61 * 2].map(|v| v as u8));
        let picture = RgbImage::new(61, 43, rgb.collect());
        let back =
            crate::imaging::decode(&encode_jpeg(&picture, 95), std::path::Path::new("made here")).unwrap();
        assert_eq!((back.width, back.height), (61, 43));
        let worst = back.rgb.iter().zip(&picture.rgb).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(worst <= Some(6), "{worst:?} levels apart");
    }
}
