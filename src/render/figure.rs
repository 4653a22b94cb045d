//! Figure of images by exits, as the article's Figures 2 and 3: one row per image, one column per exit, and
//! below each picture whether the exit is right.

use super::canvas::{Rect, Rgb};
use super::sheet::{
    CAPTION, ExitCell, GAP, LABEL, MARGIN, ROW_GAP, SMALL, SheetHeader, SheetOptions, WHITE, column, framed,
    percent,
};
use super::text::TextStyle;
use crate::imaging::rgb_image::RgbImage;

/// One image with a picture for each exit.
#[derive(Debug)]
pub struct FigureRow<'a> {
    /// The model's view of the photo, at the size of a cell.
    pub photo: &'a RgbImage,
    /// Name of the true class.
    pub label: &'a str,
    /// Hardness, such as "right at 7 of 10 exits".
    pub hardness: String,
    /// One cell per exit; every row has the same exits.
    pub cells: Vec<ExitCell<'a>>,
    /// Whether the exit of each cell is right. Labels cannot tell: two classes may share a name.
    pub right: Vec<bool>,
}

const RIGHT: TextStyle = TextStyle { bold: true, size: 13.0, color: [0x00, 0x62, 0xa3] };
const WRONG: TextStyle = TextStyle { bold: true, size: 13.0, color: [0xb5, 0x47, 0x08] };
const HEAD: TextStyle = TextStyle { bold: true, size: 15.0, color: LABEL.color };
/// Height of the column names in pixels.
const COLUMN_NAMES: usize = 28;
/// Color of the line below the column names.
const RULE: Rgb = [0xd9, 0xdc, 0xe0];

/// Draws `rows` as one image.
///
/// # Panics
/// When there are no rows, rows differ in their exits, or pictures differ in size.
pub fn figure(rows: &[FigureRow], options: &SheetOptions) -> RgbImage {
    let exits = |row: &FigureRow| row.cells.iter().map(|cell| cell.exit).collect::<Vec<_>>();
    let first = rows.first().expect("a figure has rows");
    let (columns, picture_width, height) = (exits(first), first.photo.width, first.photo.height);
    let size = column(picture_width);
    let left = |column: usize| MARGIN + column * (size + GAP);
    let width = left(columns.len() + 1) - GAP + MARGIN;
    let header = SheetHeader::new(options, width - 2 * MARGIN);
    let names = MARGIN + header.height();
    let top = |row: usize| names + COLUMN_NAMES + row * (height + CAPTION + ROW_GAP);
    let mut page = RgbImage::filled(width, top(rows.len()) - ROW_GAP + MARGIN, WHITE);
    header.draw(&mut page, options);
    column_names(&mut page, &columns, names, left);
    for (number, row) in rows.iter().enumerate() {
        assert_eq!(exits(row), columns, "exits of row {number}");
        let y = top(number);
        let mut place = |column: usize, picture: &RgbImage, style: TextStyle, first: &str, second: &str| {
            let found = (picture.width, picture.height);
            assert_eq!(found, (picture_width, height), "column {column} of row {number}");
            framed(&mut page, (left(column), y), picture);
            let x = left(column) as f32;
            style.draw(&mut page, x, (y + height + FIRST_LINE) as f32, &style.fit(first, size as f32));
            SMALL.draw(&mut page, x, (y + height + SECOND_LINE) as f32, &SMALL.fit(second, size as f32));
        };
        place(0, row.photo, LABEL, row.label, &row.hardness);
        for (i, (cell, &right)) in row.cells.iter().zip(&row.right).enumerate() {
            let (style, verdict) =
                if right { (RIGHT, "Correctly-classified") } else { (WRONG, "Mis-classified") };
            let prediction = format!("{}, {}", cell.label, percent(cell.probability));
            place(i + 1, cell.picture, style, verdict, &prediction);
        }
    }
    page
}

/// Offsets of the two caption baselines from the lower edge of a picture.
const FIRST_LINE: usize = 24;
const SECOND_LINE: usize = 46;

fn column_names(page: &mut RgbImage, exits: &[usize], y: usize, left: impl Fn(usize) -> usize) {
    let names = std::iter::once("photo".to_string()).chain(exits.iter().map(|exit| format!("exit {exit}")));
    for (column, name) in names.enumerate() {
        HEAD.draw(page, left(column) as f32, (y + 12) as f32, &name);
    }
    page.fill(Rect { x: MARGIN, y: y + 19, width: page.width - 2 * MARGIN, height: 1 }, RULE);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_the_photo_then_its_exits_with_verdicts() {
        let photo = RgbImage::filled(112, 112, [200, 30, 60]);
        let pictures = [[0, 128, 0], [0, 0, 128]].map(|color| RgbImage::filled(112, 112, color));
        let cell =
            |exit: usize, label, i: usize| ExitCell { exit, label, probability: 0.5, picture: &pictures[i] };
        let row = |right: [bool; 2]| FigureRow {
            photo: &photo,
            label: "cat",
            hardness: "right at 1 of 2 exits".into(),
            cells: vec![cell(1, "dog", 0), cell(10, "cat", 1)],
            right: right.into(),
        };
        let options = SheetOptions { cell: 112, ..SheetOptions::default() };
        let page = figure(&[row([false, true]), row([true, false])], &options);
        let step = 112 + GAP;
        let top = MARGIN + SheetHeader::new(&options, page.width - 2 * MARGIN).height() + COLUMN_NAMES;
        for number in 0..2 {
            let y = top + number * (112 + CAPTION + ROW_GAP) + 5;
            assert_eq!(page.pixel(MARGIN + 5, y), [200, 30, 60]);
            assert_eq!(page.pixel(MARGIN + step + 5, y), [0, 128, 0]);
            assert_eq!(page.pixel(MARGIN + 2 * step + 5, y), [0, 0, 128]);
        }
        // Whether the caption of the cell in `column` of row `number` has the verdict's color.
        let has = |style: TextStyle, number: usize, column: usize| {
            let y = top + number * (112 + CAPTION + ROW_GAP) + 112;
            let x = MARGIN + column * step;
            (y..y + 30).any(|y| (x..x + 112).any(|x| page.pixel(x, y) == style.color))
        };
        assert!(has(WRONG, 0, 1) && has(RIGHT, 0, 2) && !has(RIGHT, 0, 1) && !has(WRONG, 0, 2));
        assert!(has(RIGHT, 1, 1) && has(WRONG, 1, 2));
    }
}
