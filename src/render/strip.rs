//! Film strip: the photo, then every exit in order with its prediction.

use super::pixels::enlarged;
use super::sheet::{
    CAPTION, ExitCell, GAP, HEADER, MARGIN, ROW_GAP, SheetHeader, SheetOptions, WHITE, caption, change_mark,
    framed, label_bar, label_colors, with_lines,
};
use crate::imaging::rgb_image::RgbImage;
use crate::imaging::{Filter, Region, resample};

/// Maximum number of exits per row, limited by the width of a page or screen.
const COLUMNS: usize = 6;

/// Positions of the pictures.
struct StripLayout {
    /// Exits per row.
    columns: usize,
    rows: usize,
    cell: usize,
    /// Upper edge of the first row.
    top: usize,
}

impl StripLayout {
    fn new(exits: usize, cell: usize) -> StripLayout {
        let rows = exits.div_ceil(COLUMNS).max(1);
        StripLayout { columns: exits.div_ceil(rows), rows, cell, top: MARGIN + HEADER }
    }

    /// Upper left corner of a picture; column 0 is the photo's.
    fn at(&self, row: usize, column: usize) -> (usize, usize) {
        (MARGIN + column * (self.cell + GAP), self.top + row * (self.cell + CAPTION + ROW_GAP))
    }

    /// Width between the margins.
    fn width(&self) -> usize {
        self.at(0, self.columns + 1).0 - GAP - MARGIN
    }

    fn page(&self) -> RgbImage {
        let below = self.at(self.rows, 0).1 - ROW_GAP;
        RgbImage::filled(self.width() + 2 * MARGIN, below + MARGIN, WHITE)
    }
}

/// Draws `photo`, the model's view, and to its right one cell per exit, in rows. If there is a second row,
/// `seen`, the model's input, is below the photo.
///
/// A bar below the cells has one color per label: it continues while the exits agree and breaks at a
/// vertical line where the label changes.
///
/// # Panics
/// When a picture is empty or differs in size from a cell, or `options` are out of range.
pub fn strip(photo: &RgbImage, seen: &RgbImage, cells: &[ExitCell], options: &SheetOptions) -> RgbImage {
    assert!(options.cell >= 112, "cells of {} pixels", options.cell);
    let size = options.cell;
    let mut layout = StripLayout::new(cells.len(), size);
    let header = SheetHeader::new(options, layout.width());
    layout.top = MARGIN + header.height();
    let mut page = layout.page();
    header.draw(&mut page, options);
    let photo = resample(photo, Region::all(photo), size, size, Filter::Bicubic);
    let pixels = format!("{} x {} pixels", seen.width, seen.height);
    let part = if layout.rows > 1 { "the part that is seen".into() } else { format!("seen as {pixels}") };
    with_lines(&mut page, layout.at(0, 0), &photo, ["photo", &part]);
    if layout.rows > 1 {
        let all = Region::all(seen);
        let input = if seen.width < size {
            enlarged(seen, size)
        } else {
            resample(seen, all, size, size, Filter::Bicubic)
        };
        with_lines(&mut page, layout.at(1, 0), &input, ["what the network sees", &pixels]);
    }
    let colors = label_colors(cells);
    for (i, cell) in cells.iter().enumerate() {
        assert_eq!((cell.picture.width, cell.picture.height), (size, size), "exit {}", cell.exit);
        let (x, y) = layout.at(i / layout.columns, 1 + i % layout.columns);
        framed(&mut page, (x, y), cell.picture);
        let same = i > 0 && cells[i - 1].label == cell.label;
        let starts_row = i % layout.columns == 0;
        // Where the label stays the same, its bar extends over the gap.
        let reach = if same && !starts_row { GAP } else { 0 };
        label_bar(&mut page, (x - reach, y + size), size + reach, colors[i]);
        if i > 0 && !same {
            change_mark(&mut page, x - GAP / 2, y, size + CAPTION);
        }
        caption(&mut page, cell, x, y + size, size);
    }
    page
}

/// Cuts the photo out of a `strip` of `cells` exits. `None` if the image cannot be such a strip.
pub fn photo(strip: &RgbImage, cells: usize) -> Option<RgbImage> {
    let layout = StripLayout::new(cells, 0);
    let columns = layout.columns + 1;
    let row = (strip.width + GAP).checked_sub(2 * MARGIN)?;
    let size = (row / columns).checked_sub(GAP)?;
    let below = MARGIN + layout.rows * (size + CAPTION + ROW_GAP) - ROW_GAP;
    let (left, top) = (MARGIN, strip.height.checked_sub(below)?);
    if row % columns != 0 || size == 0 || top < MARGIN + HEADER {
        return None;
    }
    let rows = (top..top + size).flat_map(|y| &strip.rgb[3 * (y * strip.width + left)..][..3 * size]);
    Some(RgbImage::new(size, size, rows.copied().collect()))
}
