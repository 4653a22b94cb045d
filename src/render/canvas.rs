//! Drawing primitives on an [`RgbImage`]: rectangles, other images, blended pixels; clipped to the image.

use crate::imaging::rgb_image::RgbImage;

/// An RGB color.
pub(super) type Rgb = [u8; 3];

/// A rectangle in whole pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rect {
    pub x: usize,
    pub y: usize,
    pub width: usize,
    pub height: usize,
}

impl RgbImage {
    /// Fills `area` with a color.
    pub(super) fn fill(&mut self, area: Rect, color: Rgb) {
        for y in area.y..area.y + area.height {
            for x in area.x..area.x + area.width {
                self.blend(x, y, color, 1.0);
            }
        }
    }

    /// Copies `other` with its upper left corner at (`x`, `y`).
    pub(super) fn place(&mut self, x: usize, y: usize, other: &RgbImage) {
        for row in 0..other.height {
            for column in 0..other.width {
                self.blend(x + column, y + row, other.pixel(column, row), 1.0);
            }
        }
    }

    /// Blends `color` into one pixel; an `opacity` of 1 replaces it.
    pub(super) fn blend(&mut self, x: usize, y: usize, color: Rgb, opacity: f32) {
        if x >= self.width || y >= self.height {
            return;
        }
        let at = (y * self.width + x) * 3;
        for (below, above) in self.rgb[at..at + 3].iter_mut().zip(color) {
            *below = (f32::from(*below) + (f32::from(above) - f32::from(*below)) * opacity + 0.5) as u8;
        }
    }
}
