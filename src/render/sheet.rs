//! What film strips and grids have in common: the headline, pictures in their frames, captions.

use super::canvas::{Rect, Rgb};
use super::color::Colormap;
use super::text::TextStyle;
use crate::imaging::rgb_image::RgbImage;

/// What one exit says.
#[derive(Debug, Clone, Copy)]
pub struct ExitCell<'a> {
    /// The exit, from 1.
    pub exit: usize,
    /// The class that it predicts.
    pub label: &'a str,
    /// How sure it is, in [0, 1].
    pub probability: f32,
    /// A square picture of the cell's size.
    pub picture: &'a RgbImage,
}

/// What the colors mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Legend {
    /// A bar of colors, and what its two ends stand for.
    pub bar: Option<(&'static [Rgb; 256], [String; 2])>,
    /// The line below.
    pub note: String,
}

impl Legend {
    /// The usual one: from the least to the most.
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

/// How the strip looks.
#[derive(Debug, Clone)]
pub struct SheetOptions {
    /// The headline, usually the photo's file name.
    pub title: String,
    /// Below it, such as the method and the class.
    pub subtitle: String,
    /// Below that, such as what lines in the pictures mean.
    pub remark: String,
    /// Width and height of one picture in the strip, at least 112 pixels.
    pub cell: usize,
    /// What stands on the right of the headline.
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

const INK: Rgb = [0x1c, 0x1e, 0x21];
const GRAY: Rgb = [0x5f, 0x66, 0x6d];
pub(super) const WHITE: Rgb = [0xff; 3];

const TITLE: TextStyle = TextStyle { bold: true, size: 20.0, color: INK };
pub(super) const SMALL: TextStyle = TextStyle { bold: false, size: 13.0, color: GRAY };
pub(super) const LABEL: TextStyle = TextStyle { bold: true, size: 17.0, color: INK };

/// A hairline around pictures: one of a white wall would have no edge.
const FRAME: Rgb = [0xd4, 0xd8, 0xdc];

/// Okabe and Ito's colors, which color-blind readers can tell apart.
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
/// Title and one line below it; what each further line adds, and how many there may be.
pub(super) const HEADER: usize = 68;
const LINE: usize = 20;
const LINES: usize = 4;
/// From a picture's lower edge: the label's bar, and the caption's two baselines.
const BAR_AT: usize = 10;
const BAR: usize = 8;
const FIRST_LINE: usize = 38;
const SECOND_LINE: usize = 60;
pub(super) const CAPTION: usize = 68;
pub(super) const ROW_GAP: usize = 28;

/// What stands above the pictures: title and lines on the left and, if there is room, what the
/// colors mean on the right.
pub(super) struct SheetHeader {
    title: String,
    lines: Vec<String>,
    legend: bool,
}

const BAR_WIDTH: usize = 150;
/// Between the bar of colors and what stands beside it.
const SPACE: usize = 8;

impl SheetHeader {
    /// For a page that is `width` pixels wide from margin to margin.
    pub fn new(options: &SheetOptions, width: usize) -> SheetHeader {
        /// A narrower page has no legend.
        const LEAST: usize = 560;
        let Legend { bar, note } = &options.legend;
        let wide = |text: &str| SMALL.width(text).ceil() as usize;
        let bar = bar.as_ref().map_or(0, |(_, [low, high])| wide(low) + wide(high) + BAR_WIDTH + 2 * SPACE);
        let legend = width >= LEAST;
        let beside = if legend { width.saturating_sub(bar.max(wide(note)) + 2 * SPACE) } else { width };
        let (beside, width) = (beside as f32, width as f32);
        let mut lines = SMALL.wrap(&options.subtitle, beside, width, LINES - 1);
        lines.extend(SMALL.wrap(&options.remark, width, width, LINES - lines.len()));
        SheetHeader { title: TITLE.fit(&options.title, beside).into_owned(), lines, legend }
    }

    /// Pixels from the margin to the pictures.
    pub fn height(&self) -> usize {
        HEADER + (self.lines.len().max(1) - 1) * LINE
    }

    pub fn draw(&self, page: &mut RgbImage, options: &SheetOptions) {
        let left = MARGIN as f32;
        TITLE.draw(page, left, (MARGIN + 18) as f32, &self.title);
        for (i, line) in self.lines.iter().enumerate() {
            SMALL.draw(page, left, (MARGIN + 40 + i * LINE) as f32, line);
        }
        if self.legend {
            legend(page, &options.legend);
        }
    }
}

fn legend(page: &mut RgbImage, Legend { bar, note }: &Legend) {
    let right = page.width - MARGIN;
    SMALL.draw_right(page, right as f32, (MARGIN + 40) as f32, note);
    let Some((colors, [low, high])) = bar else { return };
    let end = right - SMALL.width(high).ceil() as usize - SPACE;
    page.fill(Rect { x: end - BAR_WIDTH - 1, y: MARGIN + 6, width: BAR_WIDTH + 2, height: 14 }, FRAME);
    for i in 0..BAR_WIDTH {
        let color = colors[i * 255 / (BAR_WIDTH - 1)];
        page.fill(Rect { x: end - BAR_WIDTH + i, y: MARGIN + 7, width: 1, height: 12 }, color);
    }
    SMALL.draw(page, (end + SPACE) as f32, (MARGIN + 18) as f32, high);
    SMALL.draw_right(page, (end - BAR_WIDTH - SPACE) as f32, (MARGIN + 18) as f32, low);
}

/// A square picture in its frame.
pub(super) fn framed(page: &mut RgbImage, (x, y): (usize, usize), picture: &RgbImage) {
    page.fill(Rect { x: x - 1, y: y - 1, width: picture.width + 2, height: picture.height + 2 }, FRAME);
    page.place(x, y, picture);
}

/// A square picture that is no exit's, with two lines below it.
pub(super) fn with_lines(page: &mut RgbImage, (x, y): (usize, usize), picture: &RgbImage, lines: [&str; 2]) {
    framed(page, (x, y), picture);
    for (line, at) in lines.into_iter().zip([FIRST_LINE, SECOND_LINE]) {
        let line = SMALL.fit(line, picture.width as f32);
        SMALL.draw(page, x as f32, (y + picture.height + at) as f32, &line);
    }
}

/// One color for each label, in the order in which labels appear.
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

/// The bar in a label's color below a picture's lower edge.
pub(super) fn label_bar(page: &mut RgbImage, (x, below): (usize, usize), width: usize, color: Rgb) {
    page.fill(Rect { x, y: below + BAR_AT, width, height: BAR }, color);
}

/// The line between two exits that do not agree.
pub(super) fn change_mark(page: &mut RgbImage, x: usize, top: usize, height: usize) {
    page.fill(Rect { x: x - 1, y: top, width: 2, height }, INK);
}

/// What an exit says, below its picture's lower edge.
pub(super) fn caption(page: &mut RgbImage, cell: &ExitCell, x: usize, below: usize, size: usize) {
    let line = (below + FIRST_LINE) as f32;
    SMALL.draw(page, x as f32, line, &format!("exit {}", cell.exit));
    let sure = TextStyle { color: INK, ..SMALL };
    sure.draw_right(page, (x + size) as f32, line, &percent(cell.probability));
    LABEL.draw(page, x as f32, (below + SECOND_LINE) as f32, &LABEL.fit(cell.label, size as f32));
}

/// A probability for reading: never "100.0 %" for what is not certain.
pub fn percent(p: f32) -> String {
    match p {
        p if !p.is_finite() => "\u{2013}".into(),
        p if p > 0.999 && p < 1.0 => "> 99.9 %".into(),
        p if p < 0.001 && p > 0.0 => "< 0.1 %".into(),
        p => format!("{:.1} %", p * 100.0),
    }
}
