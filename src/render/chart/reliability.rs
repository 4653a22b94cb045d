//! Reliability diagrams: accuracy against confidence.

use super::axis::Axis;
use super::drawing::{Anchor, Drawing, Geometry, Ink, Point};
use super::frame;
use super::frame::{ChartSize, Margins};

/// A bin of predictions of similar confidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReliabilityBin {
    /// Mean confidence, 0 to 1.
    pub confidence: f64,
    /// Accuracy, 0 to 1.
    pub accuracy: f64,
    /// Number of images.
    pub images: usize,
}

/// A reliability diagram (Guo et al., 2017, figure 4). Each bin is a disc at its mean confidence whose area
/// is proportional to its number of images.
#[derive(Debug, Clone, Copy)]
pub struct ReliabilityDiagram<'a> {
    /// Title.
    pub title: &'a str,
    /// Bins by ascending confidence; empty ones are left out.
    pub bins: &'a [ReliabilityBin],
}

/// Radius in pixels of a disc of all images, and minimum radius.
const MAX_RADIUS: f64 = 18.0;
const MIN_RADIUS: f64 = 3.0;

impl ReliabilityDiagram<'_> {
    /// Lays out the chart.
    pub fn draw(&self, size: ChartSize) -> Drawing {
        let (mut drawing, above) = frame::begin(size, self.title, "Right, %");
        let margins = Margins {
            left: frame::left_room(&[100.0], size.heading),
            above: above + 6.0,
            right: 24.0,
            below: 52.0,
        };
        let ticks = || (0..=5).map(|i| 20.0 * f64::from(i)).collect();
        let y = Axis::exact(ticks(), (size.height - margins.below, margins.above));
        let x = Axis::exact(ticks(), (margins.left + 8.0, size.width - margins.right));
        frame::grid(&mut drawing, &y, margins);
        frame::below(&mut drawing, &x, "confidence, %", margins);
        drawing.line(Ink::Quiet, 1.0, vec![(x.at(0.0), y.at(0.0)), (x.at(100.0), y.at(100.0))]);
        let place = (x.at(40.0) - 10.0, y.at(40.0) - 8.0);
        drawing.text(Ink::Quiet, place, Anchor::End, "as sure as right");
        let all = self.bins.iter().map(|bin| bin.images).sum::<usize>().max(1) as f64;
        let shown =
            self.bins.iter().filter(|b| b.images > 0 && b.confidence.is_finite() && b.accuracy.is_finite());
        let at = |bin: &ReliabilityBin| (x.at(100.0 * bin.confidence), y.at(100.0 * bin.accuracy));
        let line: Vec<Point> = shown.clone().map(at).collect();
        drawing.line(Ink::Series(0), 2.0, line).opacity(0.6);
        for bin in shown {
            let (cx, cy) = at(bin);
            let r = MIN_RADIUS.max(MAX_RADIUS * (bin.images as f64 / all).sqrt());
            let images = if bin.images == 1 { "image" } else { "images" };
            let (sure, right) = (100.0 * bin.confidence, 100.0 * bin.accuracy);
            let tip = format!("{} {images}: {sure:.1} % sure, {right:.1} % right", bin.images);
            drawing.add(Ink::Series(0), Geometry::Circle { x: cx, y: cy, r }).opacity(0.7).tip(tip);
        }
        drawing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disc_areas_are_proportional_to_image_counts() {
        let bin = |confidence, accuracy, images| ReliabilityBin { confidence, accuracy, images };
        let bins = [bin(0.5, 0.5, 25), bin(0.6, f64::NAN, 0), bin(0.9, 0.8, 75)];
        let drawing = ReliabilityDiagram { title: "T", bins: &bins }.draw(ChartSize::FILE);
        let discs: Vec<_> = drawing
            .marks
            .iter()
            .filter_map(|mark| match mark.geometry {
                Geometry::Circle { x, y, r } => Some((x, y, r)),
                _ => None,
            })
            .collect();
        let [(ax, ay, ar), (bx, by, br)] = discs[..] else { panic!("{discs:?}") };
        assert!((br * br / (ar * ar) - 3.0).abs() < 1e-9 && bx > ax && by < ay, "{discs:?}");
    }
}
