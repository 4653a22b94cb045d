//! Film strip: the photo, then every exit in order with its prediction.

use super::pixels::enlarged;
use super::sheet::{
    CAPTION, ExitCell, FRAME, GAP, HEADER, LABEL_LINE, MARGIN, ROW_GAP, SheetHeader, SheetOptions, WHITE,
    caption, caption_height, change_mark, column, framed, label_bar, label_colors, with_lines,
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
    /// Width of a column.
    column: usize,
    /// Height of a picture.
    height: usize,
    /// Height of a caption.
    caption: usize,
    /// Upper edge of the first row.
    top: usize,
}

impl StripLayout {
    fn new(exits: usize, (height, width): (usize, usize)) -> StripLayout {
        let rows = exits.div_ceil(COLUMNS).max(1);
        let columns = exits.div_ceil(rows);
        StripLayout { columns, rows, column: column(width), height, caption: CAPTION, top: MARGIN + HEADER }
    }

    /// Upper left corner of a picture; column 0 is the photo's.
    fn at(&self, row: usize, column: usize) -> (usize, usize) {
        (MARGIN + column * (self.column + GAP), self.top + row * (self.height + self.caption + ROW_GAP))
    }

    /// Width between the margins.
    fn width(&self) -> usize {
        self.at(0, self.columns + 1).0 - GAP - MARGIN
    }

    /// (width, height) of the page.
    fn size(&self) -> (usize, usize) {
        (self.width() + 2 * MARGIN, self.at(self.rows, 0).1 - ROW_GAP + MARGIN)
    }
}

/// Draws `photo`, the model's view, and to its right one cell per exit, in rows. If there is a second row,
/// `seen`, the model's input, is below the photo. Pictures have the size that [`SheetOptions::picture`] gives for
/// `seen`.
///
/// A bar below the cells has one color per label: it continues while the exits agree and breaks at a
/// vertical line where the label changes.
///
/// # Panics
/// When a picture is empty or differs in size from a cell, or `options` are out of range.
pub fn strip(photo: &RgbImage, seen: &RgbImage, cells: &[ExitCell], options: &SheetOptions) -> RgbImage {
    let (height, width) = options.picture((seen.height, seen.width));
    let mut layout = StripLayout::new(cells.len(), (height, width));
    let header = SheetHeader::new(options, layout.width());
    layout.top = MARGIN + header.height();
    layout.caption = caption_height(cells, layout.column);
    let (whole_width, whole_height) = layout.size();
    let mut page = RgbImage::filled(whole_width, whole_height, WHITE);
    header.draw(&mut page, options);
    let photo = resample(photo, Region::all(photo), width, height, Filter::Bicubic);
    let pixels = format!("{} x {} pixels", seen.width, seen.height);
    let part = if layout.rows > 1 { "the part that is seen".into() } else { format!("seen as {pixels}") };
    with_lines(&mut page, layout.at(0, 0), &photo, ["photo", &part]);
    if layout.rows > 1 {
        let all = Region::all(seen);
        let input = if seen.width < width {
            enlarged(seen, (height, width))
        } else {
            resample(seen, all, width, height, Filter::Bicubic)
        };
        with_lines(&mut page, layout.at(1, 0), &input, ["what the network sees", &pixels]);
    }
    let colors = label_colors(cells);
    for (i, cell) in cells.iter().enumerate() {
        assert_eq!((cell.picture.width, cell.picture.height), (width, height), "exit {}", cell.exit);
        let (x, y) = layout.at(i / layout.columns, 1 + i % layout.columns);
        framed(&mut page, (x, y), cell.picture);
        let same = i > 0 && cells[i - 1].label == cell.label;
        let starts_row = i % layout.columns == 0;
        // Where the label stays the same, its bar extends over the gap.
        let reach = if same && !starts_row { GAP } else { 0 };
        label_bar(&mut page, (x - reach, y + height), layout.column + reach, colors[i]);
        if i > 0 && !same {
            change_mark(&mut page, x - GAP / 2, y, height + layout.caption);
        }
        caption(&mut page, cell, x, y + height, layout.column);
    }
    page
}

/// Cuts the photo out of a `strip` of `cells` exits: what its frame encloses. `None` if the image cannot be such a
/// strip.
pub fn photo(strip: &RgbImage, cells: usize) -> Option<RgbImage> {
    let (left, first) = (MARGIN - 1, MARGIN + HEADER - 1);
    let right = strip.width.checked_sub(MARGIN).filter(|&right| right > left)?;
    let bottom = strip.height.checked_sub(MARGIN)?;
    let is_frame = |x: usize, y: usize| strip.pixel(x, y) == FRAME;
    // Letters of the header may have the color of the frame, but not its size.
    let framed = |top: usize| {
        let height = (top..=bottom).take_while(|&y| is_frame(left, y)).count().checked_sub(2)?;
        let width = (left..=right).take_while(|&x| is_frame(x, top)).count().checked_sub(2)?;
        let is_whole = |caption: usize| {
            let layout = StripLayout { top: top + 1, caption, ..StripLayout::new(cells, (height, width)) };
            (strip.width, strip.height) == layout.size()
        };
        let found = height > 0 && width > 0 && [CAPTION, CAPTION + LABEL_LINE].into_iter().any(is_whole);
        found.then_some((top + 1, height, width))
    };
    let (top, height, width) = (first..bottom).find_map(framed)?;
    let rows = (top..top + height).flat_map(|y| &strip.rgb[3 * (y * strip.width + MARGIN)..][..3 * width]);
    Some(RgbImage::new(width, height, rows.copied().collect()))
}
