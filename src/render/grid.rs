//! Grid of film strips: one row per scale, layer or class, one column per exit.

use super::sheet::{
    CAPTION, ExitCell, GAP, LABEL, MARGIN, ROW_GAP, SheetHeader, SheetOptions, WHITE, caption,
    caption_height, column, framed, label_bar, label_colors, with_lines,
};
use crate::imaging::rgb_image::RgbImage;
use crate::imaging::{Filter, Region, resample};

/// One row of the grid.
#[derive(Debug, Clone)]
pub struct GridRow<'a> {
    /// Title above the row.
    pub title: String,
    /// One cell per exit; every row has the same exits.
    pub cells: Vec<ExitCell<'a>>,
}

/// Height of a row's title in pixels.
const TITLE: usize = 30;

/// Draws `photo`, of which `seen` is the model's input, and `rows`, in pictures of the size that
/// [`SheetOptions::picture`] gives for `seen`. Captions are below each row, or only
/// below the last one if all rows have the same.
///
/// # Panics
/// When `photo` is empty, rows differ in length, or `options` are out of range.
pub fn grid(photo: &RgbImage, seen: &RgbImage, rows: &[GridRow], options: &SheetOptions) -> RgbImage {
    let (height, picture_width) = options.picture((seen.height, seen.width));
    let step = column(picture_width) + GAP;
    let columns = rows.first().map_or(0, |row| row.cells.len());
    let captions =
        |row: &GridRow| row.cells.iter().map(|c| (c.label.to_string(), c.probability)).collect::<Vec<_>>();
    let alike = rows.windows(2).all(|two| captions(&two[0]) == captions(&two[1]));
    let captioned = |row: usize| !alike || row + 1 == rows.len();
    let cells: Vec<ExitCell> = rows.iter().flat_map(|row| &row.cells).copied().collect();
    let below_picture = caption_height(&cells, step - GAP);
    let below = |row: usize| if captioned(row) { below_picture + ROW_GAP } else { GAP };
    let width = (columns + 1) * step - GAP;
    let header = SheetHeader::new(options, width);
    let top = MARGIN + header.height();
    let mut tops = Vec::with_capacity(rows.len());
    let mut y = top;
    for row in 0..rows.len() {
        tops.push(y + TITLE);
        y += TITLE + height + below(row);
    }
    let whole = (y + MARGIN - ROW_GAP).max(top + TITLE + height + CAPTION + MARGIN);
    let mut page = RgbImage::filled(2 * MARGIN + width, whole, WHITE);
    header.draw(&mut page, options);
    let photo = resample(photo, Region::all(photo), picture_width, height, Filter::Bicubic);
    let pixels = format!("seen as {} x {} pixels", seen.width, seen.height);
    with_lines(&mut page, (MARGIN, top + TITLE), &photo, ["photo", &pixels]);
    let room = width as f32;
    let colors = label_colors(&cells);
    for (number, (row, &top)) in rows.iter().zip(&tops).enumerate() {
        assert_eq!(row.cells.len(), columns, "cells of row '{}'", row.title);
        let left = MARGIN + step;
        LABEL.draw(&mut page, left as f32, (top - 10) as f32, &LABEL.fit(&row.title, room - left as f32));
        for (i, cell) in row.cells.iter().enumerate() {
            let x = left + i * step;
            let found = (cell.picture.width, cell.picture.height);
            assert_eq!(found, (picture_width, height), "exit {}", cell.exit);
            framed(&mut page, (x, top), cell.picture);
            if captioned(number) {
                label_bar(&mut page, (x, top + height), step - GAP, colors[number * columns + i]);
                caption(&mut page, cell, x, top + height, step - GAP);
            }
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::sheet::LABEL_LINE;

    /// Two rows of two exits, in red and in green.
    fn drawn(labels: [&str; 2]) -> RgbImage {
        let pictures = [[255, 0, 0], [0, 128, 0]].map(|color| RgbImage::filled(112, 112, color));
        let cell = |exit: usize, row: usize| ExitCell {
            exit,
            label: labels[row],
            probability: 0.5,
            picture: &pictures[row],
        };
        let row =
            |row: usize| GridRow { title: format!("scale{row}"), cells: vec![cell(1, row), cell(2, row)] };
        let options = SheetOptions { cell: 112, ..SheetOptions::default() };
        let photo = RgbImage::filled(8, 8, [9, 9, 9]);
        grid(&photo, &photo, &[row(0), row(1)], &options)
    }

    #[test]
    fn rows_are_stacked_to_the_right_of_the_photo() {
        let page = drawn(["cat", "cat"]);
        let options = SheetOptions { cell: 112, ..SheetOptions::default() };
        let header = SheetHeader::new(&options, page.width - 2 * MARGIN);
        let (left, top) = (MARGIN + 112 + GAP, MARGIN + header.height() + TITLE);
        assert_eq!(page.pixel(MARGIN, top), [9, 9, 9]);
        for x in [left, left + 112 + GAP] {
            assert_eq!(page.pixel(x, top), [255, 0, 0]);
            assert_eq!(page.pixel(x + 111, top + 112 + GAP + TITLE), [0, 128, 0]);
        }
        assert_eq!(page.width, 2 * MARGIN + 3 * 112 + 2 * GAP);
    }

    #[test]
    fn a_long_label_takes_two_lines() {
        let long = "Greater Swiss Mountain dog";
        assert_eq!(drawn([long; 2]).height, drawn(["cat"; 2]).height + LABEL_LINE);
    }

    #[test]
    fn rows_with_different_captions_have_their_own() {
        assert_eq!(drawn(["cat", "dog"]).height, drawn(["cat", "cat"]).height + CAPTION + ROW_GAP - GAP);
    }
}
