//! Resizing against Pillow, PyTorch and OpenCV, from `golden/make_resize.py`.

use std::path::Path;

use msdcam::engine::bilinear::bilinear;
use msdcam::imaging::heatmap::{Heatmap, MapStatus};
use msdcam::imaging::rgb_image::RgbImage;
use msdcam::imaging::{Filter, Region, ResizePolicy, prepare, resample};
use safetensors::SafeTensors;

fn golden() -> SafeTensors<'static> {
    SafeTensors::deserialize(include_bytes!("../golden/resize.safetensors")).unwrap()
}

fn picture(golden: &SafeTensors, name: &str) -> RgbImage {
    let tensor = golden.tensor(name).unwrap();
    RgbImage::new(tensor.shape()[1], tensor.shape()[0], tensor.data().to_vec())
}

fn floats(golden: &SafeTensors, name: &str) -> (Vec<usize>, Vec<f32>) {
    let tensor = golden.tensor(name).unwrap();
    let (words, _) = tensor.data().as_chunks::<4>();
    (tensor.shape().to_vec(), words.iter().map(|w| f32::from_le_bytes(*w)).collect())
}

/// The 8-bit pixels of a prepared input without normalization.
fn seen(photo: &RgbImage, size: usize) -> RgbImage {
    let prepared = prepare(photo, (size, size), ResizePolicy::CenterCrop, [0.0; 3], [1.0; 3]);
    let plane = size * size;
    let rgb =
        (0..plane).flat_map(|i| [0, 1, 2].map(|c| (prepared.tensor[c * plane + i] * 255.0).round() as u8));
    RgbImage::new(size, size, rgb.collect())
}

fn assert_same(ours: &RgbImage, theirs: &RgbImage, what: &str) {
    assert_eq!((ours.width, ours.height), (theirs.width, theirs.height), "{what}");
    let differing = ours.rgb.iter().zip(&theirs.rgb).position(|(a, b)| a != b);
    if let Some(i) = differing {
        let (x, y) = (i / 3 % ours.width, i / 3 / ours.width);
        panic!("{what}: pixel ({x}, {y}) is {:?}, should be {:?}", ours.pixel(x, y), theirs.pixel(x, y));
    }
}

fn assert_near(ours: &[f32], theirs: &[f32], most: f32, what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (i, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!((a - b).abs() <= most, "{what}: number {i} is {a}, should be {b}");
    }
}

#[test]
fn prepared_inputs_equal_pillow_bit_for_bit() {
    let golden = golden();
    let mut cases = 0;
    for name in golden.names() {
        let Some(case) = name.strip_prefix("view.").and_then(|n| n.strip_suffix(".in")) else { continue };
        let size = case.rsplit('.').next().unwrap().parse().unwrap();
        let expected = picture(&golden, &format!("view.{case}.out"));
        assert_same(&seen(&picture(&golden, name), size), &expected, case);
        cases += 1;
    }
    assert_eq!(cases, 18);
}

#[test]
fn stretched_and_padded_inputs_equal_pillow_bit_for_bit() {
    let golden = golden();
    let mut cases = 0;
    for (prefix, policy) in [("stretch.", ResizePolicy::Stretch), ("pad.", ResizePolicy::Pad)] {
        for name in golden.names() {
            let Some(case) = name.strip_prefix(prefix).and_then(|n| n.strip_suffix(".out")) else { continue };
            let (photo, expected) = (picture(&golden, &format!("view.{case}.in")), picture(&golden, name));
            let size = (expected.height, expected.width);
            let prepared = prepare(&photo, size, policy, [0.5, 0.2, 0.0], [1.0; 3]);
            assert_same(&prepared.seen, &expected, name);
            cases += 1;
        }
    }
    assert_eq!(cases, 12);
}

#[test]
fn photos_of_one_row_or_column_equal_pillow() {
    let row = (0..5000).flat_map(|i| [(i % 256) as u8, (i * 7 % 256) as u8, (i / 3 % 256) as u8]).collect();
    let row = RgbImage::new(5000, 1, row);
    let column = RgbImage::new(1, 5000, row.rgb.clone());
    let golden = golden();
    assert_same(&seen(&row, 32), &picture(&golden, "ramp.1x5000.32.out"), "row");
    assert_same(&seen(&column, 32), &picture(&golden, "ramp.5000x1.32.out"), "column");
}

#[test]
fn the_cat_comes_to_32_pixels_as_in_the_networks_published_answers() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let photo = RgbImage::open(folder.join("chelsea.png")).unwrap();
    assert_same(&seen(&photo, 32), &RgbImage::open(folder.join("chelsea_32.png")).unwrap(), "chelsea");
}

#[test]
fn crops_for_display_equal_pillow_bicubic() {
    let golden = golden();
    let photo = picture(&golden, "display.in");
    for case in 0..9 {
        let (_, edges) = floats(&golden, &format!("display.{case}.box"));
        let edges: Vec<f64> = edges.into_iter().map(f64::from).collect();
        let part = Region { left: edges[0], top: edges[1], right: edges[2], bottom: edges[3] };
        let expected = picture(&golden, &format!("display.{case}.out"));
        let ours = resample(&photo, part, expected.width, expected.height, Filter::Bicubic);
        assert_same(&ours, &expected, &format!("display {case}"));
    }
}

#[test]
fn maps_are_resized_like_pytorch() {
    let golden = golden();
    let mut cases = 0;
    for name in golden.names() {
        let Some((from, to)) = name.strip_prefix("map.").and_then(|n| n.split_once('.')) else { continue };
        let Some((height, width)) = to.split_once('x') else { continue };
        let target = (height.parse().unwrap(), width.parse().unwrap());
        let (shape, map) = floats(&golden, &format!("map.{from}.in"));
        let mut ours = bilinear(&map, (shape[0], shape[1]), target);
        if target == (224, 224) {
            // Every fifth row and column is stored.
            ours = (0..224)
                .step_by(5)
                .flat_map(|y| (0..224).step_by(5).map(move |x| y * 224 + x))
                .map(|i| ours[i])
                .collect();
        }
        let (_, theirs) = floats(&golden, name);
        assert_near(&ours, &theirs, 1e-5, name);
        cases += 1;
    }
    assert_eq!(cases, 8);
}

#[test]
fn heatmaps_are_scaled_like_the_article() {
    let golden = golden();
    for case in 0..3 {
        let (shape, raw) = floats(&golden, &format!("heat.{case}.in"));
        let (_, theirs) = floats(&golden, &format!("heat.{case}.out"));
        let heat = Heatmap::new(&raw, (shape[0], shape[1]), (512, 512));
        assert_eq!(heat.status, MapStatus::Ok);
        let every_eighth = (0..512).step_by(8).flat_map(|y| (0..512).step_by(8).map(move |x| y * 512 + x));
        let ours: Vec<f32> = every_eighth.map(|i| heat.values[i]).collect();
        assert_near(&ours, &theirs, 1e-5, &format!("heat {case}"));
    }
}
