//! Drawing primitives on an [`RgbImage`]: rectangles, other images, blended pixels; clipped to the image.

use std::ops::Range;

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
        let columns = area.x.min(self.width)..(area.x + area.width).min(self.width);
        for y in area.y..(area.y + area.height).min(self.height) {
            self.row(y, columns.clone()).as_chunks_mut().0.fill(color);
        }
    }

    /// Copies `other` with its upper left corner at (`x`, `y`).
    pub(super) fn place(&mut self, x: usize, y: usize, other: &RgbImage) {
        let columns = x.min(self.width)..(x + other.width).min(self.width);
        for (y, row) in (y..self.height).zip(other.rgb.chunks_exact(3 * other.width.max(1))) {
            let visible = &row[..3 * columns.len()];
            self.row(y, columns.clone()).copy_from_slice(visible);
        }
    }

    /// The pixels of row `y` in `columns`.
    fn row(&mut self, y: usize, columns: Range<usize>) -> &mut [u8] {
        let first = y * self.width;
        &mut self.rgb[3 * (first + columns.start)..3 * (first + columns.end)]
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
