//! The film strip, by its pixels.

use msdcam::heat::HeatMap;
use msdcam::picture::Picture;
use msdcam::render::Colormap;
use msdcam::render::strip::{self, Cell, Options, Shown, strip};

const CELL: usize = 112;
const MARGIN: usize = 32;
const STEP: usize = CELL + 14;
/// The upper edge of the first row of pictures, and the middle of the labels' bar below it.
const TOP: usize = MARGIN + 68;
const BAR: usize = TOP + CELL + 14;
const WHITE: [u8; 3] = [255; 3];

fn options() -> Options {
    Options {
        title: "photo".into(),
        cell: CELL,
        colormap: Colormap::Grey,
        heat_alpha: 1.0,
        ..Options::default()
    }
}

fn ramp() -> HeatMap {
    HeatMap::new(&[0.0, 1.0, 2.0, 3.0], (2, 2), (64, 64))
}

fn drawn(labels: &[&str], heat: &HeatMap) -> Picture {
    let cells: Vec<Cell> = (1..)
        .zip(labels)
        .map(|(exit, label)| Cell { exit, label, probability: 0.5, shown: Shown::Heat(heat) })
        .collect();
    strip(&Picture::filled(40, 40, [200, 30, 60]), &cells, &options())
}

#[test]
fn the_photo_comes_first_then_the_exits() {
    let page = drawn(&["cat", "cat"], &ramp());
    assert_eq!(page.width, 2 * MARGIN + 2 * STEP + CELL);
    assert_eq!(page.pixel(MARGIN + 5, TOP + 5), [200, 30, 60]);
    for exit in 1..=2 {
        // The heat map alone, in grey: dark upper left, bright lower right.
        let left = MARGIN + exit * STEP;
        assert_eq!(page.pixel(left, TOP), [0; 3]);
        assert_eq!(page.pixel(left + CELL - 1, TOP + CELL - 1), [255; 3]);
    }
}

#[test]
fn a_label_keeps_its_colour_and_its_bar_breaks_only_where_the_label_changes() {
    let page = drawn(&["cat", "dog", "cat", "cat"], &ramp());
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
fn an_exit_without_evidence_shows_no_heat_and_says_so() {
    let empty = HeatMap::new(&[0.0; 4], (2, 2), (8, 8));
    let page = drawn(&["cat"], &empty);
    let cell = |x: usize, y: usize| page.pixel(MARGIN + STEP + x, TOP + y);
    // The photo's brightness, pale: 178 + 0.28 * (0.299 * 200 + 0.587 * 30 + 0.114 * 60).
    assert_eq!(cell(1, 1), [201; 3]);
    let dark = (0..CELL * CELL).filter(|i| cell(i % CELL, i / CELL)[0] < 100).count();
    assert!(dark > 50, "{dark} dark pixels of words");
}

#[test]
fn many_exits_take_several_rows_and_none_is_lost() {
    for (exits, rows, columns) in [(0, 1, 1), (1, 1, 2), (11, 1, 12), (12, 2, 7), (30, 3, 11)] {
        let page = drawn(&vec!["cat"; exits], &ramp());
        assert_eq!(page.width, 2 * MARGIN + columns * STEP - 14, "{exits} exits");
        assert_eq!(page.height, TOP + MARGIN + rows * (CELL + 68 + 28) - 28, "{exits} exits");
        let (row, column) = (exits / columns, exits % columns);
        let last = page.pixel(MARGIN + column * STEP + CELL / 2, BAR + row * (CELL + 68 + 28));
        assert_eq!(last == WHITE, exits == 0, "{exits} exits");
    }
}

#[test]
fn any_text_and_any_number_can_be_drawn() {
    let heat = ramp();
    let label = "\u{1f408}\n\u{202e}\0".repeat(5000);
    let cells = [f32::NAN, f32::INFINITY, -1.0, 0.0, 1e-30, 0.99999, 1.0].map(|probability| Cell {
        exit: 999,
        label: &label,
        probability,
        shown: Shown::Heat(&heat),
    });
    let options = Options { title: label.clone(), subtitle: label.clone(), ..options() };
    let page = strip(&Picture::filled(1, 1, [0; 3]), &cells, &options);
    // Nothing reaches into the margins.
    let margin = |i: &usize| i % page.width < MARGIN - 2 || i % page.width >= page.width - MARGIN + 2;
    assert!((0..page.width * page.height).filter(margin).all(|i| page.rgb[i * 3..i * 3 + 3] == WHITE));
}

#[test]
fn the_photo_is_found_again_in_a_strip_of_any_length() {
    let photo = Picture::new(176, 176, (0..176 * 176 * 3).map(|i| (i * 7919 % 251) as u8).collect());
    for exits in [0, 1, 2, 10, 11, 12, 13, 30] {
        let heat = ramp();
        let cell = |exit| Cell { exit, label: "cat", probability: 0.5, shown: Shown::Heat(&heat) };
        let cells: Vec<Cell> = (1..=exits).map(cell).collect();
        let page = strip(&photo, &cells, &Options { cell: 176, ..options() });
        assert_eq!(strip::photo(&page, exits), Some(photo.clone()), "{exits} exits");
    }
    assert_eq!(strip::photo(&Picture::filled(10, 10, [0; 3]), 3), None);
    assert_eq!(strip::photo(&Picture::filled(2000, 50, [0; 3]), 3), None);
}
