//! Rasterization of a drawing, and the themes' colors.

use ab_glyph_rasterizer::{Rasterizer, point};

use super::drawing::{Anchor, Drawing, Geometry, Ink, Mark, Point, TextMark};
use crate::imaging::rgb_image::RgbImage;
use crate::render::canvas::Rgb;
use crate::render::text::TextStyle;

/// Color theme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    /// Dark on white.
    Light,
    /// Light on black.
    Dark,
}

/// Series colors: Okabe and Ito's hues, distinguishable under color vision deficiency, darkened (on white) or
/// lightened (on black) to the contrast of text.
const SERIES: [[Rgb; Ink::SERIES]; 2] = [
    [
        [0x00, 0x62, 0xa3], // blue
        [0xb5, 0x47, 0x08], // vermilion
        [0x00, 0x77, 0x58], // green
        [0x9c, 0x3d, 0x77], // purple
        [0x85, 0x5f, 0x00], // ochre
        [0x4f, 0x5b, 0x66], // slate
    ],
    [
        [0x62, 0xb2, 0xee],
        [0xff, 0x96, 0x5c],
        [0x3c, 0xc9, 0xa1],
        [0xe6, 0x9a, 0xc8],
        [0xe3, 0xb3, 0x41],
        [0xa9, 0xb4, 0xbf],
    ],
];

impl Theme {
    pub(super) fn color(self, ink: Ink) -> Rgb {
        match (self, ink) {
            (Theme::Light, Ink::Paper) => [0xff; 3],
            (Theme::Light, Ink::Text) => [0x1c, 0x1e, 0x21],
            (Theme::Light, Ink::Quiet) => [0x5b, 0x62, 0x69],
            (Theme::Light, Ink::Rule) => [0xe1, 0xe3, 0xe6],
            (Theme::Dark, Ink::Paper) => [0x14, 0x16, 0x19],
            (Theme::Dark, Ink::Text) => [0xe8, 0xea, 0xed],
            (Theme::Dark, Ink::Quiet) => [0xa3, 0xab, 0xb3],
            (Theme::Dark, Ink::Rule) => [0x33, 0x38, 0x3d],
            (_, Ink::Series(i)) => SERIES[self as usize][i % Ink::SERIES],
        }
    }
}

impl Drawing {
    /// Rasterizes the drawing at `scale` times its size.
    pub fn picture(&self, theme: Theme, scale: f64) -> RgbImage {
        let side = |length: f64| (length * scale).ceil().max(1.0) as usize;
        let paper = theme.color(Ink::Paper);
        let mut page = RgbImage::filled(side(self.width), side(self.height), paper);
        self.marks.iter().for_each(|mark| draw(&mut page, mark, theme, scale));
        page
    }
}

fn draw(page: &mut RgbImage, mark: &Mark, theme: Theme, scale: f64) {
    let color = theme.color(mark.ink);
    let mut fill = |outlines: &[Vec<Point>]| fill(page, outlines, scale, color, mark.opacity as f32);
    match &mark.geometry {
        &Geometry::Rect { x, y, width, height } => {
            fill(&[vec![(x, y), (x + width, y), (x + width, y + height), (x, y + height)]]);
        }
        &Geometry::Circle { x, y, r } => fill(&[circle((x, y), r)]),
        Geometry::Line { points, width } => fill(&stroke(points, *width)),
        Geometry::Area { points } => fill(std::slice::from_ref(points)),
        Geometry::Text(text) => draw_text(page, text, color, scale),
    }
}

/// A circle as a polygon.
fn circle((x, y): Point, r: f64) -> Vec<Point> {
    const CORNERS: usize = 48;
    let corner = |i: usize| (std::f64::consts::TAU * i as f64 / CORNERS as f64).sin_cos();
    (0..CORNERS).map(corner).map(|(sin, cos)| (x + r * cos, y + r * sin)).collect()
}

/// Outlines of a line: a rectangle for each segment, a disc at each joint.
fn stroke(points: &[Point], width: f64) -> Vec<Vec<Point>> {
    let half = width / 2.0;
    let piece = |ends: &[Point]| {
        let ((ax, ay), (bx, by)) = (ends[0], ends[1]);
        let length = (bx - ax).hypot(by - ay).max(1e-9);
        let (dx, dy) = ((by - ay) / length * half, (ax - bx) / length * half);
        vec![(ax + dx, ay + dy), (bx + dx, by + dy), (bx - dx, by - dy), (ax - dx, ay - dy)]
    };
    let inner = points.get(1..points.len().saturating_sub(1)).unwrap_or_default();
    points.windows(2).map(piece).chain(inner.iter().map(|&at| circle(at, half))).collect()
}

/// Fills the union of the outlines.
fn fill(page: &mut RgbImage, outlines: &[Vec<Point>], scale: f64, color: Rgb, opacity: f32) {
    let corners = || outlines.iter().flatten().map(|&(x, y)| (x * scale, y * scale));
    let least = |pick: fn(Point) -> f64| corners().map(pick).fold(f64::MAX, f64::min).floor().max(0.0);
    let most = |pick: fn(Point) -> f64| corners().map(pick).fold(0.0, f64::max).ceil();
    let (left, top) = (least(|p| p.0), least(|p| p.1));
    let right = most(|p| p.0).min(page.width as f64);
    let bottom = most(|p| p.1).min(page.height as f64);
    if right <= left || bottom <= top {
        return;
    }
    let mut area = Rasterizer::new((right - left) as usize, (bottom - top) as usize);
    for outline in outlines {
        // A corner far outside would cost time for each pixel between it and the page.
        let near = |at: f64, side: usize| at.clamp(-(side as f64), 2.0 * side as f64);
        let corner = |&(x, y): &Point| {
            let (x, y) = (near(x * scale, page.width), near(y * scale, page.height));
            point((x - left) as f32, (y - top) as f32)
        };
        // All outlines get the same orientation, so that overlaps count as inside.
        let turns = signed_area(outline) < 0.0;
        for (i, from) in outline.iter().enumerate() {
            let (from, to) = (corner(from), corner(&outline[(i + 1) % outline.len()]));
            if turns { area.draw_line(to, from) } else { area.draw_line(from, to) }
        }
    }
    area.for_each_pixel_2d(|x, y, covered| {
        if covered > 0.0 {
            page.blend(
                left as usize + x as usize,
                top as usize + y as usize,
                color,
                covered.min(1.0) * opacity,
            );
        }
    });
}

fn signed_area(outline: &[Point]) -> f64 {
    let next = outline.iter().cycle().skip(1);
    outline.iter().zip(next).map(|((ax, ay), (bx, by))| ax * by - bx * ay).sum()
}

fn draw_text(page: &mut RgbImage, text: &TextMark, color: Rgb, scale: f64) {
    let style = TextStyle { bold: text.bold, size: (text.size * scale) as f32, color };
    let line = style.fit(&text.text, f32::INFINITY);
    let length = style.width(&line);
    let shift = match text.anchor {
        Anchor::Start => 0.0,
        Anchor::Middle => length / 2.0,
        Anchor::End => length,
    };
    let (x, y) = ((text.x * scale) as f32, (text.y * scale) as f32);
    if text.turned {
        style.draw_upwards(page, x, y + shift, &line);
    } else {
        style.draw(page, x - shift, y, &line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Area that `geometry` covers on a 20 x 20 page, and its centroid.
    fn cover(geometry: Geometry, scale: f64) -> (f64, f64, f64) {
        let mut drawing = Drawing::new(20.0, 20.0, String::new());
        drawing.add(Ink::Text, geometry);
        let page = drawing.picture(Theme::Light, scale);
        let (paper, ink) = (255.0, f64::from(Theme::Light.color(Ink::Text)[0]));
        let (mut sum, mut x, mut y) = (0.0, 0.0, 0.0);
        for i in 0..page.width * page.height {
            let covered = (paper - f64::from(page.rgb[3 * i])) / (paper - ink);
            sum += covered;
            x += covered * ((i % page.width) as f64 + 0.5);
            y += covered * ((i / page.width) as f64 + 0.5);
        }
        (sum / scale / scale, x / sum / scale, y / sum / scale)
    }

    #[track_caller]
    fn close((area, x, y): (f64, f64, f64), expected: (f64, f64, f64)) {
        assert!((area - expected.0).abs() < 0.02 * expected.0, "area {area}, {expected:?}");
        assert!((x - expected.1).abs() < 0.1 && (y - expected.2).abs() < 0.1, "{x} {y}, {expected:?}");
    }

    #[test]
    fn marks_cover_their_area() {
        for scale in [1.0, 2.0, 3.5] {
            let rect = Geometry::Rect { x: 2.3, y: 4.0, width: 5.5, height: 3.25 };
            close(cover(rect, scale), (5.5 * 3.25, 5.05, 5.625));
            let circle = Geometry::Circle { x: 10.0, y: 8.0, r: 4.0 };
            close(cover(circle, scale), (std::f64::consts::PI * 16.0, 10.0, 8.0));
            let points = vec![(2.0, 2.0), (14.0, 7.0)];
            close(cover(Geometry::Line { points, width: 2.0 }, scale), (26.0, 8.0, 4.5));
            let points = vec![(1.0, 1.0), (1.0, 10.0), (10.0, 1.0)];
            close(cover(Geometry::Area { points }, scale), (40.5, 4.0, 4.0));
        }
    }

    #[test]
    fn a_bent_line_has_no_hole_where_segments_overlap() {
        let points = vec![(2.0, 10.0), (10.0, 10.0), (10.0, 2.0), (10.0, 18.0)];
        let mut drawing = Drawing::new(20.0, 20.0, String::new());
        drawing.line(Ink::Text, 4.0, points);
        let page = drawing.picture(Theme::Light, 1.0);
        for (x, y) in [(3, 10), (9, 9), (10, 10), (10, 4), (10, 16)] {
            assert_eq!(page.pixel(x, y), Theme::Light.color(Ink::Text), "{x} {y}");
        }
    }

    #[test]
    fn marks_are_clipped_to_the_page() {
        let mut drawing = Drawing::new(20.0, 20.0, String::new());
        drawing.add(Ink::Text, Geometry::Rect { x: -50.0, y: -50.0, width: 20.0, height: 20.0 });
        drawing.add(Ink::Text, Geometry::Rect { x: 15.0, y: 15.0, width: 1e6, height: 1e6 });
        drawing.line(Ink::Text, 1.0, vec![]);
        drawing.line(Ink::Text, 1.0, vec![(-5.0, 3.0), (-1.0, 3.0)]);
        let page = drawing.picture(Theme::Light, 1.0);
        assert_eq!((page.pixel(3, 3), page.pixel(18, 18)), ([255; 3], Theme::Light.color(Ink::Text)));
    }
}
