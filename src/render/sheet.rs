//! Sheet layout shared by film strips, grids and figures: header, legend, framed pictures, captions.

use super::canvas::{Rect, Rgb};
use super::color::Colormap;
use super::text::TextStyle;
use crate::imaging::rgb_image::RgbImage;
use crate::imaging::with_longer_side;

/// Prediction of one exit and its picture.
#[derive(Debug, Clone, Copy)]
pub struct ExitCell<'a> {
    /// Exit number, from 1.
    pub exit: usize,
    /// Name of the predicted class.
    pub label: &'a str,
    /// Probability of the predicted class, in [0, 1].
    pub probability: f32,
    /// A picture of the size that all cells have: see [`SheetOptions::picture`].
    pub picture: &'a RgbImage,
}

/// Legend of the colors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Legend {
    /// Color bar, and the labels of its two ends.
    pub bar: Option<(&'static [Rgb; 256], [String; 2])>,
    /// Note below the color bar.
    pub note: String,
}

impl Legend {
    /// The legend of heatmaps: from least to most.
    pub fn heatmap(colors: &'static [Rgb; 256]) -> Self {
        Legend {
            bar: Some((colors, ["least".into(), "most".into()])),
            note: "each exit on its own scale".into(),
        }
    }
}

impl Default for Legend {
    fn default() -> Self {
        Legend::heatmap(Colormap::default().table())
    }
}

/// Header and size of a sheet.
#[derive(Debug, Clone)]
pub struct SheetOptions {
    /// Title, usually the photo's file name.
    pub title: String,
    /// Subtitle, such as the method and the class.
    pub subtitle: String,
    /// Remark below the subtitle, such as the meaning of lines in the pictures.
    pub remark: String,
    /// Width and height of a square picture in pixels, at least 112: see [`SheetOptions::picture`].
    pub cell: usize,
    /// Legend to the right of the title.
    pub legend: Legend,
}

impl Default for SheetOptions {
    fn default() -> Self {
        SheetOptions {
            title: String::new(),
            subtitle: String::new(),
            remark: String::new(),
            cell: 176,
            legend: Legend::default(),
        }
    }
}

/// The least width of a column in pixels, below which captions are illegible.
const LEAST_COLUMN: usize = 112;

impl SheetOptions {
    /// (rows, columns) of a picture of a model's input of `height` x `width`: it has the input's aspect ratio and the
    /// area of a square cell, but neither side is more than four times the cell's.
    ///
    /// # Panics
    /// When the cell is too small, or the input is empty.
    pub fn picture(&self, (height, width): (usize, usize)) -> (usize, usize) {
        assert!(self.cell >= LEAST_COLUMN, "cells of {} pixels", self.cell);
        assert!(height > 0 && width > 0, "an input of {height} x {width} pixels");
        let stretch = (height.max(width) as f64 / height.min(width) as f64).sqrt().min(4.0);
        with_longer_side((height, width), (self.cell as f64 * stretch).round() as usize)
    }
}

/// Width of a column of pictures of `width` pixels.
pub(super) fn column(width: usize) -> usize {
    width.max(LEAST_COLUMN)
}

const INK: Rgb = [0x1c, 0x1e, 0x21];
const GRAY: Rgb = [0x5f, 0x66, 0x6d];
pub(super) const WHITE: Rgb = [0xff; 3];

const TITLE: TextStyle = TextStyle { bold: true, size: 20.0, color: INK };
pub(super) const SMALL: TextStyle = TextStyle { bold: false, size: 13.0, color: GRAY };
pub(super) const LABEL: TextStyle = TextStyle { bold: true, size: 17.0, color: INK };

/// Color of the frame around pictures, which makes the edge of a white picture visible.
pub(super) const FRAME: Rgb = [0xd4, 0xd8, 0xdc];

/// Okabe and Ito's palette, distinguishable under color vision deficiency.
const LABEL_COLORS: [Rgb; 7] = [
    [0x00, 0x72, 0xb2], // blue
    [0xe6, 0x9f, 0x00], // orange
    [0x00, 0x9e, 0x73], // green
    [0xcc, 0x79, 0xa7], // purple
    [0x56, 0xb4, 0xe9], // sky
    [0xd5, 0x5e, 0x00], // vermilion
    [0xf0, 0xe4, 0x42], // yellow
];

pub(super) const MARGIN: usize = 32;
pub(super) const GAP: usize = 14;
/// Height of the title with one line below it, height of each further line, and maximum number of lines.
pub(super) const HEADER: usize = 68;
const LINE: usize = 20;
const LINES: usize = 4;
/// Offsets of the label bar and of the two caption baselines from the lower edge of a picture.
const BAR_AT: usize = 10;
const BAR: usize = 8;
const FIRST_LINE: usize = 38;
const SECOND_LINE: usize = 60;
/// Height of a caption with one line of label, and of a further line.
pub(super) const CAPTION: usize = 68;
pub(super) const LABEL_LINE: usize = 21;
pub(super) const ROW_GAP: usize = 28;

/// Header above the pictures: title and lines on the left, and the legend on the right or, on a narrow page, below.
pub(super) struct SheetHeader {
    title: String,
    lines: Vec<String>,
    /// Lines of a legend below the others: its note.
    note: Option<Vec<String>>,
}

const BAR_WIDTH: usize = 150;
/// Height of a color bar below the lines, with the space around it.
const LEGEND: usize = 22;
/// Space between the color bar and its labels.
const SPACE: usize = 8;

impl SheetHeader {
    /// The header of a page of `width` pixels between its margins.
    pub fn new(options: &SheetOptions, width: usize) -> SheetHeader {
        /// Minimum width of a page with a legend.
        const MIN_WIDTH: usize = 520;
        let Legend { bar, note } = &options.legend;
        let wide = |text: &str| SMALL.width(text).ceil() as usize;
        let bar = bar.as_ref().map_or(0, |(_, [low, high])| wide(low) + wide(high) + BAR_WIDTH + 2 * SPACE);
        let is_beside = width >= MIN_WIDTH;
        let beside = if is_beside { width.saturating_sub(bar.max(wide(note)) + 2 * SPACE) } else { width };
        let (beside, width) = (beside as f32, width as f32);
        let mut lines = SMALL.wrap(&options.subtitle, beside, width, LINES - 1);
        lines.extend(SMALL.wrap(&options.remark, width, width, LINES - lines.len()));
        let note = (!is_beside).then(|| SMALL.wrap(note, width, width, 2));
        SheetHeader { title: TITLE.fit(&options.title, beside).into_owned(), lines, note }
    }

    /// Height from the margin to the pictures, in pixels.
    pub fn height(&self) -> usize {
        let below = self.note.as_ref().map_or(0, |note| LEGEND + note.len() * LINE);
        HEADER + (self.lines.len().max(1) - 1) * LINE + below
    }

    pub fn draw(&self, page: &mut RgbImage, options: &SheetOptions) {
        let left = MARGIN as f32;
        TITLE.draw(page, left, (MARGIN + 18) as f32, &self.title);
        for (i, line) in self.lines.iter().enumerate() {
            SMALL.draw(page, left, (MARGIN + 40 + i * LINE) as f32, line);
        }
        let right = page.width - MARGIN;
        let Some(note) = &self.note else {
            SMALL.draw_right(page, right as f32, (MARGIN + 40) as f32, &options.legend.note);
            if let Some((colors, [low, high])) = &options.legend.bar {
                let end = right - SMALL.width(high).ceil() as usize - SPACE;
                color_bar(page, colors, [low, high], (end - BAR_WIDTH, MARGIN + 7), BAR_WIDTH);
            }
            return;
        };
        let mut y = MARGIN + 40 + self.lines.len() * LINE;
        if let Some((colors, ends)) = &options.legend.bar {
            let room = right - MARGIN;
            let [low, high] = ends.each_ref().map(|text| SMALL.fit(text, room as f32 / 3.0));
            let [before, after] = [&low, &high].map(|text| SMALL.width(text).ceil() as usize + SPACE);
            let width = room.saturating_sub(before + after).min(BAR_WIDTH);
            color_bar(page, colors, [&low, &high], (MARGIN + before, y - 11), width);
            y += LEGEND;
        }
        for (i, line) in note.iter().enumerate() {
            SMALL.draw(page, left, (y + i * LINE) as f32, line);
        }
    }
}

/// Draws the color bar of a legend, `width` pixels from `x` and `y`, between the labels of its ends.
fn color_bar(
    page: &mut RgbImage,
    colors: &[Rgb; 256],
    [low, high]: [&str; 2],
    (x, y): (usize, usize),
    width: usize,
) {
    page.fill(Rect { x: x - 1, y: y - 1, width: width + 2, height: 14 }, FRAME);
    for i in 0..width {
        let color = colors[i * 255 / (width - 1).max(1)];
        page.fill(Rect { x: x + i, y, width: 1, height: 12 }, color);
    }
    SMALL.draw(page, (x + width + SPACE) as f32, (y + 11) as f32, high);
    SMALL.draw_right(page, (x - SPACE) as f32, (y + 11) as f32, low);
}

/// Draws a picture with a frame.
pub(super) fn framed(page: &mut RgbImage, (x, y): (usize, usize), picture: &RgbImage) {
    let (width, height) = (picture.width + 2, picture.height + 2);
    let across = |y| Rect { x: x - 1, y, width, height: 1 };
    let down = |x| Rect { x, y: y - 1, width: 1, height };
    let edges = [across(y - 1), across(y + picture.height), down(x - 1), down(x + picture.width)];
    edges.into_iter().for_each(|edge| page.fill(edge, FRAME));
    page.place(x, y, picture);
}

/// Draws a framed picture with two lines of text below it, in a column of its own.
pub(super) fn with_lines(page: &mut RgbImage, (x, y): (usize, usize), picture: &RgbImage, lines: [&str; 2]) {
    framed(page, (x, y), picture);
    for (line, at) in lines.into_iter().zip([FIRST_LINE, SECOND_LINE]) {
        let line = SMALL.fit(line, column(picture.width) as f32);
        SMALL.draw(page, x as f32, (y + picture.height + at) as f32, &line);
    }
}

/// Color of each cell: one per label, in order of appearance.
pub(super) fn label_colors(cells: &[ExitCell]) -> Vec<Rgb> {
    let mut seen: Vec<&str> = Vec::new();
    let mut number = |label| {
        seen.iter().position(|&s| s == label).unwrap_or_else(|| {
            seen.push(label);
            seen.len() - 1
        })
    };
    cells.iter().map(|cell| LABEL_COLORS[number(cell.label) % LABEL_COLORS.len()]).collect()
}

/// Draws the bar in a label's color below a picture.
pub(super) fn label_bar(page: &mut RgbImage, (x, below): (usize, usize), width: usize, color: Rgb) {
    page.fill(Rect { x, y: below + BAR_AT, width, height: BAR }, color);
}

/// Draws the line between two exits that disagree.
pub(super) fn change_mark(page: &mut RgbImage, x: usize, top: usize, height: usize) {
    page.fill(Rect { x: x - 1, y: top, width: 2, height }, INK);
}

/// Height of the captions of `cells` in columns of `width` pixels: higher if a label takes two lines.
pub(super) fn caption_height(cells: &[ExitCell], width: usize) -> usize {
    let wraps = |cell: &ExitCell| LABEL.wrap(cell.label, width as f32, width as f32, 2).len() > 1;
    if cells.iter().any(wraps) { CAPTION + LABEL_LINE } else { CAPTION }
}

/// Draws exit, probability and label below a picture.
pub(super) fn caption(page: &mut RgbImage, cell: &ExitCell, x: usize, below: usize, size: usize) {
    let line = (below + FIRST_LINE) as f32;
    SMALL.draw(page, x as f32, line, &format!("exit {}", cell.exit));
    let probability = TextStyle { color: INK, ..SMALL };
    probability.draw_right(page, (x + size) as f32, line, &percent(cell.probability));
    for (i, line) in LABEL.wrap(cell.label, size as f32, size as f32, 2).iter().enumerate() {
        LABEL.draw(page, x as f32, (below + SECOND_LINE + i * LABEL_LINE) as f32, line);
    }
}

/// A probability as text; never rounds up to "100.0 %" or down to "0.0 %".
pub fn percent(p: f32) -> String {
    match p {
        p if !p.is_finite() => "\u{2013}".into(),
        p if p > 0.999 && p < 1.0 => "> 99.9 %".into(),
        p if p < 0.001 && p > 0.0 => "< 0.1 %".into(),
        p => format!("{:.1} %", p * 100.0),
    }
}
