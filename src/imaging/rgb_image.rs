//! 8-bit RGB raster image: a decoded photo or a drawn picture.

use crate::util::allocation;

/// 8-bit RGB image in (height, width, 3) order, rows from the top.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RgbImage {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// `height * width * 3` bytes.
    pub rgb: Vec<u8>,
}

impl RgbImage {
    /// An image from its pixels.
    ///
    /// # Panics
    /// When `rgb` does not hold `height * width * 3` bytes.
    pub fn new(width: usize, height: usize, rgb: Vec<u8>) -> Self {
        let bytes = width.checked_mul(height).and_then(|pixels| pixels.checked_mul(3));
        assert_eq!(Some(rgb.len()), bytes, "bytes of a picture of {width} x {height}");
        RgbImage { width, height, rgb }
    }

    /// An image of a single color.
    ///
    /// # Panics
    /// When memory cannot hold it.
    pub fn filled(width: usize, height: usize, color: [u8; 3]) -> Self {
        let len = width.saturating_mul(height).saturating_mul(3);
        let mut rgb = allocation::vec_or_panic("pixels", len, color[0]);
        if color != [color[0]; 3] {
            rgb.as_chunks_mut().0.fill(color);
        }
        RgbImage::new(width, height, rgb)
    }

    /// The pixel in column `x` of row `y`.
    ///
    /// # Panics
    /// When there is none.
    pub fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        let (width, height) = (self.width, self.height);
        assert!(x < width && y < height, "pixel ({x}, {y}) of a picture of {width} x {height}");
        let i = (y * self.width + x) * 3;
        [self.rgb[i], self.rgb[i + 1], self.rgb[i + 2]]
    }
}
