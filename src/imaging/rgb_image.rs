//! 8-bit RGB raster image: a decoded photo or a drawn picture.

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
        assert_eq!(rgb.len(), width * height * 3, "picture of {width} x {height}");
        RgbImage { width, height, rgb }
    }

    /// An image of a single color.
    pub fn filled(width: usize, height: usize, color: [u8; 3]) -> Self {
        RgbImage::new(width, height, color.repeat(width * height))
    }

    /// The pixel in column `x` of row `y`.
    pub fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        let i = (y * self.width + x) * 3;
        [self.rgb[i], self.rgb[i + 1], self.rgb[i + 2]]
    }
}
