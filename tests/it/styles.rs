//! Overlays in the styles of other tools against what those tools draw; see `golden/make_styles.py`.

use crate::common::golden::Golden;
use msdcam::imaging::heatmap::Heatmap;
use msdcam::imaging::rgb_image::RgbImage;
use msdcam::render::styles::{Style, article, captum, pytorch_grad_cam, torchcam};

/// A golden map: its name, its numbers, its size.
struct Map {
    name: &'static str,
    signed: Vec<f32>,
    size: (usize, usize),
}

impl Map {
    fn all(golden: &Golden) -> [Map; 3] {
        ["cat", "noise", "tiny"].map(|name| {
            let (dims, signed) = golden.array(&format!("{name}.map"));
            Map { name, signed, size: (dims[0], dims[1]) }
        })
    }

    fn positive(&self) -> Vec<f32> {
        self.signed.iter().map(|v| v.max(0.0)).collect()
    }

    fn heat(&self, side: usize) -> Heatmap {
        Heatmap::new(&self.positive(), self.size, (side, side))
    }
}

/// How far two pictures may be apart.
struct Allowed {
    /// Levels of 255.
    levels: u8,
    /// Share of the bytes that may differ at all.
    share: f64,
}

const EXACT: Allowed = Allowed { levels: 0, share: 0.0 };

/// Sums of three products in f32, in another order than OpenCV's, then cut off to a byte.
const LAST_BIT: Allowed = Allowed { levels: 1, share: 1e-3 };

#[track_caller]
fn assert_near(what: &str, ours: &RgbImage, theirs: &RgbImage, allowed: &Allowed) {
    assert_eq!((ours.width, ours.height), (theirs.width, theirs.height), "{what}");
    let apart = |i: &usize| ours.rgb[*i].abs_diff(theirs.rgb[*i]);
    let differing: Vec<usize> = (0..ours.rgb.len()).filter(|i| apart(i) > 0).collect();
    let Some(&worst) = differing.iter().max_by_key(|i| apart(i)) else { return };
    let share = differing.len() as f64 / ours.rgb.len() as f64;
    let (x, y) = (worst / 3 % ours.width, worst / 3 / ours.width);
    assert!(
        apart(&worst) <= allowed.levels && share <= allowed.share,
        "{what}: {share} of the bytes differ; pixel ({x}, {y}) is {:?}, should be {:?}",
        ours.pixel(x, y),
        theirs.pixel(x, y)
    );
}

/// The golden part of an article's picture: every eighth row from 3 and column from 5.
fn part(picture: &RgbImage) -> RgbImage {
    assert_eq!((picture.width, picture.height), (article::SIDE, article::SIDE));
    let places =
        (3..article::SIDE).step_by(8).flat_map(|y| (5..article::SIDE).step_by(8).map(move |x| (x, y)));
    RgbImage::new(64, 64, places.flat_map(|(x, y)| picture.pixel(x, y)).collect())
}

#[test]
fn the_articles_four_pictures_are_the_originals() {
    let golden = Golden::load("styles");
    let seen = golden.picture("seen");
    for map in Map::all(&golden).iter().filter(|map| map.name != "noise") {
        let heat = map.heat(article::SIDE);
        let (_, gradient) = golden.array(&format!("{}.gradient", map.name));
        let (from, to) = ((32, 32), (article::SIDE, article::SIDE));
        for (what, picture) in [
            ("cam", article::cam(&seen, &heat)),
            ("gb", article::gb(&gradient, from, to)),
            ("cam_gb", article::cam_gb(&gradient, from, &heat)),
            ("input", article::input(&seen, to)),
        ] {
            let name = format!("{}.article.{what}", map.name);
            assert_near(&name, &part(&picture), &golden.picture(&name), &LAST_BIT);
        }
    }
}

#[test]
fn pytorch_grad_cams_picture_is_its_own() {
    let golden = Golden::load("styles");
    for map in Map::all(&golden) {
        let name = format!("{}.pytorch-grad-cam", map.name);
        let picture = pytorch_grad_cam::cam(&golden.picture("photo"), &map.positive(), map.size);
        assert_near(&name, &picture, &golden.picture(&name), &EXACT);
    }
}

#[test]
fn torchcams_picture_is_its_own() {
    let golden = Golden::load("styles");
    for map in Map::all(&golden) {
        let name = format!("{}.torchcam", map.name);
        let picture = torchcam::cam(&golden.picture("photo"), &map.positive(), map.size);
        assert_near(&name, &picture, &golden.picture(&name), &EXACT);
    }
}

#[test]
fn captums_pictures_are_its_own() {
    let golden = Golden::load("styles");
    let photo = golden.picture("photo");
    for map in Map::all(&golden) {
        for (what, picture) in [
            ("blended", captum::blended(&photo, &map.positive(), map.size)),
            ("signed", captum::signed(&map.signed, map.size, (photo.height, photo.width))),
        ] {
            let name = format!("{}.captum.{what}", map.name);
            assert_near(&name, &picture, &golden.picture(&name), &EXACT);
        }
    }
}

#[test]
fn styles_are_named_and_an_unknown_one_lists_them() {
    for style in Style::ALL {
        assert_eq!(style.to_string().parse(), Ok(style));
    }
    let error = "gradcam".parse::<Style>().unwrap_err().to_string();
    assert_eq!(error, "no style 'gradcam'; there are article, pytorch-grad-cam, torchcam, captum");
}
