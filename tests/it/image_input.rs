//! Decoding of valid and damaged image files, made by `golden/make_images.py`.

use std::path::{Path, PathBuf};

use msdcam::Error;
use msdcam::RgbImage;
use msdcam::imaging::photo_memory::PhotoMemory;
use msdcam::imaging::{HeldImage, decode};
use safetensors::SafeTensors;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/images")
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap()
}

/// The pixels that Pillow decodes.
fn expected(name: &str) -> RgbImage {
    let golden = SafeTensors::deserialize(include_bytes!("../golden/images.safetensors")).unwrap();
    let tensor = golden.tensor(name).unwrap();
    RgbImage::new(tensor.shape()[1], tensor.shape()[0], tensor.data().to_vec())
}

fn worst(a: &RgbImage, b: &RgbImage) -> u8 {
    assert_eq!((a.width, a.height), (b.width, b.height));
    a.rgb.iter().zip(&b.rgb).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

/// The error message, which must be one line that names the file.
fn refusal(bytes: &[u8]) -> String {
    let Err(error) = decode(bytes, Path::new("photo")) else { panic!("should be refused") };
    assert!(matches!(error, Error::Refused { .. }), "{error:?}");
    let line = error.to_string();
    assert!(line.starts_with("photo: ") && !line.contains('\n'), "{line}");
    line
}

/// A PNG chunk with a valid checksum.
fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let typed = [kind, data].concat();
    let crc = typed.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |c, _| if c & 1 == 1 { c >> 1 ^ 0xedb8_8320 } else { c >> 1 })
    });
    [&(data.len() as u32).to_be_bytes()[..], &typed, &(!crc).to_be_bytes()].concat()
}

/// A PNG whose header claims a size but whose data are empty.
fn claiming(width: u32, height: u32) -> Vec<u8> {
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    let body = [0x78, 0x9c, 0x03, 0x00, 0x00, 0x00, 0x00, 0x01]; // empty zlib stream
    [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"IHDR", &header), chunk(b"IDAT", &body), chunk(b"IEND", b"")]
        .concat()
}

/// A PNG of `samples`, (height, width) pixels of `bytes` bytes each, without compression; rows in the order of
/// Adam7's passes if it is interlaced.
fn png(
    samples: &[u8],
    (width, height): (usize, usize),
    bytes: usize,
    kind: [u8; 2],
    interlaced: bool,
) -> Vec<u8> {
    let passes =
        [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)];
    let passes = if interlaced { &passes[..] } else { &[(0, 0, 1, 1)] };
    let mut rows = Vec::new();
    for &(left, top, right, down) in passes.iter().filter(|pass| pass.0 < width) {
        for y in (top..height).step_by(down) {
            rows.push(0);
            for x in (left..width).step_by(right) {
                rows.extend(&samples[(y * width + x) * bytes..][..bytes]);
            }
        }
    }
    let adler = rows.iter().fold((1_u32, 0_u32), |(a, b), &byte| {
        let a = (a + u32::from(byte)) % 65521;
        (a, (b + a) % 65521)
    });
    let length = rows.len() as u16;
    let stored = [&[0x78, 1, 1][..], &length.to_le_bytes(), &(!length).to_le_bytes(), &rows].concat();
    let data = [&stored[..], &(adler.1 << 16 | adler.0).to_be_bytes()].concat();
    let size = [width as u32, height as u32].map(u32::to_be_bytes).concat();
    let header = [&size[..], &kind, &[0, 0, u8::from(interlaced)]].concat();
    [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"IHDR", &header), chunk(b"IDAT", &data), chunk(b"IEND", b"")]
        .concat()
}

#[test]
fn an_interlaced_png_has_the_pixels_of_the_same_one_row_after_row() {
    // Bytes for each pixel, and (bits, color type) of the header.
    for (bytes, kind) in [(1, [8, 0]), (2, [8, 4]), (3, [8, 2]), (4, [8, 6]), (2, [16, 0]), (8, [16, 6])] {
        for size in [(1, 1), (3, 9), (13, 7), (16, 16)] {
            let samples: Vec<u8> = (0..size.0 * size.1 * bytes).map(|i| (i * i * 31 + i * 7) as u8).collect();
            let [plain, interlaced] = [false, true].map(|interlaced| {
                decode(&png(&samples, size, bytes, kind, interlaced), Path::new("photo")).unwrap()
            });
            assert_eq!((plain.width, plain.height), size);
            assert_eq!(plain, interlaced, "{kind:?} {size:?}");
        }
    }
}

#[test]
fn a_photo_waits_for_memory_or_is_refused_if_it_needs_more_than_there_is() {
    let path = folder().join("chelsea_32.png");
    let needs = std::fs::metadata(&path).unwrap().len() + 3 * 32 * 32;
    let refused = HeldImage::open(&path, &PhotoMemory::new(needs - 1)).unwrap_err().to_string();
    assert!(refused.contains("memory: reading it takes") && refused.ends_with(&format!("{}", needs - 1)));
    let memory = PhotoMemory::new(needs + 3 * 32 * 10 + 100);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..20).for_each(|_| drop(HeldImage::open(&path, &memory).unwrap())));
        }
    });
}

#[test]
fn the_source_of_an_unreadable_photo_is_the_io_error() {
    let folder = tempfile::tempdir().unwrap();
    let error = RgbImage::open(folder.path().join("no\nphoto.png")).unwrap_err();
    let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<std::io::Error>());
    assert_eq!(source.map(std::io::Error::kind), Some(std::io::ErrorKind::NotFound), "{error:?}");
    let line = error.to_string();
    assert!(line.contains("no\\nphoto.png: file: cannot read: ") && !line.contains('\n'), "{line}");
}

#[test]
fn lossless_photos_match_pillow() {
    for name in [
        "rgb.png",
        "lossless.webp",
        "grey.png",
        "bits.png",
        "palette.png",
        "one.png",
        "animated.png",
        "animated.webp",
        "grey_alpha.png",
        "palette_transparent.png",
        "grey16.png",
        "grey_alpha16.png",
        "rgb16.png",
        "rgba16.png",
    ] {
        let photo = RgbImage::open(folder().join(name)).unwrap();
        assert_eq!(worst(&photo, &expected(name)), 0, "{name}");
    }
}

#[test]
fn transparency_is_composited_over_white() {
    for name in ["alpha.png", "alpha.webp"] {
        let photo = RgbImage::open(folder().join(name)).unwrap();
        assert_eq!(worst(&photo, &expected("alpha")), 0, "{name}");
    }
}

#[test]
fn lossy_photos_nearly_match_pillow() {
    // Decoders differ in the rounding of the transform and in chroma upsampling.
    for (name, most) in [
        ("baseline.jpg", 6),
        ("progressive.jpg", 6),
        ("restarts.jpg", 6),
        ("full_colour.jpg", 3),
        ("half_colour.jpg", 6),
        ("rgb.jpg", 3),
        ("grey.jpg", 2),
        ("one.jpg", 2),
        ("lossy.webp", 8),
    ] {
        let photo = RgbImage::open(folder().join(name)).unwrap();
        let worst = worst(&photo, &expected(name));
        assert!(worst <= most, "{name}: {worst}");
    }
}

#[test]
fn every_exif_orientation_is_applied() {
    let upright = expected("upright");
    for o in 1..=8 {
        for (ending, most) in [("png", 0), ("webp", 0), ("jpg", 40)] {
            let name = format!("orientation_{o}.{ending}");
            let worst = worst(&RgbImage::open(folder().join(&name)).unwrap(), &upright);
            assert!(worst <= most, "{name}: {worst}");
        }
    }
}

#[test]
fn an_invalid_orientation_is_ignored() {
    assert_eq!(RgbImage::open(folder().join("orientation_9.png")).unwrap(), expected("upright"));
}

#[test]
fn a_truncated_photo_is_refused() {
    for name in [
        "rgb.png",
        "palette.png",
        "animated.png",
        "baseline.jpg",
        "progressive.jpg",
        "restarts.jpg",
        "orientation_6.jpg",
        "lossy.webp",
        "lossless.webp",
        "alpha.webp",
        "animated.webp",
    ] {
        let whole = bytes(name);
        let step = 1 + whole.len() / 300;
        let named = [whole.len() / 10, whole.len() / 2, whole.len() - 2, whole.len() - 1];
        for cut in (1..whole.len()).step_by(step).chain(named) {
            let line = refusal(&whole[..cut]);
            if cut >= whole.len() / 10 {
                assert!(line.contains("truncated: "), "{name} cut at {cut}: {line}");
            }
        }
    }
}

#[test]
fn a_damaged_photo_never_panics() {
    for name in ["rgb.png", "baseline.jpg", "progressive.jpg", "restarts.jpg", "lossy.webp", "lossless.webp"]
    {
        let whole = bytes(name);
        for at in (0..whole.len()).step_by(1 + whole.len() / 250) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x5a;
            if let Err(error) = decode(&damaged, Path::new("photo")) {
                let line = error.to_string();
                assert!(
                    matches!(error, Error::Refused { .. }) && !line.contains("panicked"),
                    "{name} at {at}: {line}"
                );
            }
        }
    }
}

#[test]
fn damage_to_png_pixels_is_found_by_the_checksum() {
    let mut damaged = bytes("rgb.png");
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    assert!(refusal(&damaged).starts_with("photo: PNG: damaged: "));
}

#[test]
fn claimed_sizes_above_the_limit_are_refused() {
    assert_eq!(
        refusal(&claiming(20_000, 20_000)),
        "photo: PNG: 20000x20000 is 400 megapixels, the limit is 210"
    );
    assert!(refusal(&claiming(u32::MAX, u32::MAX)).contains(" megapixels, the limit is 210"));
    assert!(refusal(&claiming(14_000, 14_000)).starts_with("photo: PNG: damaged"));
    refusal(&claiming(0, 5));

    let mut jpeg = bytes("baseline.jpg");
    let frame = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].fill(0xff);
    assert_eq!(refusal(&jpeg), "photo: JPEG: 65535x65535 is 4294 megapixels, the limit is 210");
}

#[test]
fn other_formats_are_refused_by_name() {
    const NOT: &str = "photo: file: not a PNG, JPEG, WebP, GIF, BMP, PNM or TIFF image; it looks like";
    assert_eq!(refusal(b""), "photo: file: empty, not an image");
    for (bytes, what) in [
        (&b"<!doctype html><p>404"[..], "HTML"),
        (b"\0\0\0\x20ftypheic\0\0\0\0", "HEIC; convert it, e.g.: heif-convert in.heic out.png"),
        (b"%PDF-1.7", "PDF; convert it, e.g.: pdftoppm -png in.pdf out"),
        (b"\xff\xd8", "unknown data"),
    ] {
        assert_eq!(refusal(bytes), format!("{NOT} {what}"));
    }
}

#[test]
fn the_file_name_does_not_determine_the_format() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("photo.png");
    std::fs::write(&path, bytes("baseline.jpg")).unwrap();
    assert_eq!(RgbImage::open(&path).unwrap().width, 61);
}

#[test]
fn a_jpeg_with_fewer_bytes_than_its_size_takes_is_refused() {
    for (name, header) in [("baseline.jpg", 0xc0), ("progressive.jpg", 0xc2)] {
        let mut jpeg = bytes(name);
        let frame = jpeg.windows(2).position(|marker| marker == [0xff, header]).unwrap();
        jpeg[frame + 5..frame + 9]
            .copy_from_slice(&[14_000u16.to_be_bytes(), 14_000u16.to_be_bytes()].concat());
        let line = decode(&jpeg, Path::new("photo")).unwrap_err().to_string();
        assert!(line.starts_with("photo: JPEG: truncated: the scan at "), "{line}");
        assert!(line.contains(" of 765625 units"), "{line}");
    }
}

#[test]
fn folders_and_missing_files_are_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |path: &Path| RgbImage::open(path).unwrap_err().to_string();
    assert!(refused(folder.path()).ends_with(": file: cannot read: is a folder, not a file"));
    let missing = refused(&folder.path().join("a\nb.png"));
    assert!(missing.contains("a\\nb.png: file: cannot read: "), "{missing}");
}

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn pipes_and_devices_are_refused_without_blocking() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("photo.png");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [pipe.as_path(), Path::new("/dev/zero")] {
            let line = RgbImage::open(path).unwrap_err().to_string();
            assert!(line.ends_with(": file: cannot read: is a pipe or a device, not a file"), "{line}");
        }
    }

    #[test]
    fn non_unicode_names_are_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(OsStr::from_bytes(b"caf\xe9.png"));
        std::fs::write(&path, bytes("one.png")).unwrap();
        assert_eq!(RgbImage::open(&path).unwrap(), expected("one.png"));
        std::fs::write(&path, b"text").unwrap();
        let error = RgbImage::open(&path).unwrap_err().to_string();
        assert!(error.contains(r"caf\xe9.png: file: not a PNG"), "{error}");
    }

    #[test]
    fn a_huge_file_is_refused_by_its_size() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(20 << 30).unwrap();
        let line = RgbImage::open(file.path()).unwrap_err().to_string();
        assert!(line.ends_with(": file: 21474836480 bytes, the limit is 1073741824"), "{line}");
    }
}
