//! The film strip: the photo, then every exit in order, with what each says.

use super::canvas::{Area, Rgb};
use super::colour::Colormap;
use super::overlay::{HEAT_ALPHA, overlay};
use super::text::Style;
use crate::heat::{HeatMap, Status};
use crate::image::{Filter, Region, resample};
use crate::picture::Picture;

/// What one exit says.
#[derive(Debug, Clone, Copy)]
pub struct Cell<'a> {
    /// The exit, from 1.
    pub exit: usize,
    /// The class that it predicts.
    pub label: &'a str,
    /// How sure it is, in [0, 1].
    pub probability: f32,
    /// What its picture is.
    pub shown: Shown<'a>,
}

/// The picture of a cell.
#[derive(Debug, Clone, Copy)]
pub enum Shown<'a> {
    /// A heat map over the photo.
    Heat(&'a HeatMap),
    /// A square picture of the cell's size.
    Picture(&'a Picture),
    /// The pale photo with two lines that say why there is nothing.
    Nothing([&'static str; 2]),
}

/// What the colours mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Legend {
    /// The two ends of the colour map; none where it is not one.
    pub ends: Option<[String; 2]>,
    /// The line below.
    pub note: String,
}

impl Default for Legend {
    fn default() -> Self {
        Legend { ends: Some(["least".into(), "most".into()]), note: "each exit on its own scale".into() }
    }
}

/// How the strip looks.
#[derive(Debug, Clone)]
pub struct Options {
    /// The headline, usually the photo's file name.
    pub title: String,
    /// The second line, such as the method and the network.
    pub subtitle: String,
    /// Colours of the heat maps.
    pub colormap: Colormap,
    /// Opacity of the heat maps, in [0, 1].
    pub heat_alpha: f32,
    /// Width and height of one picture in the strip, at least 112 pixels.
    pub cell: usize,
    /// What stands on the right of the headline.
    pub legend: Legend,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            title: String::new(),
            subtitle: String::new(),
            colormap: Colormap::default(),
            heat_alpha: HEAT_ALPHA,
            cell: 176,
            legend: Legend::default(),
        }
    }
}

const INK: Rgb = [0x1c, 0x1e, 0x21];
const GREY: Rgb = [0x5f, 0x66, 0x6d];
pub(super) const WHITE: Rgb = [0xff; 3];

const TITLE: Style = Style { bold: true, size: 20.0, colour: INK };
const SMALL: Style = Style { bold: false, size: 13.0, colour: GREY };
pub(super) const LABEL: Style = Style { bold: true, size: 17.0, colour: INK };

/// Okabe and Ito's colours, which colour-blind readers can tell apart.
const LABEL_COLOURS: [Rgb; 7] = [
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
pub(super) const HEADER: usize = 68;
/// From a picture's lower edge: the label's bar, and the caption's two baselines.
const BAR_AT: usize = 10;
const BAR: usize = 8;
const FIRST_LINE: usize = 38;
const SECOND_LINE: usize = 60;
pub(super) const CAPTION: usize = 68;
pub(super) const ROW_GAP: usize = 28;
/// More cells than this go to a second row.
const COLUMNS: usize = 12;

/// Draws `photo`, the part that the network saw, and one cell for each exit.
///
/// A bar under the cells has one colour for each label: it runs on while the exits agree and
/// breaks, at a vertical line, where the label changes. A heat map that shows nothing is
/// replaced by the pale photo and words that say why.
///
/// # Panics
/// When `photo` is empty or `options` leave their ranges.
pub fn strip(photo: &Picture, cells: &[Cell], options: &Options) -> Picture {
    assert!(options.cell >= 112, "cells of {} pixels", options.cell);
    let rows = (cells.len() + 1).div_ceil(COLUMNS);
    let columns = (cells.len() + 1).div_ceil(rows);
    let size = options.cell;
    let position = |i: usize| {
        let (row, column) = (i / columns, i % columns);
        (MARGIN + column * (size + GAP), MARGIN + HEADER + row * (size + CAPTION + ROW_GAP))
    };
    let width = 2 * MARGIN + columns * (size + GAP) - GAP;
    let height = 2 * MARGIN + HEADER + rows * (size + CAPTION + ROW_GAP) - ROW_GAP;
    let mut page = Picture::filled(width, height, WHITE);

    header(&mut page, options);
    let photo = place_photo(&mut page, photo, position(0), size);
    let colours = label_colours(cells);
    for (i, cell) in cells.iter().enumerate() {
        let (x, y) = position(i + 1);
        place_cell(&mut page, (x, y), cell, &photo, options);
        let same = i > 0 && cells[i - 1].label == cell.label;
        let starts_row = (i + 1) % columns == 0;
        // Where the label stays, its bar reaches back over the gap.
        let reach = if same && !starts_row { GAP } else { 0 };
        label_bar(&mut page, (x - reach, y + size), size + reach, colours[i]);
        if i > 0 && !same {
            change_mark(&mut page, x - GAP / 2, y, size + CAPTION);
        }
        caption(&mut page, cell, x, y + size, size);
    }
    page
}

/// The photo at the size of a cell, which it returns, with its caption.
pub(super) fn place_photo(
    page: &mut Picture,
    photo: &Picture,
    (x, y): (usize, usize),
    size: usize,
) -> Picture {
    let photo = resample(photo, Region::all(photo), size, size, Filter::Bicubic);
    page.place(x, y, &photo);
    SMALL.draw(page, x as f32, (y + size + FIRST_LINE) as f32, "photo");
    SMALL.draw(page, x as f32, (y + size + SECOND_LINE) as f32, "what the network sees");
    photo
}

/// A cell's picture; `photo` has its size.
pub(super) fn place_cell(
    page: &mut Picture,
    (x, y): (usize, usize),
    cell: &Cell,
    photo: &Picture,
    options: &Options,
) {
    match cell.shown {
        Shown::Heat(heat) => page.place(x, y, &cell_picture(photo, heat, options)),
        Shown::Picture(picture) => page.place(x, y, picture),
        Shown::Nothing(why) => page.place(x, y, &reason_picture(photo, why)),
    }
}

/// The photo in a `strip` of so many `cells`: the reverse of drawing it. `None` where the picture
/// cannot be such a strip.
pub fn photo(strip: &Picture, cells: usize) -> Option<Picture> {
    let columns = (cells + 1).div_ceil((cells + 1).div_ceil(COLUMNS));
    let row = (strip.width + GAP).checked_sub(2 * MARGIN)?;
    let size = (row / columns).checked_sub(GAP)?;
    let (left, top) = (MARGIN, MARGIN + HEADER);
    if row % columns != 0 || size == 0 || top + size > strip.height {
        return None;
    }
    let rows = (top..top + size).flat_map(|y| &strip.rgb[3 * (y * strip.width + left)..][..3 * size]);
    Some(Picture::new(size, size, rows.copied().collect()))
}

/// Title and subtitle on the left; on the right, if there is room, what the colours mean.
pub(super) fn header(page: &mut Picture, options: &Options) {
    const BAR_WIDTH: usize = 150;
    const LEAST: usize = 560;
    const SPACE: usize = 8;
    let inner = page.width - 2 * MARGIN;
    let Legend { ends, note } = &options.legend;
    let width = |text: &str| SMALL.width(text).ceil() as usize;
    let bar = ends.as_ref().map_or(0, |[low, high]| width(low) + width(high) + BAR_WIDTH + 2 * SPACE);
    let legend = bar.max(width(note)) + 2 * SPACE;
    let room = if inner >= LEAST { inner.saturating_sub(legend) } else { inner };
    let left = MARGIN as f32;
    TITLE.draw(page, left, (MARGIN + 18) as f32, &TITLE.fit(&options.title, room as f32));
    SMALL.draw(page, left, (MARGIN + 40) as f32, &SMALL.fit(&options.subtitle, room as f32));
    if inner < LEAST {
        return;
    }
    let right = page.width - MARGIN;
    SMALL.draw_right(page, right as f32, (MARGIN + 40) as f32, note);
    let Some([low, high]) = ends else { return };
    let end = right - width(high) - SPACE;
    for i in 0..BAR_WIDTH {
        let colour = options.colormap.table()[i * 255 / (BAR_WIDTH - 1)];
        page.fill(Area { x: end - BAR_WIDTH + i, y: MARGIN + 7, width: 1, height: 12 }, colour);
    }
    SMALL.draw(page, (end + SPACE) as f32, (MARGIN + 18) as f32, high);
    SMALL.draw_right(page, (end - BAR_WIDTH - SPACE) as f32, (MARGIN + 18) as f32, low);
}

/// One colour for each label, in the order in which labels appear.
pub(super) fn label_colours(cells: &[Cell]) -> Vec<Rgb> {
    let mut seen: Vec<&str> = Vec::new();
    let mut number = |label| {
        seen.iter().position(|&s| s == label).unwrap_or_else(|| {
            seen.push(label);
            seen.len() - 1
        })
    };
    cells.iter().map(|cell| LABEL_COLOURS[number(cell.label) % LABEL_COLOURS.len()]).collect()
}

/// The heat map over a square photo, or the pale photo with the reason why there is none.
pub fn cell_picture(photo: &Picture, heat: &HeatMap, options: &Options) -> Picture {
    match heat.status {
        Status::Ok => {
            let heat = heat.resized(photo.height, photo.width);
            overlay(photo, &heat, options.colormap, options.heat_alpha)
        }
        status => reason_picture(photo, reason(status)),
    }
}

/// Two lines that say why a heat map shows nothing.
pub fn reason(status: Status) -> [&'static str; 2] {
    match status {
        Status::Ok => ["", ""],
        Status::Empty => ["no positive", "evidence"],
        Status::Constant => ["the same", "everywhere"],
        Status::Nonfinite => ["not a finite", "number"],
    }
}

/// The pale photo with two lines that say why there is nothing to see.
pub fn reason_picture(photo: &Picture, lines: [&str; 2]) -> Picture {
    let size = photo.width;
    let mut pale = photo.clone();
    for pixel in pale.rgb.chunks_exact_mut(3) {
        // Rec. 601 brightness, brought close to white.
        let luma = 0.299 * f32::from(pixel[0]) + 0.587 * f32::from(pixel[1]) + 0.114 * f32::from(pixel[2]);
        pixel.fill((178.0 + luma * 0.28) as u8);
    }
    let reason = Style { bold: true, size: 15.0, colour: INK };
    for (line, text) in lines.iter().enumerate() {
        reason.draw_centred(&mut pale, size as f32 / 2.0, size as f32 / 2.0 - 4.0 + 20.0 * line as f32, text);
    }
    pale
}

/// The bar of a label below a picture whose lower left corner is `corner`.
pub(super) fn label_bar(page: &mut Picture, (x, y): (usize, usize), width: usize, colour: Rgb) {
    page.fill(Area { x, y: y + BAR_AT, width, height: BAR }, colour);
}

fn change_mark(page: &mut Picture, x: usize, top: usize, height: usize) {
    page.fill(Area { x: x - 1, y: top, width: 2, height }, INK);
}

pub(super) fn caption(page: &mut Picture, cell: &Cell, x: usize, below: usize, size: usize) {
    let line = (below + FIRST_LINE) as f32;
    SMALL.draw(page, x as f32, line, &format!("exit {}", cell.exit));
    let sure = Style { colour: INK, ..SMALL };
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
