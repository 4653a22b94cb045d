//! Pictures of `msdcam explain`: styles, scales, contour lines, boxes.

use msdcam::imaging::decode;
use msdcam::imaging::rgb_image::RgbImage;
use serde_json::{Value, json};

use crate::cli::program::{Place, repository};

fn decoded(place: &Place, name: &str) -> RgbImage {
    decode(&place.read(name), std::path::Path::new(name)).unwrap()
}

fn manifest(place: &Place, folder: &str) -> Value {
    serde_json::from_slice(&place.read(&format!("{folder}/manifest.json"))).unwrap()
}

/// The cat at the model's input size, 32 x 32.
fn small_cat(place: &Place, name: &str) {
    place.write(name, &std::fs::read(repository("tests/golden/images/chelsea_32.png")).unwrap());
}

/// The exits of the only image of a run.
fn exits(place: &Place, folder: &str) -> Vec<Value> {
    let results: Value = serde_json::from_slice(&place.read(&format!("{folder}/results.jsonl"))).unwrap();
    results["exits"].as_array().unwrap().clone()
}

#[track_caller]
fn explain(place: &Place, words: &str) {
    let run = place.msdcam(format!("explain --device cpu {}", words.trim_end()).as_str());
    assert_eq!(run.code, 0, "{run:?}");
}

#[test]
fn the_article_style_has_the_pictures_and_names_of_the_article() {
    let place = Place::new();
    small_cat(&place, "100.png");
    explain(&place, "100.png -o out --style article --exits 2,5");
    let names = place.names("out");
    for name in [
        "cat_100_5_cam.jpg",
        "cat_100_5_gb.jpg",
        "cat_100_5_cam_gb.jpg",
        "cat_100_input.jpg",
        // Exit 2 predicts a dog for the cat.
        "dog_100_2_cam.jpg",
        "dog_100_2_gb.jpg",
        "dog_100_2_cam_gb.jpg",
        "dog_100_input.jpg",
    ] {
        assert!(names.contains(&name.into()), "{name}: {names:?}");
        let picture = decoded(&place, &format!("out/{name}"));
        assert_eq!((picture.width, picture.height), (512, 512), "{name}");
    }
    let files = &exits(&place, "out")[1]["files"];
    let expected = json!({
        "cam": "cat_100_5_cam.jpg", "cam_gb": "cat_100_5_cam_gb.jpg", "input": "cat_100_input.jpg",
    });
    assert_eq!(files, &expected);
    assert_eq!(
        (&manifest(&place, "out")["style"], &manifest(&place, "out")["size"]),
        (&json!("article"), &json!(512))
    );

    // Up to JPEG artifacts the file is the picture that the library draws.
    let seen = decoded(&place, "100.png");
    let input = msdcam::render::styles::article::input(&seen, (512, 512));
    let file = decoded(&place, "out/cat_100_input.jpg");
    let apart: Vec<u8> = input.rgb.iter().zip(&file.rgb).map(|(a, b)| a.abs_diff(*b)).collect();
    let mean = apart.iter().map(|&v| f64::from(v)).sum::<f64>() / apart.len() as f64;
    assert!(
        mean < 1.0 && apart.iter().max() <= Some(&16),
        "{mean} on average, {:?} at most",
        apart.iter().max()
    );
}

#[test]
fn the_article_style_names_data_set_images_by_index() {
    let place = Place::new();
    small_cat(&place, "set/cat.png");
    small_cat(&place, "set/dog.png");
    explain(&place, "set -o out --style article --exits 5 --labels-by none --quiet");
    let names = place.names("out/images/0000");
    for name in ["cat_0_5_cam.jpg", "cat_0_5_gb.jpg", "cat_1_5_cam_gb.jpg", "cat_1_input.jpg"] {
        assert!(names.contains(&name.into()), "{name}: {names:?}");
    }
}

#[test]
fn each_style_draws_its_own_picture_at_the_requested_size() {
    let place = Place::new();
    small_cat(&place, "cat.png");
    let mut pictures = Vec::new();
    for style in ["pytorch-grad-cam", "torchcam", "captum"] {
        explain(&place, &format!("cat.png -o {style} --style {style} --exits 5 --size 96"));
        let picture = decoded(&place, &format!("{style}/cat_exit05_cam.png"));
        assert_eq!((picture.width, picture.height), (96, 96), "{style}");
        assert!(pictures.iter().all(|other| *other != picture), "{style}");
        pictures.push(picture);
        let manifest = manifest(&place, style);
        assert_eq!((&manifest["style"], &manifest["colormap"]), (&json!(style), &Value::Null));
    }
    // captum's picture has only gray and green.
    assert!(pictures[2].rgb.chunks_exact(3).all(|pixel| pixel[1] >= pixel[0] && pixel[1] >= pixel[2]));
}

#[test]
fn a_style_has_its_own_colors_and_names_them() {
    let place = Place::new();
    small_cat(&place, "cat.png");
    for (words, cause) in [
        ("--style torchcam --colormap jet", "style torchcam: sets its own colormap; omit --colormap"),
        ("--style captum --alpha 0.3", "style captum: sets its own heat-alpha"),
        ("--style article --scale shared", "style article: sets its own scale"),
        ("--style article --size 64", "style article: sets its own size"),
        (
            "--style gradcam",
            "unknown style 'gradcam'; expected one of article, pytorch-grad-cam, torchcam, captum",
        ),
        ("--scale shared --smooth flips", "scale shared: each fused or smoothed map"),
        ("--scale shared --tap all-scales --fuse mean", "scale shared: each fused or smoothed map"),
    ] {
        place.msdcam(&format!("explain cat.png -o out {words}")).refused(2, &[cause]);
    }
}

#[test]
fn opacity_blends_photo_and_color_and_has_two_names() {
    let place = Place::new();
    small_cat(&place, "cat.png");
    let overlay = |words: &str| {
        explain(&place, &format!("cat.png -o out --exits 5 --size 32 {words}"));
        decoded(&place, "out/cat_exit05_cam.png")
    };
    let photo = overlay("--heat-alpha 0");
    assert_eq!(photo, decoded(&place, "cat.png"), "a photo of the size asked for, without heat");
    let heat = overlay("--alpha 100% --colormap grey");
    assert!(heat.rgb.chunks_exact(3).all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2]));
    assert_eq!(manifest(&place, "out")["heat_alpha"], json!(1.0));
    assert_eq!(overlay("--heat-alpha 0.5"), overlay(""));
    for wrong in ["-0.1", "1.1", "nan", "half", "101%"] {
        place
            .msdcam(&format!("explain cat.png --heat-alpha {wrong}"))
            .refused(2, &["an opacity from 0 to 1"]);
    }
}

#[test]
fn a_shared_scale_makes_brightness_comparable_between_exits() {
    let place = Place::new();
    small_cat(&place, "cat.png");
    let brightest = |scale: &str| -> Vec<u8> {
        let words = "cat.png -o out --exits 1,2,10 --size 256 --colormap grey --heat-alpha 1";
        explain(&place, &format!("{words} --scale {scale}"));
        assert_eq!(manifest(&place, "out")["scale"], json!(scale));
        let picture = |exit: usize| decoded(&place, &format!("out/cat_exit{exit:02}_cam.png"));
        [1, 2, 10].map(|exit| picture(exit).rgb.into_iter().max().unwrap()).to_vec()
    };
    assert_eq!(brightest("own"), [255; 3]);
    let shared = brightest("shared");
    let most: Vec<f64> = exits(&place, "out").iter().map(|exit| exit["map_max"].as_f64().unwrap()).collect();
    let largest = most.iter().copied().fold(0.0, f64::max);
    for (bright, most) in shared.iter().zip(&most) {
        // The maximum of the resized map can be slightly below that of the map.
        let expected = 255.0 * most / largest;
        assert!((f64::from(*bright) - expected).abs() < 6.0, "{shared:?} for maxima of {most:?}");
    }
}

#[test]
fn draws_the_requested_contour_lines() {
    let place = Place::new();
    small_cat(&place, "cat.png");
    let overlay = |words: &str| {
        explain(&place, &format!("cat.png -o out --exits 5 --size 128 --heat-alpha 0 {words}"));
        decoded(&place, "out/cat_exit05_cam.png")
    };
    let differing = |a: &RgbImage, b: &RgbImage| a.rgb.iter().zip(&b.rgb).filter(|(a, b)| a != b).count();
    let (plain, one, three) = (overlay(""), overlay("--contours=0.5"), overlay("--contours"));
    assert_eq!(manifest(&place, "out")["contours"], json!([0.25, 0.5, 0.75]));
    assert!(differing(&plain, &one) > 500);
    assert!(differing(&plain, &three) > differing(&plain, &one) + 500);
    assert_eq!(overlay("--contours=25%,50%,75%"), three);
    for wrong in ["0", "1", "nan", "-0.5", "0.5,2", "", "half"] {
        place.msdcam(&format!("explain cat.png --contours={wrong}")).refused(2, &[]);
    }
}

#[test]
fn boxes_are_in_pixels_of_the_photo() {
    let place = Place::new();
    small_cat(&place, "cat.png");
    explain(&place, "cat.png -o out --boxes otsu --exits 5,7 --size 64");
    for exit in exits(&place, "out") {
        let found = &exit["box"];
        let number = |key: &str| found[key].as_u64().unwrap();
        let bbox = json!([number("x"), number("y"), number("width"), number("height")]);
        assert_eq!(found["bbox"], bbox);
        assert!(number("x") + number("width") <= 32 && number("y") + number("height") <= 32, "{found}");
        assert!(number("width") * number("height") < 32 * 32, "{found}");
        let share = |key: &str| found[key].as_f64().unwrap();
        assert!(share("heat") > 0.2 && share("heat") <= 1.0, "{found}");
        assert!(share("threshold") > 0.0 && share("threshold") <= 1.0, "{found}");
    }
    // The whole map reaches the lowest threshold, so the box is the visible region.
    explain(&place, "cat.png -o whole --boxes 0.0000001 --exits 1 --method grad-cam,layer-cam");
    let exit = &exits(&place, "whole")[0];
    assert_eq!(exit["box"]["bbox"], json!([0, 0, 32, 32]));
    assert_eq!(exit["maps"][1]["box"]["bbox"].as_array().unwrap().len(), 4, "{exit}");
    assert!(exits(&place, "whole")[0]["box"]["heat"].as_f64().unwrap() > 0.99);

    explain(&place, "cat.png -o none --exits 1");
    assert_eq!(exits(&place, "none")[0].get("box"), None);
    for wrong in ["0", "-0.15", "1.01", "101%", "nan", "inf"] {
        place.msdcam(&format!("explain cat.png --boxes {wrong}")).refused(2, &["is outside (0, 1]"]);
    }
    place.msdcam("explain cat.png --boxes most").refused(2, &["invalid threshold 'most'"]);
}

#[test]
fn every_style_draws_photos_of_one_pixel_and_of_one_row() {
    let place = Place::new();
    for (name, width, height) in [("one.png", 1, 1), ("wide.png", 700, 1), ("tall.png", 2, 900)] {
        let rgb = (0..width * height * 3).map(|i| (i * 37 % 251) as u8).collect();
        place.write(name, &msdcam::imaging::encode_png(&RgbImage::new(width, height, rgb)));
        explain(&place, &format!("{name} -o out --boxes 15% --contours --exits 1,10 --size 64"));
        for exit in exits(&place, "out") {
            let found = &exit["box"];
            let end = |at: &str, length: &str| found[at].as_u64().unwrap() + found[length].as_u64().unwrap();
            assert!(
                end("x", "width") <= width as u64 && end("y", "height") <= height as u64,
                "{name}: {found}"
            );
            assert!(found["width"] != 0 && found["height"] != 0, "{name}: {found}");
        }
        for style in ["article", "captum"] {
            explain(&place, &format!("{name} -o {style} --style {style} --boxes 15% --contours --exits 10"));
        }
    }
}

#[test]
fn an_empty_map_has_no_box_and_a_placeholder_in_every_style() {
    let place = Place::new();
    small_cat(&place, "cat.png");
    let checkpoint = repository("tests/golden/nets/blocks-empty.pth");
    place.write("empty.pth", &std::fs::read(checkpoint).unwrap());
    assert_eq!(place.msdcam("convert empty.pth -o none.safetensors --normalize none").code, 0);
    for style in ["", "--style article", "--style pytorch-grad-cam", "--style torchcam", "--style captum"] {
        let words = "cat.png -o out --boxes 15% --contours --weights none.safetensors";
        explain(&place, &format!("{words} {style}"));
        let empty = &exits(&place, "out")[1];
        assert_eq!((&empty["status"], &empty["box"]), (&json!("empty"), &Value::Null), "{style}");
        let name = empty["files"]["cam"].as_str().unwrap();
        // On the pale photo only the text is dark.
        let picture = decoded(&place, &format!("out/{name}"));
        let dark = picture.rgb.chunks_exact(3).filter(|pixel| pixel[0] < 150).count();
        assert!(dark > 50 && dark < picture.rgb.len() / 30, "{style}: {dark} dark pixels");
    }
}
