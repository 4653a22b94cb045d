//! Pixels of the film strip.

use msdcam::imaging::rgb_image::RgbImage;
use msdcam::render::placeholder::placeholder;
use msdcam::render::sheet::{ExitCell, Legend, SheetOptions};
use msdcam::render::strip;
use msdcam::render::strip::strip;

const CELL: usize = 112;
const MARGIN: usize = 32;
const STEP: usize = CELL + 14;
/// Upper edge of the first row of pictures, and middle of the label bar below it.
const TOP: usize = MARGIN + 68;
const BAR: usize = TOP + CELL + 14;
/// Height of a legend below the lines of a narrow page.
const LEGEND: usize = 42;
const WHITE: [u8; 3] = [255; 3];

fn options() -> SheetOptions {
    SheetOptions { title: "photo".into(), cell: CELL, ..SheetOptions::default() }
}

const PHOTO: [u8; 3] = [200, 30, 60];

/// A film strip with a cell of the same picture for each label.
fn drawn(labels: &[&str], picture: &RgbImage, options: &SheetOptions) -> RgbImage {
    let cells: Vec<ExitCell> =
        (1..).zip(labels).map(|(exit, label)| ExitCell { exit, label, probability: 0.5, picture }).collect();
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
    let top = TOP + LEGEND;
    assert_eq!(page.pixel(MARGIN + 5, top + 5), PHOTO);
    for exit in 1..=2 {
        let left = MARGIN + exit * STEP;
        assert_eq!(page.pixel(left, top), [250; 3]);
        assert_eq!(page.pixel(left + CELL - 1, top + CELL - 1), [9; 3]);
    }
}

#[test]
fn a_label_keeps_its_color_and_its_bar_breaks_only_where_the_label_changes() {
    let page = plain(&["cat", "dog", "cat", "cat"]);
    let bar = |exit: usize| page.pixel(MARGIN + exit * STEP + CELL / 2, BAR);
    assert_eq!(bar(1), bar(3));
    assert_eq!(bar(3), bar(4));
    assert_ne!(bar(1), bar(2));

    // In the gap before each exit: the change mark, or the continuing bar.
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
fn an_exit_without_evidence_has_a_placeholder() {
    let picture = placeholder(&RgbImage::filled(CELL, CELL, PHOTO), ["no positive", "evidence"]);
    // The photo's luma, faded: 178 + 0.28 * (0.299 * 200 + 0.587 * 30 + 0.114 * 60).
    assert_eq!(picture.pixel(1, 1), [201; 3]);
    let dark = picture.rgb.chunks_exact(3).filter(|pixel| pixel[0] < 100).count();
    assert!(dark > 50, "{dark} dark pixels of words");
}

#[test]
fn many_exits_are_drawn_in_several_rows() {
    for (exits, rows, columns) in [(0, 1, 1), (1, 1, 2), (6, 1, 7), (7, 2, 5), (10, 2, 6), (30, 5, 7)] {
        let page = plain(&vec!["cat"; exits]);
        assert_eq!(page.width, 2 * MARGIN + columns * STEP - 14, "{exits} exits");
        // The note of the legend takes two lines on a page as narrow as the photo alone.
        let legend = [LEGEND + 20, LEGEND].get(exits).copied().unwrap_or(0);
        assert_eq!(page.height, TOP + legend + MARGIN + rows * (CELL + 68 + 28) - 28, "{exits} exits");
        let last = exits.max(1) - 1;
        let (row, column) = (last / (columns - 1).max(1), last % (columns - 1).max(1));
        let bar = BAR + legend + row * (CELL + 68 + 28);
        if exits > 0 {
            assert_ne!(page.pixel(MARGIN + (column + 1) * STEP + CELL / 2, bar), WHITE, "{exits} exits");
        }
        // The model's input is drawn if there is a second row.
        if rows > 1 {
            assert_eq!(page.pixel(MARGIN + 5, TOP + legend + CELL + 68 + 28 + 5), [1, 2, 3]);
        }
    }
}

#[test]
fn a_remark_adds_a_line_and_the_color_bar_is_optional() {
    let picture = RgbImage::filled(CELL, CELL, [9, 9, 9]);
    let low = plain(&["cat"; 4]);
    let [subtitle, remark] = ["Grad-CAM", "Lines at 50 %"].map(String::from);
    let remark = SheetOptions { subtitle, remark, ..options() };
    let high = drawn(&["cat"; 4], &picture, &remark);
    assert_eq!(high.height, low.height + 20);
    assert_eq!(high.pixel(MARGIN + 5, TOP + 20 + 5), PHOTO);
    let long =
        SheetOptions { subtitle: "Grad-CAM of the class that each exit predicts ".repeat(3), ..options() };
    assert_eq!(drawn(&["cat"; 4], &picture, &long).height, low.height + 20);
    let words = |page: &RgbImage| {
        let bar = |i: &usize| page.pixel(i % page.width, i / page.width);
        let colored = |[r, g, b]: [u8; 3]| r.abs_diff(g).max(g.abs_diff(b)) > 60;
        (0..page.width * (MARGIN + 30)).filter(|i| colored(bar(i))).count()
    };
    let without = SheetOptions { legend: Legend { bar: None, note: "grey: nothing".into() }, ..options() };
    assert!(words(&low) > 1000);
    assert_eq!(words(&drawn(&["cat"; 4], &picture, &without)), 0);
}

#[test]
fn strips_of_few_exits_have_a_color_bar_too() {
    for cell in [CELL, 176] {
        for exits in [1, 2, 3] {
            let picture = RgbImage::filled(cell, cell, [9, 9, 9]);
            let page = drawn(&["cat"; 3][..exits], &picture, &SheetOptions { cell, ..options() });
            let above = page.rgb[..page.width * (TOP + LEGEND - 4) * 3].chunks_exact(3);
            let colored = above.filter(|p| p[0].abs_diff(p[1]).max(p[1].abs_diff(p[2])) > 60).count();
            assert!(colored > 600, "{exits} exits of {cell}: {colored}");
        }
    }
}

#[test]
fn a_long_label_takes_two_lines_of_which_none_is_cut() {
    let label = "Greater Swiss Mountain dog";
    let photo = RgbImage::filled(176, 176, PHOTO);
    let options = SheetOptions { cell: 176, ..options() };
    let page = |labels: &[&str]| {
        let cell = |(exit, label)| ExitCell { exit, label, probability: 0.5, picture: &photo };
        let cells: Vec<ExitCell> = (1..).zip(labels.iter().copied()).map(cell).collect();
        strip(&photo, &photo, &cells, &options)
    };
    let (short, long) = (page(&["cat"; 3]), page(&["cat", label, "cat"]));
    assert_eq!(long.height, short.height + 21);
    let dark = |page: &RgbImage| page.rgb.chunks_exact(3).filter(|pixel| pixel[0] < 100).count();
    assert!(dark(&long) > dark(&short));
    assert_eq!(strip::photo(&long, 3), Some(photo.clone()));
}

#[test]
fn any_text_and_any_probability_can_be_drawn() {
    let picture = RgbImage::filled(CELL, CELL, [9; 3]);
    let label = "\u{1f408}\n\u{202e}\0".repeat(5000);
    let cells = [f32::NAN, f32::INFINITY, -1.0, 0.0, 1e-30, 0.99999, 1.0].map(|probability| ExitCell {
        exit: 999,
        label: &label,
        probability,
        picture: &picture,
    });
    let [title, subtitle, remark] = [0; 3].map(|_| label.clone());
    let options = SheetOptions { title, subtitle, remark, ..options() };
    let one = RgbImage::filled(1, 1, [0; 3]);
    let page = strip(&one, &one, &cells, &options);
    // The margins stay empty.
    let margin = |i: &usize| i % page.width < MARGIN - 2 || i % page.width >= page.width - MARGIN + 2;
    assert!((0..page.width * page.height).filter(margin).all(|i| page.rgb[i * 3..i * 3 + 3] == WHITE));
}

#[test]
fn the_photo_is_recovered_from_a_strip_of_any_length() {
    let photo = RgbImage::new(176, 176, (0..176 * 176 * 3).map(|i| (i * 7919 % 251) as u8).collect());
    for exits in [0, 1, 2, 6, 7, 10, 12, 13, 30] {
        for remark in ["", "Lines at 50 %"] {
            let cell = |exit| ExitCell { exit, label: "cat", probability: 0.5, picture: &photo };
            let cells: Vec<ExitCell> = (1..=exits).map(cell).collect();
            let [subtitle, remark] = ["Grad-CAM", remark].map(String::from);
            let page =
                strip(&photo, &photo, &cells, &SheetOptions { cell: 176, subtitle, remark, ..options() });
            assert_eq!(strip::photo(&page, exits), Some(photo.clone()), "{exits} exits");
        }
    }
    assert_eq!(strip::photo(&RgbImage::filled(10, 10, [0; 3]), 3), None);
    assert_eq!(strip::photo(&RgbImage::filled(2000, 50, [0; 3]), 3), None);
}
