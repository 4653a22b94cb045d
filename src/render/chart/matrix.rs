//! Matrix charts: a table of values as shades, such as a confusion matrix.

use super::drawing::{Anchor, Drawing, Geometry, Ink, Point, SMALL};
use super::frame;
use super::frame::ChartSize;
use crate::render::text::TextStyle;

/// A matrix chart.
#[derive(Debug, Clone, Copy)]
pub struct MatrixChart<'a> {
    /// Title.
    pub title: &'a str,
    /// Name of the rows.
    pub y: &'a str,
    /// Name of the columns.
    pub x: &'a str,
    /// Row labels, from the top.
    pub rows: &'a [String],
    /// Column labels.
    pub columns: &'a [String],
    /// (rows, columns) values; a cell is left empty if its value is not finite.
    pub values: &'a [f64],
    /// Values of the palest and the darkest shade.
    pub shades: (f64, f64),
    /// Formats a value; small cells have no text.
    pub text: fn(f64) -> String,
}

/// Maximum width and height of a cell.
const MAX_WIDTH: f64 = 64.0;
const MAX_HEIGHT: f64 = 30.0;
/// Minimum width of a cell with text.
const MIN_TEXT_WIDTH: f64 = 26.0;

impl MatrixChart<'_> {
    /// Lays out the chart with the width of `size` and the height that its rows need.
    ///
    /// # Panics
    /// When the number of `values` is not rows x columns.
    pub fn draw(&self, size: ChartSize) -> Drawing {
        let MatrixChart { rows, columns, values, .. } = self;
        assert_eq!(values.len(), rows.len() * columns.len(), "matrix '{}'", self.title);
        let (mut drawing, above) = frame::begin(size, self.title, "");
        let letters = TextStyle { bold: false, size: SMALL as f32, color: [0; 3] };
        let widest = |names: &[String]| names.iter().map(|n| f64::from(letters.width(n))).fold(0.0, f64::max);
        let margin = if size.heading { 16.0 } else { 0.0 };
        let left = margin + 10.0 + widest(rows).min(size.width * 0.3);
        let cell = ((size.width - left - margin - 2.0) / columns.len().max(1) as f64).min(MAX_WIDTH);
        let turned = widest(columns) > cell - 4.0;
        let names = if turned { widest(columns).min(160.0) + 6.0 } else { 18.0 };
        let high = cell.min(MAX_HEIGHT);
        // One line for both names: "true class by predicted class".
        drawing.text(Ink::Quiet, (margin, above + 9.0), Anchor::Start, &format!("{} by {}", self.y, self.x));
        let top = above + 24.0 + names;
        drawing.height = top + high * rows.len() as f64 + 12.0;
        for (i, name) in columns.iter().enumerate() {
            let middle = left + cell * (i as f64 + 0.5);
            let (at, anchor) = if turned {
                ((middle + 4.0, top - 6.0), Anchor::Start)
            } else {
                ((middle, top - 8.0), Anchor::Middle)
            };
            drawing.text(Ink::Quiet, at, anchor, &letters.fit(name, 160.0)).turned = turned;
        }
        for (row, name) in rows.iter().enumerate() {
            let y = top + high * row as f64;
            let at = (left - 8.0, y + high / 2.0 + 4.5);
            drawing.text(Ink::Quiet, at, Anchor::End, &letters.fit(name, (size.width * 0.3) as f32));
            for column in 0..columns.len() {
                self.draw_cell(&mut drawing, (row, column), (left + cell * column as f64, y), (cell, high));
            }
        }
        drawing
    }

    fn draw_cell(
        &self,
        drawing: &mut Drawing,
        (row, column): (usize, usize),
        (x, y): Point,
        (width, height): (f64, f64),
    ) {
        let value = self.values[row * self.columns.len() + column];
        if !value.is_finite() {
            return;
        }
        let (low, high) = self.shades;
        let shade = if high > low { ((value - low) / (high - low)).clamp(0.0, 1.0) } else { 0.0 };
        let tip = format!("{}, {}: {}", self.rows[row], self.columns[column], (self.text)(value));
        let area = Geometry::Rect { x: x + 1.0, y: y + 1.0, width: width - 2.0, height: height - 2.0 };
        drawing.add(Ink::Series(0), area).opacity(0.04 + 0.9 * shade).tip(tip);
        if width >= MIN_TEXT_WIDTH && height >= 16.0 {
            let ink = if shade > 0.75 { Ink::Paper } else { Ink::Text };
            let at = (x + width / 2.0, y + height / 2.0 + 4.5);
            drawing.text(ink, at, Anchor::Middle, &(self.text)(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(values: &[f64], columns: usize) -> Drawing {
        let names = |n: usize| (0..n).map(|i| format!("class {i}")).collect::<Vec<_>>();
        let (rows, columns) = (names(values.len() / columns), names(columns));
        let text = |v: f64| format!("{v:.0}");
        MatrixChart {
            title: "T",
            y: "true",
            x: "said",
            rows: &rows,
            columns: &columns,
            values,
            shades: (0.0, 4.0),
            text,
        }
        .draw(ChartSize::FILE)
    }

    fn shades(drawing: &Drawing) -> Vec<f64> {
        let rects = drawing.marks.iter().filter(|mark| matches!(mark.geometry, Geometry::Rect { .. }));
        rects.map(|mark| mark.opacity).collect()
    }

    #[test]
    fn larger_values_are_darker_and_non_finite_cells_are_empty() {
        let shades = shades(&matrix(&[0.0, 1.0, 4.0, f64::NAN], 2));
        assert_eq!(shades.len(), 3);
        assert!(shades[0] < shades[1] && shades[1] < shades[2] && shades[2] <= 1.0, "{shades:?}");
    }

    #[test]
    fn small_cells_have_no_text() {
        let drawing = matrix(&[1.0; 10_000], 100);
        assert_eq!(shades(&drawing).len(), 10_000);
        assert!(!drawing.svg().contains(">1<"));
        let right = drawing.marks.iter().filter_map(|mark| match mark.geometry {
            Geometry::Rect { x, width, .. } => Some(x + width),
            _ => None,
        });
        assert!(right.fold(0.0, f64::max) <= drawing.width);
    }
}
