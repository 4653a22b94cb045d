//! DistanceField on a picture that can be seen on any photo: white between dark edges, smoothed.

use super::canvas::Rgb;
use super::contour::contour;
use crate::imaging::bounding_box::BoundingBox;
use crate::imaging::heatmap::Heatmap;
use crate::imaging::rgb_image::RgbImage;

const LIGHT: Rgb = [0xff; 3];
const DARK: Rgb = [0x10, 0x12, 0x16];
/// Opacity of the dark edges.
const EDGE: f32 = 0.7;

/// Draws the contour lines of `heatmap` at `levels`; higher levels have wider lines.
///
/// # Panics
/// When the picture and the heatmap differ in size.
pub fn draw_contours(on: &mut RgbImage, heatmap: &Heatmap, levels: &[f32]) {
    assert_eq!((on.width, on.height), (heatmap.width, heatmap.height), "sizes of picture and heatmap");
    if levels.is_empty() {
        return;
    }
    let scale = line_scale(on);
    let mut field = DistanceField::new(on);
    for &level in levels {
        for segment in contour(heatmap, level) {
            field.add(segment, scale * (0.5 + 0.4 * level));
        }
    }
    field.draw(on, 0.8 * scale);
}

/// Draws the outline of `found`, a box in a heatmap of `rows` and `columns` that covers the picture.
pub fn draw_box(on: &mut RgbImage, found: BoundingBox, (rows, columns): (usize, usize)) {
    let scale = line_scale(on);
    let radius = 0.9 * scale;
    let mut field = DistanceField::new(on);
    // In pixels of the picture, whose centers are integers; the whole line stays inside.
    let along = |at: usize, of: usize, pixels: usize| {
        (at as f32 / of as f32 * pixels as f32 - 0.5)
            .clamp(radius, (pixels as f32 - 1.0 - radius).max(radius))
    };
    let (left, right) = (along(found.x, columns, on.width), along(found.x + found.width, columns, on.width));
    let (top, bottom) = (along(found.y, rows, on.height), along(found.y + found.height, rows, on.height));
    let corners = [(left, top), (right, top), (right, bottom), (left, bottom)];
    for i in 0..4 {
        field.add([corners[i], corners[(i + 1) % 4]], radius);
    }
    field.draw(on, scale);
}

/// Line width factor: lines grow with the square root of the picture's size.
fn line_scale(on: &RgbImage) -> f32 {
    (on.width.min(on.height) as f32 / 176.0).sqrt().clamp(0.9, 4.0)
}

/// Signed distance in pixels from the center of each pixel to the edge of the nearest line; negative
/// inside.
struct DistanceField {
    width: usize,
    height: usize,
    distance: Vec<f32>,
}

/// Distance in pixels beyond which nothing is drawn.
const REACH: f32 = 6.0;

impl DistanceField {
    fn new(on: &RgbImage) -> Self {
        DistanceField {
            width: on.width,
            height: on.height,
            distance: vec![f32::INFINITY; on.width * on.height],
        }
    }

    /// Adds a line segment with round caps.
    fn add(&mut self, [from, to]: [(f32, f32); 2], radius: f32) {
        let reach = radius + REACH;
        let span = |a: f32, b: f32, end: usize| {
            let last = (a.max(b) + reach).max(-1.0) + 1.0;
            ((a.min(b) - reach).max(0.0) as usize)..(last as usize).min(end)
        };
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let squared = dx * dx + dy * dy;
        for y in span(from.1, to.1, self.height) {
            for x in span(from.0, to.0, self.width) {
                let (px, py) = (x as f32 - from.0, y as f32 - from.1);
                let along = if squared > 0.0 { ((px * dx + py * dy) / squared).clamp(0.0, 1.0) } else { 0.0 };
                let distance = (px - along * dx).hypot(py - along * dy) - radius;
                let nearest = &mut self.distance[y * self.width + x];
                *nearest = nearest.min(distance);
            }
        }
    }

    /// Draws dark edges of `edge` pixels, then the white lines.
    fn draw(&self, on: &mut RgbImage, edge: f32) {
        for (i, &distance) in self.distance.iter().enumerate() {
            if distance >= REACH {
                continue;
            }
            let covered = |distance: f32| (0.5 - distance).clamp(0.0, 1.0);
            let (x, y) = (i % self.width, i / self.width);
            on.blend(x, y, DARK, EDGE * covered(distance - edge));
            on.blend(x, y, LIGHT, covered(distance));
        }
    }
}
