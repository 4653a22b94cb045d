//! Film strip: its pixels.

use msdcam::imaging::rgb_image::RgbImage;
use msdcam::render::placeholder::reason_picture;
use msdcam::render::sheet::{Cell, Legend, Options};
use msdcam::render::strip;
use msdcam::render::strip::strip;

const CELL: usize = 112;
const MARGIN: usize = 32;
const STEP: usize = CELL + 14;
/// The upper edge of the first row of pictures, and the middle of the labels' bar below it.
const TOP: usize = MARGIN + 68;
const BAR: usize = TOP + CELL + 14;
const WHITE: [u8; 3] = [255; 3];

fn options() -> Options {
    Options { title: "photo".into(), cell: CELL, ..Options::default() }
}

const PHOTO: [u8; 3] = [200, 30, 60];

/// A page with a cell of this picture for each label.
fn drawn(labels: &[&str], picture: &RgbImage, options: &Options) -> RgbImage {
    let cells: Vec<Cell> =
        (1..).zip(labels).map(|(exit, label)| Cell { exit, label, probability: 0.5, picture }).collect();
    strip(&RgbImage::filled(40, 40, PHOTO), &RgbImage::filled(8, 8, [1, 2, 3]), &cells, options)
}

fn plain(labels: &[&str]) -> RgbImage {
    drawn(labels, &RgbImage::filled(CELL, CELL, [9, 9, 9]), &options())
}

#[test]
fn the_photo_comes_first_then_the_exits() {
    let mut picture = RgbImage::filled(CELL, CELL, [9, 9, 9]);
    picture.rgb[..3].fill(250);
    let page = drawn(&["cat", "cat"], &picture, &options());
    assert_eq!(page.width, 2 * MARGIN + 2 * STEP + CELL);
    assert_eq!(page.pixel(MARGIN + 5, TOP + 5), PHOTO);
    for exit in 1..=2 {
        let left = MARGIN + exit * STEP;
        assert_eq!(page.pixel(left, TOP), [250; 3]);
        assert_eq!(page.pixel(left + CELL - 1, TOP + CELL - 1), [9; 3]);
    }
}

#[test]
fn a_label_keeps_its_colour_and_its_bar_breaks_only_where_the_label_changes() {
    let page = plain(&["cat", "dog", "cat", "cat"]);
    let bar = |exit: usize| page.pixel(MARGIN + exit * STEP + CELL / 2, BAR);
    assert_eq!(bar(1), bar(3));
    assert_eq!(bar(3), bar(4));
    assert_ne!(bar(1), bar(2));

    // In the gap before each exit: the mark of a change, or the bar running on.
    let gap = |exit: usize, y: usize| page.pixel(MARGIN + exit * STEP - 7, y);
    for changed in [2, 3] {
        let dark = gap(changed, TOP + 3);
        assert!(dark.iter().all(|&v| v < 64), "{dark:?}");
        assert_eq!(gap(changed, BAR), dark);
        assert_eq!(page.pixel(MARGIN + changed * STEP - 3, BAR), WHITE);
    }
    assert_eq!(gap(4, BAR), bar(4));
    assert_eq!(gap(4, TOP + 3), WHITE);
    assert_eq!(gap(1, BAR), WHITE);
}

#[test]
fn an_exit_without_evidence_shows_a_pale_photo_and_says_so() {
    let picture = reason_picture(&RgbImage::filled(CELL, CELL, PHOTO), ["no positive", "evidence"]);
    // The photo's brightness, pale: 178 + 0.28 * (0.299 * 200 + 0.587 * 30 + 0.114 * 60).
    assert_eq!(picture.pixel(1, 1), [201; 3]);
    let dark = picture.rgb.chunks_exact(3).filter(|pixel| pixel[0] < 100).count();
    assert!(dark > 50, "{dark} dark pixels of words");
}

#[test]
fn many_exits_take_several_rows_and_none_is_lost() {
    for (exits, rows, columns) in [(0, 1, 1), (1, 1, 2), (6, 1, 7), (7, 2, 5), (10, 2, 6), (30, 5, 7)] {
        let page = plain(&vec!["cat"; exits]);
        assert_eq!(page.width, 2 * MARGIN + columns * STEP - 14, "{exits} exits");
        assert_eq!(page.height, TOP + MARGIN + rows * (CELL + 68 + 28) - 28, "{exits} exits");
        let last = exits.max(1) - 1;
        let (row, column) = (last / (columns - 1).max(1), last % (columns - 1).max(1));
        let bar = BAR + row * (CELL + 68 + 28);
        if exits > 0 {
            assert_ne!(page.pixel(MARGIN + (column + 1) * STEP + CELL / 2, bar), WHITE, "{exits} exits");
        }
        // The network's input has its place where there is one.
        if rows > 1 {
            assert_eq!(page.pixel(MARGIN + 5, TOP + CELL + 68 + 28 + 5), [1, 2, 3]);
        }
    }
}

#[test]
fn a_third_line_takes_room_and_a_legend_may_have_no_bar() {
    let picture = RgbImage::filled(CELL, CELL, [9, 9, 9]);
    let low = plain(&["cat"; 4]);
    let [subtitle, remark] = ["Grad-CAM", "Lines at 50 %"].map(String::from);
    let remark = Options { subtitle, remark, ..options() };
    let high = drawn(&["cat"; 4], &picture, &remark);
    assert_eq!(high.height, low.height + 20);
    assert_eq!(high.pixel(MARGIN + 5, TOP + 20 + 5), PHOTO);
    let long = Options { subtitle: "Grad-CAM of the class that each exit predicts ".repeat(3), ..options() };
    assert_eq!(drawn(&["cat"; 4], &picture, &long).height, low.height + 20);
    let words = |page: &RgbImage| {
        let bar = |i: &usize| page.pixel(i % page.width, i / page.width);
        let coloured = |[r, g, b]: [u8; 3]| r.abs_diff(g).max(g.abs_diff(b)) > 60;
        (0..page.width * (MARGIN + 30)).filter(|i| coloured(bar(i))).count()
    };
    let without = Options { legend: Legend { bar: None, note: "grey: nothing".into() }, ..options() };
    assert!(words(&low) > 1000);
    assert_eq!(words(&drawn(&["cat"; 4], &picture, &without)), 0);
}

#[test]
fn any_text_and_any_number_can_be_drawn() {
    let picture = RgbImage::filled(CELL, CELL, [9; 3]);
    let label = "\u{1f408}\n\u{202e}\0".repeat(5000);
    let cells = [f32::NAN, f32::INFINITY, -1.0, 0.0, 1e-30, 0.99999, 1.0].map(|probability| Cell {
        exit: 999,
        label: &label,
        probability,
        picture: &picture,
    });
    let [title, subtitle, remark] = [0; 3].map(|_| label.clone());
    let options = Options { title, subtitle, remark, ..options() };
    let one = RgbImage::filled(1, 1, [0; 3]);
    let page = strip(&one, &one, &cells, &options);
    // Nothing reaches into the margins.
    let margin = |i: &usize| i % page.width < MARGIN - 2 || i % page.width >= page.width - MARGIN + 2;
    assert!((0..page.width * page.height).filter(margin).all(|i| page.rgb[i * 3..i * 3 + 3] == WHITE));
}

#[test]
fn the_photo_is_found_again_in_a_strip_of_any_length() {
    let photo = RgbImage::new(176, 176, (0..176 * 176 * 3).map(|i| (i * 7919 % 251) as u8).collect());
    for exits in [0, 1, 2, 6, 7, 10, 12, 13, 30] {
        for remark in ["", "Lines at 50 %"] {
            let cell = |exit| Cell { exit, label: "cat", probability: 0.5, picture: &photo };
            let cells: Vec<Cell> = (1..=exits).map(cell).collect();
            let [subtitle, remark] = ["Grad-CAM", remark].map(String::from);
            let page = strip(&photo, &photo, &cells, &Options { cell: 176, subtitle, remark, ..options() });
            assert_eq!(strip::photo(&page, exits), Some(photo.clone()), "{exits} exits");
        }
    }
    assert_eq!(strip::photo(&RgbImage::filled(10, 10, [0; 3]), 3), None);
    assert_eq!(strip::photo(&RgbImage::filled(2000, 50, [0; 3]), 3), None);
}
