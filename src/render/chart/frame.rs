//! Layout shared by charts with two axes: title, grid, tick labels, axis names.

use super::axis::{Axis, number};
use super::drawing::{Anchor, Drawing, Ink, TITLE};

/// Size of a chart, and whether it includes its title.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChartSize {
    /// Width in pixels.
    pub width: f64,
    /// Height in pixels; a [`super::MatrixChart`] determines its own.
    pub height: f64,
    /// Whether the title is drawn; an HTML page may show it itself.
    pub heading: bool,
}

impl ChartSize {
    /// Size of a chart file.
    pub const FILE: ChartSize = ChartSize { width: 720.0, height: 420.0, heading: true };
    /// Size of a chart inside a page.
    pub const PAGE: ChartSize = ChartSize { width: 560.0, height: 320.0, heading: false };
}

/// Margins around the plot area in pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Margins {
    pub left: f64,
    pub above: f64,
    pub right: f64,
    pub below: f64,
}

/// An empty drawing with the title and the name of the y axis; also returns the height that they use.
pub(super) fn begin(size: ChartSize, title: &str, y: &str) -> (Drawing, f64) {
    let mut drawing = Drawing::new(size.width, size.height, title.into());
    let mut below = 4.0;
    if size.heading {
        let text = drawing.text(Ink::Text, (16.0, 28.0), Anchor::Start, title);
        (text.size, text.bold) = (TITLE, true);
        below = 36.0;
    }
    if !y.is_empty() {
        let left = if size.heading { 16.0 } else { 0.0 };
        drawing.text(Ink::Quiet, (left, below + 13.0), Anchor::Start, y);
        below += 24.0;
    }
    (drawing, below + 8.0)
}

/// Draws horizontal grid lines with tick labels.
pub(super) fn grid(drawing: &mut Drawing, y: &Axis, margins: Margins) {
    let right = drawing.width - margins.right;
    for &tick in &y.ticks {
        let at = y.at(tick);
        drawing.line(Ink::Rule, 1.0, vec![(margins.left, at), (right, at)]);
        drawing.text(Ink::Quiet, (margins.left - 8.0, at + 4.0), Anchor::End, &number(tick));
    }
}

/// Draws tick labels and the name below the x axis.
pub(super) fn below(drawing: &mut Drawing, x: &Axis, name: &str, margins: Margins) {
    let floor = drawing.height - margins.below;
    for &tick in &x.ticks {
        drawing.text(Ink::Quiet, (x.at(tick), floor + 19.0), Anchor::Middle, &number(tick));
    }
    let middle = (margins.left + drawing.width - margins.right) / 2.0;
    drawing.text(Ink::Quiet, (middle, floor + 39.0), Anchor::Middle, name);
}

/// Left margin that fits the tick labels of the y axis, in pixels.
pub(super) fn left_room(ticks: &[f64], heading: bool) -> f64 {
    let longest = ticks.iter().map(|&t| number(t).chars().count()).max().unwrap_or(1);
    let margin = if heading { 16.0 } else { 0.0 };
    margin + 12.0 + 7.6 * longest as f64
}
