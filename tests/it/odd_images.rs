//! Photos that cameras, programs and accidents make, by `golden/make_odd_images.py`: the pixels of Pillow, or an error.

use std::path::{Path, PathBuf};

use msdcam::imaging::HeldImage;
use msdcam::imaging::photo_memory::PhotoMemory;
use msdcam::{Error, RgbImage};
use safetensors::SafeTensors;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/odd_images")
}

/// Names of the files with this ending, sorted.
fn names(ending: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(ending)).collect();
    names.sort();
    assert!(!names.is_empty(), "no file ends with {ending}");
    names
}

fn refusal(name: &str) -> String {
    let error = RgbImage::open(folder().join(name)).unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error:?}");
    let line = error.to_string();
    assert!(line.contains(name) && !line.contains('\n') && !line.contains("panic"), "{line}");
    line
}

/// Compares all sound files with this ending: samples differ by at most `most`, a tenth of that on average.
fn assert_as_pillow(ending: &str, most: u8) {
    let golden = SafeTensors::deserialize(include_bytes!("../golden/odd_images.safetensors")).unwrap();
    for name in names(ending).iter().filter(|name| !name.starts_with("bad_")) {
        let photo = RgbImage::open(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let expected = golden.tensor(name).unwrap();
        assert_eq!([photo.height, photo.width, 3], expected.shape(), "{name}");
        let differences = photo.rgb.iter().zip(expected.data()).map(|(a, b)| a.abs_diff(*b));
        let worst = differences.clone().max().unwrap();
        let mean = differences.map(f64::from).sum::<f64>() / photo.rgb.len() as f64;
        assert!(worst <= most && mean <= f64::from(most) / 5.0, "{name}: at most {worst}, on average {mean}");
    }
}

#[test]
fn jpegs_of_every_layout_have_the_pixels_of_libjpeg() {
    // Decoders differ in the rounding of the transform and in chroma upsampling.
    assert_as_pillow(".jpg", 4);
}

#[test]
fn webp_png_bmp_pnm_gif_and_tiff_have_the_pixels_of_pillow() {
    for ending in [".webp", ".png", ".bmp", ".ppm", ".pgm", ".pbm", ".gif", ".tif"] {
        assert_as_pillow(ending, 0);
    }
}

#[test]
fn pixels_that_a_bitmap_skips_are_black() {
    let short = u16::to_le_bytes;
    let long = |v: u32| v.to_le_bytes();
    // Two of the first color and one of the second, in the lower row; in the upper one only the third pixel.
    let codes = [2, 0, 1, 1, 0, 0, 0, 2, 2, 0, 1, 1, 0, 1];
    let palette = [[10, 20, 30, 0], [40, 50, 60, 0]].concat();
    let header =
        [&long(40)[..], &long(3), &long(2), &short(1), &short(8), &long(1), &long(codes.len() as u32)];
    let header = [&header.concat()[..], &long(0), &long(0), &long(2), &long(2)].concat();
    let start = 14 + (header.len() + palette.len()) as u32;
    let file = [b"BM", &long(start + codes.len() as u32)[..], &long(0), &long(start)].concat();
    let file = [&file[..], &header, &palette, &codes].concat();
    let photo = msdcam::imaging::decode(&file, Path::new("skips.bmp")).unwrap();
    let (black, first, second) = ([0; 3], [30, 20, 10], [60, 50, 40]);
    assert_eq!(photo.rgb, [black, black, second, first, first, second].concat());
}

#[test]
fn damage_that_leaves_valid_codes_is_found() {
    for (name, cause) in [
        ("bad_half_scan.jpg", ": JPEG: truncated: the scan at 623 ends at "),
        ("bad_half_progressive_scan.jpg", ": JPEG: truncated: the scan at "),
        (
            "bad_missing_scan.jpg",
            ": JPEG: truncated: the progressive scans give 1 of 64 coefficients of component 1",
        ),
        ("bad_taller_header.jpg", ": JPEG: truncated: the scan at 623 ends at "),
        ("bad_lost_restart.jpg", " where restart marker d2 belongs, after 3 of 6 units"),
    ] {
        let line = refusal(name);
        assert!(line.contains(cause), "{line}");
    }
}

#[test]
fn what_is_not_supported_is_named_with_a_way_out() {
    for (name, cause) in [
        ("bad_arithmetic.jpg", ": JPEG: arithmetic coding is not supported; convert it, e.g. "),
        ("bad_between.jpg", ": JPEG: sampling factors 4x1, 2x1, 2x1 are not supported; convert it, e.g. "),
        ("bad_palette.tif", "; convert it, e.g. to PNG with ImageMagick"),
        ("bad_bit_order.tif", ": TIFF: bytes with the lowest bit first are not supported; convert it, e.g. "),
        ("bad_palette.bmp", ": BMP: damaged: the pixels begin at 54, inside the header of 118 bytes"),
        ("bad_preview.tif", ": TIFF: a preview comes first, as in a camera's raw file; "),
    ] {
        let line = refusal(name);
        assert!(line.contains(cause), "{line}");
    }
}

#[test]
fn a_truncated_file_is_refused() {
    for name in
        ["scans.jpg", "progressive_restarts.jpg", "rgb.bmp", "rgb.ppm", "plain.gif", "lzw.tif", "plain.tif"]
    {
        let whole = std::fs::read(folder().join(name)).unwrap();
        for cut in [whole.len() / 10, whole.len() / 2, whole.len() * 9 / 10] {
            let error = msdcam::imaging::decode(&whole[..cut], Path::new("photo")).unwrap_err().to_string();
            assert!(!error.contains("panic"), "{name} cut at {cut}: {error}");
        }
    }
}

#[test]
fn a_damaged_file_never_panics() {
    for name in [
        "scans.jpg",
        "fine_chroma.jpg",
        "progressive_restarts.jpg",
        "stray_bytes.jpg",
        "cmyk.jpg",
        "palette.bmp",
        "text.ppm",
        "gray16.pgm",
        "animated.gif",
        "lzw.tif",
        "fax.tif",
        "packed_profile.png",
    ] {
        let whole = std::fs::read(folder().join(name)).unwrap();
        for at in (0..whole.len()).step_by(1 + whole.len() / 250) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x5a;
            if let Err(error) = msdcam::imaging::decode(&damaged, Path::new("photo")) {
                assert!(!error.to_string().contains("panicked"), "{name} at {at}: {error}");
            }
        }
    }
}

#[test]
fn every_format_takes_its_share_of_the_memory_for_photos() {
    for name in
        ["scans.jpg", "stray_bytes.jpg", "late_exif.png", "rgb.bmp", "rgb.ppm", "plain.gif", "gray16.tif"]
    {
        let path = folder().join(name);
        let photo = RgbImage::open(&path).unwrap();
        let least = std::fs::metadata(&path).unwrap().len() + photo.rgb.len() as u64;
        let refused = HeldImage::open(&path, &PhotoMemory::new(least)).unwrap_err().to_string();
        assert!(refused.contains("memory: reading it takes"), "{name}: {refused}");
        assert!(HeldImage::open(&path, &PhotoMemory::new(least * 50)).is_ok(), "{name}");
    }
}
