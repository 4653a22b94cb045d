//! A raster of 8-bit RGB pixels: a decoded photo, or a picture that we drew.

/// 8-bit RGB, row by row from the top, three bytes a pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RgbImage {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `height * width * 3` bytes.
    pub rgb: Vec<u8>,
}

impl RgbImage {
    /// A picture from its pixels.
    ///
    /// # Panics
    /// When `rgb` does not hold `height * width * 3` bytes.
    pub fn new(width: usize, height: usize, rgb: Vec<u8>) -> Self {
        assert_eq!(rgb.len(), width * height * 3, "picture of {width} x {height}");
        RgbImage { width, height, rgb }
    }

    /// A picture of one color.
    pub fn filled(width: usize, height: usize, color: [u8; 3]) -> Self {
        RgbImage::new(width, height, color.repeat(width * height))
    }

    /// The pixel in column `x` of row `y`.
    pub fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        let i = (y * self.width + x) * 3;
        [self.rgb[i], self.rgb[i + 1], self.rgb[i + 2]]
    }
}
