//! The gallery does what its controls say.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::browser::browser;
use crate::browser::chrome::{Chrome, Look};
use crate::browser::runs::{IMAGES, LABELLED, ONE_EXIT, THOUSAND};

/// The colors of the canvas that `selector` finds, as a sum that changes when they do.
fn colors(chrome: &mut Chrome, selector: &str) -> u64 {
    let expression = format!(
        "(c => {{
           const copy = new OffscreenCanvas(c.width, c.height).getContext('2d', {{ willReadFrequently: true }});
           copy.drawImage(c, 0, 0);
           const pixels = copy.getImageData(0, 0, c.width, c.height).data;
           return pixels.reduce((sum, v) => (sum * 31 + v) % 2147483647, 7);
         }})(document.querySelector({selector:?}))"
    );
    chrome.eval(&expression).as_u64().unwrap()
}

fn set(chrome: &mut Chrome, id: &str, value: &str) {
    chrome.eval(&format!(
        "(e => {{ e.value = {value:?}; e.dispatchEvent(new Event('input', {{ bubbles: true }})) }})\
         (document.getElementById({id:?}))"
    ));
}

fn text(chrome: &mut Chrome, selector: &str) -> String {
    let text = chrome.eval(&format!("document.querySelector({selector:?}).innerText"));
    text.as_str().unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Opens the small run's report at its gallery, every visible image drawn.
fn gallery() -> Option<Chrome> {
    let mut chrome = browser(&Look::DESKTOP)?;
    chrome.open(&LABELLED.page());
    chrome.eval("document.getElementById('gallery').scrollIntoView({ behavior: 'instant' })");
    chrome.until("document.querySelectorAll('.tile canvas').length > 5");
    Some(chrome)
}

const FIRST: &str = "#image-1 canvas";
const LARGE: &str = "#view-a canvas";

#[test]
fn the_slider_of_the_gallery_moves_every_image_to_another_exit() {
    let Some(mut chrome) = gallery() else { return };
    let rows = LABELLED.results();
    let last = colors(&mut chrome, FIRST);
    chrome.eval("document.getElementById('exit').focus()");
    for exit in [9, 8] {
        chrome.press("ArrowLeft");
        chrome.until(&format!("document.getElementById('exit-now').textContent == '{exit}'"));
        for image in [1, 2] {
            let said = &rows[image - 1]["exits"][exit - 1];
            let verdict = if said["label_rank"] == 0 { "right" } else { "wrong" };
            let shown = text(&mut chrome, &format!("#image-{image} .prediction"));
            assert!(shown.contains(said["class_name"].as_str().unwrap()), "exit {exit}: {shown}, {said}");
            assert!(shown.ends_with(&format!("exit {exit}, {verdict}")), "exit {exit}: {shown}, {said}");
        }
        assert_ne!(colors(&mut chrome, FIRST), last);
    }
    set(&mut chrome, "exit", "9");
    assert_eq!(colors(&mut chrome, FIRST), last, "back where it began");
    assert_eq!(chrome.problems(), [""; 0]);
}

#[test]
fn colors_scale_and_opacity_change_what_is_seen() {
    let Some(mut chrome) = gallery() else { return };
    let jet = colors(&mut chrome, FIRST);
    set(&mut chrome, "bar-colormap", "viridis");
    assert_ne!(colors(&mut chrome, FIRST), jet);
    set(&mut chrome, "bar-colormap", "jet");
    let exits = LABELLED.results()[0]["exits"].clone();
    let max = |exit: &Value| exit["map_max"].as_f64().unwrap();
    let largest = exits.as_array().unwrap().iter().map(max).fold(0.0, f64::max);
    assert!(max(&exits[9]) < largest, "the last exit's map is not the largest, so that a scale matters");
    set(&mut chrome, "bar-scale", "shared");
    assert_ne!(colors(&mut chrome, FIRST), jet);
    set(&mut chrome, "bar-scale", "own");
    assert_eq!(colors(&mut chrome, FIRST), jet);
    set(&mut chrome, "bar-opacity", "20");
    assert_eq!(chrome.eval(&format!("getComputedStyle(document.querySelector({FIRST:?})).opacity")), "0.2");
    assert_eq!(chrome.eval("document.getElementById('viewer-opacity').value"), "20", "both sliders agree");
    assert_eq!(chrome.problems(), [""; 0]);
}

/// The program's own overlay of an exit, 64 x 64, is what canvas and photo give together.
#[test]
fn a_heat_map_is_drawn_as_the_program_draws_it() {
    let Some(mut chrome) = gallery() else { return };
    let row = &LABELLED.results()[0];
    for exit in [1, 10] {
        let name = row["exits"][exit - 1]["files"]["cam"].as_str().unwrap();
        let overlay = msdcam::RgbImage::open(LABELLED.run().join(name)).unwrap();
        let drawn = chrome.eval(&format!(
            "(() => {{ const c = document.createElement('canvas'); c.width = c.height = {};
               drawHeatmap(c, data.images[0], {}, {{ colormap: 'jet', scale: 'own' }});
               return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data] }})()",
            overlay.width,
            exit - 1
        ));
        let drawn: Vec<f64> = drawn.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
        // overlay = (photo + color) / 2, and the photo is the same for every exit.
        let photo = overlay.rgb.chunks(3).zip(drawn.chunks(4));
        let photo: Vec<f64> =
            photo.flat_map(|(o, d)| (0..3).map(move |c| 2.0 * f64::from(o[c]) - d[c])).collect();
        let close = photo.iter().filter(|v| (-12.0..=267.0).contains(*v)).count();
        assert!(close as f64 > 0.995 * photo.len() as f64, "exit {exit}: {close} of {}", photo.len());
    }
}

#[test]
fn a_gallery_of_one_exit_offers_nothing_to_compare() {
    let Some(mut chrome) = browser(&Look::DESKTOP) else { return };
    chrome.open(&ONE_EXIT.page());
    chrome.eval("document.getElementById('gallery').scrollIntoView({ behavior: 'instant' })");
    chrome.until("document.querySelectorAll('.tile canvas').length > 1");
    chrome.eval("document.querySelector('.tile a').click()");
    chrome.until("document.getElementById('viewer').open");
    for id in ["exit", "bar-scale", "viewer-scale", "by-first", "compare", "film"] {
        assert_eq!(chrome.eval(&format!("document.getElementById('{id}').checkVisibility()")), false, "{id}");
    }
    chrome.press("c");
    assert_eq!(chrome.eval("document.getElementById('view-b').checkVisibility()"), false);
    set(&mut chrome, "by-hardness", "0");
    let wrong = ONE_EXIT.results().iter().filter(|row| row["exits"][0]["label_rank"] != 0).count();
    assert_eq!(chrome.eval("shown.length"), wrong);
    assert_eq!(chrome.problems(), [""; 0]);
}

#[test]
fn filters_show_what_the_results_say() {
    let Some(mut chrome) = gallery() else { return };
    let rows = LABELLED.results();
    let right = |row: &Value| -> Vec<bool> {
        row["exits"].as_array().unwrap().iter().map(|exit| exit["label_rank"] == 0).collect()
    };
    let count = |test: &dyn Fn(&Value) -> bool| rows.iter().filter(|row| test(row)).count();
    let mut shows = |id: &str, value: &str, expected: usize| {
        assert!(expected > 0, "{id} {value}: the data has none");
        set(&mut chrome, id, value);
        let visible =
            chrome.eval("[...document.querySelectorAll('.tile')].filter(t => t.checkVisibility()).length");
        assert_eq!(visible, expected, "{id} {value}");
        assert_eq!(text(&mut chrome, "#count"), format!("{expected} of {IMAGES} images"), "{id} {value}");
        set(&mut chrome, id, "");
    };
    shows("by-class", "3", count(&|row| row["label"] == 3));
    shows("by-hardness", "0", count(&|row| right(row).iter().all(|r| !r)));
    shows("by-hardness", "some", count(&|row| right(row).contains(&true) && right(row).contains(&false)));
    let firsts: Vec<Option<usize>> = rows.iter().map(|row| right(row).iter().position(|r| *r)).collect();
    let first = firsts.iter().flatten().next().expect("an exit is right once");
    shows("by-first", &first.to_string(), firsts.iter().filter(|f| **f == Some(*first)).count());
    shows("by-first", "never", firsts.iter().filter(|f| f.is_none()).count());
    shows("by-name", "0001", count(&|row| row["image"].as_str().unwrap().contains("0001")));
    let has_ship = |row: &Value| {
        let exits = row["exits"].as_array().unwrap();
        row["label_name"] == "ship" || exits.iter().any(|exit| exit["class_name"] == "ship")
    };
    shows("by-name", "Ship", count(&has_ship));
    shows("by-name", "", IMAGES);
    // Two at once.
    set(&mut chrome, "by-class", "3");
    let both = |row: &Value| row["label"] == 3 && right(row).iter().all(|r| !r);
    set(&mut chrome, "by-hardness", "0");
    assert_eq!(text(&mut chrome, "#count"), format!("{} of {IMAGES} images", count(&both)));
    assert_eq!(chrome.problems(), [""; 0]);
}

#[test]
fn keys_alone_reach_everything() {
    let Some(mut chrome) = gallery() else { return };
    let focused = |chrome: &mut Chrome| chrome.eval("document.activeElement.closest('[id]').id");
    chrome.eval("document.getElementById('exit').focus()");
    chrome.press("Tab");
    assert_eq!(focused(&mut chrome), "image-1", "one step from the slider to the images");
    let outline = chrome.eval("getComputedStyle(document.activeElement).outlineStyle");
    assert_eq!(outline, "solid", "the focus can be seen");
    chrome.press("ArrowRight");
    chrome.press("ArrowRight");
    chrome.press("ArrowLeft");
    assert_eq!(focused(&mut chrome), "image-2");
    chrome.press("ArrowDown");
    let below = focused(&mut chrome);
    assert!(below != "image-2" && below.as_str().unwrap().starts_with("image-"), "{below}");
    chrome.press("Home");
    chrome.press("Enter");
    chrome.until("document.getElementById('viewer').open");
    let last = colors(&mut chrome, LARGE);
    chrome.press("ArrowLeft");
    chrome.until("document.querySelector('#view-a .control b').textContent == '9'");
    assert_ne!(colors(&mut chrome, LARGE), last);
    let name = text(&mut chrome, "#viewer-name");
    chrome.press("ArrowDown");
    assert_ne!(text(&mut chrome, "#viewer-name"), name, "the next image");
    assert!(!chrome.eval("document.getElementById('view-b').checkVisibility()").as_bool().unwrap());
    chrome.press("c");
    assert!(chrome.eval("document.getElementById('view-b').checkVisibility()").as_bool().unwrap());
    assert_ne!(colors(&mut chrome, "#view-b canvas"), colors(&mut chrome, LARGE), "two exits");
    chrome.screenshot("viewer");
    chrome.press("Escape");
    chrome.until("!document.getElementById('viewer').open");
    assert_eq!(focused(&mut chrome), "image-2", "back at the image that was open");
    assert_eq!(chrome.problems(), [""; 0]);
}

#[test]
fn an_image_opens_by_a_click_and_its_film_chooses_an_exit() {
    let Some(mut chrome) = gallery() else { return };
    chrome.click("#image-3 a");
    chrome.until("document.getElementById('viewer').open");
    let label = LABELLED.results()[2]["exits"][3]["class_name"].as_str().unwrap().to_string();
    chrome.click("#film li:nth-child(4) button");
    assert_eq!(text(&mut chrome, "#view-a .control b"), "4");
    assert!(text(&mut chrome, "#view-a .prediction").contains(&label));
    chrome.click("#compare");
    set(&mut chrome, "viewer-scale", "shared");
    chrome.click("#close");
    chrome.until("!document.getElementById('viewer').open");
    assert_eq!(chrome.problems(), [""; 0]);
}

#[test]
fn a_thousand_images_load_and_filter_quickly() {
    let Some(mut chrome) = browser(&Look::DESKTOP) else { return };
    let page = THOUSAND.page();
    let bytes = std::fs::metadata(&page).unwrap().len();
    assert!(bytes < 15_000_000, "{bytes} bytes");
    let loaded = chrome.open(&page);
    // Seconds on a machine that does nothing else: a fifth of this.
    assert!(loaded < Duration::from_secs(10), "{loaded:?}");
    let start = Instant::now();
    set(&mut chrome, "by-class", "3");
    chrome.eval("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))");
    let filtered = start.elapsed();
    assert!(filtered < Duration::from_secs(2), "{filtered:?}");
    assert_eq!(text(&mut chrome, "#count"), "246 of 984 images");
    // Only what can be seen has been drawn.
    chrome.eval("document.getElementById('tiles').scrollIntoView({ behavior: 'instant' })");
    chrome.until("document.querySelectorAll('.tile canvas').length > 5");
    let drawn = chrome.eval("document.querySelectorAll('.tile canvas').length").as_u64().unwrap();
    assert!(drawn < 200, "{drawn} drawn");
    assert_eq!(chrome.problems(), [""; 0]);
}
