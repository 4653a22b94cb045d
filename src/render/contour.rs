//! Contour lines of a heatmap at a given level, by marching squares.

use crate::imaging::heatmap::Heatmap;

/// A line segment between two points (x, y) in pixels; the center of pixel (0, 0) is (0, 0).
pub type Segment = [(f32, f32); 2];

/// Segments of the contour between values of at least `level` and values below, in no particular order.
/// The map is interpolated linearly between pixels. On a saddle, the mean of the four corners decides which
/// corners are connected.
pub fn contour(heatmap: &Heatmap, level: f32) -> Vec<Segment> {
    let mut segments = Vec::new();
    let rows = heatmap.values.chunks_exact(heatmap.width);
    for (y, (upper, lower)) in rows.clone().zip(rows.skip(1)).enumerate() {
        for (x, (above, below)) in upper.windows(2).zip(lower.windows(2)).enumerate() {
            let corners = [above[0], above[1], below[1], below[0]];
            let high = corners.map(|v| v >= level);
            if high.iter().any(|&h| h != high[0]) {
                let at = |(dx, dy): (f32, f32)| (x as f32 + dx, y as f32 + dy);
                segments.extend(
                    square(corners, high, level).into_iter().flatten().map(|segment| segment.map(at)),
                );
            }
        }
    }
    segments
}

/// The one or two segments in a square whose corners, clockwise from the upper left, are not all on the
/// same side of the level.
fn square(corners: [f32; 4], high: [bool; 4], level: f32) -> [Option<Segment>; 2] {
    let [a, b, c, d] = corners;
    let share = |from: f32, to: f32| (level - from) / (to - from);
    let crossing = |edge: usize| match edge {
        0 => (share(a, b), 0.0),
        1 => (1.0, share(b, c)),
        2 => (share(d, c), 1.0),
        _ => (0.0, share(a, d)),
    };
    let crossed = |edge: &usize| high[*edge] != high[(*edge + 1) % 4];
    let mut edges = (0..4).filter(crossed);
    let mut segment = || Some([crossing(edges.next()?), crossing(edges.next()?)]);
    let (first, second) = (segment(), segment());
    match (first, second) {
        (Some([top, right]), Some([bottom, left])) => {
            let joined = (a + b + c + d) / 4.0 >= level;
            if joined == high[0] {
                [Some([top, right]), Some([bottom, left])]
            } else {
                [Some([top, left]), Some([right, bottom])]
            }
        }
        segments => [segments.0, segments.1],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(width: usize, values: &[f32], level: f32) -> Vec<Segment> {
        let size = (values.len() / width, width);
        contour(&Heatmap::new(values, size, size), level)
    }

    #[test]
    fn a_contour_crosses_a_slope_at_its_level() {
        assert_eq!(segments(3, &[0.0, 0.5, 1.0, 0.0, 0.5, 1.0], 0.75), [[(1.5, 0.0), (1.5, 1.0)]]);
        assert_eq!(segments(2, &[0.0, 0.0, 1.0, 1.0], 0.25), [[(1.0, 0.25), (0.0, 0.25)]]);
    }

    #[test]
    fn the_mean_resolves_a_saddle() {
        let [low, high] = [0.4, 0.6].map(|level| segments(2, &[1.0, 0.0, 0.0, 1.0], level));
        // The mean is 0.5: at 0.4 the high corners are connected, at 0.6 they are separate.
        assert_eq!((low.len(), high.len()), (2, 2));
        assert!(low[0][0].1 == 0.0 && low[0][1].0 == 1.0, "{low:?}");
        assert!(high[0][0].1 == 0.0 && high[0][1].0 == 0.0, "{high:?}");
    }

    #[test]
    fn a_constant_map_or_a_single_pixel_has_no_contour() {
        assert_eq!(segments(2, &[3.0; 4], 0.5), Vec::<Segment>::new());
        assert_eq!(segments(1, &[1.0], 0.5), Vec::<Segment>::new());
        assert_eq!(segments(3, &[0.0, f32::NAN, 1.0], 0.5), Vec::<Segment>::new());
    }
}
