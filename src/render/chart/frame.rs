//! What charts with two axes share: heading, grid, ticks, names of the axes.

use super::axis::{Axis, number};
use super::drawing::{Anchor, Drawing, Ink, TITLE};

/// How large a chart is, and whether it carries its own heading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChartSize {
    /// Width in pixels.
    pub width: f64,
    /// Height in pixels; a [`super::MatrixChart`] takes what it needs.
    pub height: f64,
    /// Whether the title is written over the chart: a page may have it beside.
    pub heading: bool,
}

impl ChartSize {
    /// A file of its own.
    pub const FILE: ChartSize = ChartSize { width: 720.0, height: 420.0, heading: true };
    /// A part of a page that has the title beside it.
    pub const PAGE: ChartSize = ChartSize { width: 560.0, height: 320.0, heading: false };
}

/// The margins around the data: left, above, right, below.
#[derive(Debug, Clone, Copy)]
pub(super) struct Margins {
    pub left: f64,
    pub above: f64,
    pub right: f64,
    pub below: f64,
}

/// An empty drawing with its heading: the title, and under it what the y axis shows.
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

/// Horizontal grid lines with their numbers.
pub(super) fn grid(drawing: &mut Drawing, y: &Axis, margins: Margins) {
    let right = drawing.width - margins.right;
    for &tick in &y.ticks {
        let at = y.at(tick);
        drawing.line(Ink::Rule, 1.0, vec![(margins.left, at), (right, at)]);
        drawing.text(Ink::Quiet, (margins.left - 8.0, at + 4.0), Anchor::End, &number(tick));
    }
}

/// The numbers under the x axis and, under them, its name.
pub(super) fn below(drawing: &mut Drawing, x: &Axis, name: &str, margins: Margins) {
    let floor = drawing.height - margins.below;
    for &tick in &x.ticks {
        drawing.text(Ink::Quiet, (x.at(tick), floor + 19.0), Anchor::Middle, &number(tick));
    }
    let middle = (margins.left + drawing.width - margins.right) / 2.0;
    drawing.text(Ink::Quiet, (middle, floor + 39.0), Anchor::Middle, name);
}

/// Margins on the left for the numbers of `y`.
pub(super) fn left_room(ticks: &[f64], heading: bool) -> f64 {
    let longest = ticks.iter().map(|&t| number(t).chars().count()).max().unwrap_or(1);
    let margin = if heading { 16.0 } else { 0.0 };
    margin + 12.0 + 7.6 * longest as f64
}
