//! Bar charts with a baseline of zero.

use super::axis::{Axis, number};
use super::drawing::{Anchor, Drawing, Geometry, Ink, SMALL};
use super::frame;
use super::frame::{ChartSize, Margins};
use crate::render::text::TextStyle;

/// One bar of [`BarChart`].
#[derive(Debug, Clone)]
pub struct Bar<'a> {
    /// Label below the bar.
    pub label: &'a str,
    /// Value; zero is drawn if it is not finite.
    pub value: f64,
    /// Lower and upper end of an interval around the value, such as a 95 % confidence interval.
    pub interval: Option<(f64, f64)>,
    /// Text above the bar.
    pub text: String,
    /// Whether the bar is emphasized; the others are pale.
    pub strong: bool,
}

/// A bar chart.
#[derive(Debug, Clone, Copy)]
pub struct BarChart<'a> {
    /// Title.
    pub title: &'a str,
    /// Name of the x axis.
    pub x: &'a str,
    /// Name of the y axis, with its unit.
    pub y: &'a str,
    /// Bars from left to right.
    pub bars: &'a [Bar<'a>],
}

impl BarChart<'_> {
    /// Lays out the chart. Labels that would overlap are rotated.
    pub fn draw(&self, size: ChartSize) -> Drawing {
        let (mut drawing, above) = frame::begin(size, self.title, self.y);
        let ends = self.bars.iter().flat_map(|b| b.interval).flat_map(|(low, high)| [low, high]);
        let values = self.bars.iter().map(|b| b.value).chain(ends).filter(|v| v.is_finite());
        let range = values.fold((0.0, 0.0), |(low, high): (f64, f64), v| (low.min(v), high.max(v)));
        let ys = |ends| Axis::round(range, 4, ends);
        let left = frame::left_room(&ys((0.0, 1.0)).ticks, size.heading);
        let right = if size.heading { 24.0 } else { 8.0 };
        let slot = (size.width - left - right) / self.bars.len().max(1) as f64;
        let letters = TextStyle { bold: false, size: SMALL as f32, color: [0; 3] };
        let widths: Vec<f64> = self.bars.iter().map(|b| f64::from(letters.width(b.label))).collect();
        let widest = widths.iter().copied().fold(0.0, f64::max);
        let turned = widths.windows(2).any(|pair| (pair[0] + pair[1]) / 2.0 + 5.0 > slot);
        let labels = if turned { widest.min(size.height / 3.0) } else { 14.0 };
        let margins = Margins { left, above: above + 14.0, right, below: labels + 38.0 };
        let y = ys((size.height - margins.below, margins.above));
        frame::grid(&mut drawing, &y, margins);
        for (i, bar) in self.bars.iter().enumerate() {
            let middle = left + slot * (i as f64 + 0.5);
            draw_bar(&mut drawing, bar, &y, middle, (slot * 0.72).min(72.0));
            let floor = size.height - margins.below;
            let (at, anchor) = if turned {
                ((middle + 4.0, floor + 8.0), Anchor::End)
            } else {
                ((middle, floor + 19.0), Anchor::Middle)
            };
            drawing.text(Ink::Quiet, at, anchor, bar.label).turned = turned;
        }
        let middle = (left + size.width - right) / 2.0;
        drawing.text(Ink::Quiet, (middle, size.height - 13.0), Anchor::Middle, self.x);
        drawing
    }
}

fn draw_bar(drawing: &mut Drawing, bar: &Bar, y: &Axis, middle: f64, width: f64) {
    let value = if bar.value.is_finite() { bar.value } else { 0.0 };
    let (top, floor) = (y.at(value.max(0.0)), y.at(value.min(0.0)));
    let ink = Ink::Series(0);
    let tip =
        format!("{}: {}", bar.label, if bar.text.is_empty() { number(value) } else { bar.text.clone() });
    let area = Geometry::Rect { x: middle - width / 2.0, y: top, width, height: floor - top };
    drawing.add(ink, area).opacity(if bar.strong { 1.0 } else { 0.4 }).tip(tip);
    let mut highest = top;
    if let Some((low, high)) = bar.interval.filter(|(low, high)| low.is_finite() && high.is_finite()) {
        drawing.line(Ink::Text, 1.5, vec![(middle, y.at(low)), (middle, y.at(high))]);
        highest = highest.min(y.at(high));
    }
    drawing.text(Ink::Text, (middle, highest - 6.0), Anchor::Middle, &bar.text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(label: &str, value: f64) -> Bar<'_> {
        Bar { label, value, interval: None, text: number(value), strong: true }
    }

    fn heights(bars: &[Bar]) -> Vec<f64> {
        let drawing = BarChart { title: "T", x: "x", y: "y", bars }.draw(ChartSize::FILE);
        let height = |mark: &crate::render::chart::drawing::Mark| match mark.geometry {
            Geometry::Rect { height, .. } => Some(height),
            _ => None,
        };
        drawing.marks.iter().filter_map(height).collect()
    }

    #[test]
    fn bar_heights_are_proportional_to_values() {
        let heights = heights(&[bar("a", 1.0), bar("b", 4.0), bar("c", f64::NAN)]);
        assert!((heights[1] - 4.0 * heights[0]).abs() < 1e-9, "{heights:?}");
        assert!(heights[0] > 10.0 && heights[2] == 0.0, "{heights:?}");
    }

    #[test]
    fn long_labels_are_rotated() {
        let turned = |label: &str| {
            let bars: Vec<Bar> = (0..20).map(|_| bar(label, 1.0)).collect();
            BarChart { title: "", x: "", y: "", bars: &bars }.draw(ChartSize::FILE).svg().contains("rotate")
        };
        assert!(turned("automobile") && !turned("1"));
    }
}
