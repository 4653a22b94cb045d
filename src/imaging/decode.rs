//! Decoding of an image file into an upright 8-bit RGB image.
//!
//! Grayscale and palette pixels become RGB, 16-bit samples become 8-bit by `x / 257` rounded, transparency
//! is composited over white, the EXIF orientation is applied, color profiles are not, and of an animation
//! only the first frame is read.

use std::fs::File;
use std::io::{Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageError, Limits};

use super::complete;
use super::jpeg::Jpeg;
use super::rgb_image::RgbImage;
use super::sniff::{Format, sniff};
use crate::util::allocation;
use crate::{Error, Result};

/// Maximum number of pixels of a photo: above the largest phone and studio cameras.
pub const MAX_PIXELS: u64 = 210_000_000;
/// Maximum size of a file in bytes.
pub const MAX_BYTES: u64 = 1 << 30;
/// Allocation limit of a decoder in bytes: the largest photo at eight bytes per pixel, plus 256 MiB.
const MAX_ALLOC: u64 = MAX_PIXELS * 8 + (256 << 20);

impl RgbImage {
    /// Reads and decodes the photo in `path`; see [`decode`].
    ///
    /// # Errors
    /// [`Error::Refused`], also for anything but a regular file: opening a named pipe would block.
    pub fn open(path: impl AsRef<Path>) -> Result<RgbImage> {
        let path = path.as_ref();
        let unreadable = |e: std::io::Error| Error::cannot_read(path, e);
        let metadata = std::fs::metadata(path).map_err(unreadable)?;
        if metadata.is_dir() {
            return Err(Error::refused(path, "file", "is a folder, not an image"));
        }
        if !metadata.is_file() {
            return Err(Error::refused(path, "file", "is a pipe or a device, not an image file"));
        }
        let too_large = |n: u64| {
            Error::refused(
                path,
                "file",
                format!("{n} bytes are too many for a photo, the limit is {MAX_BYTES}"),
            )
        };
        if metadata.len() > MAX_BYTES {
            return Err(too_large(metadata.len()));
        }
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(unreadable)?;
        let stamp = |file: &File| file.metadata().map(|metadata| (metadata.len(), metadata.modified().ok()));
        let before = stamp(&file).map_err(unreadable)?;
        // The file may grow while it is read.
        (&file).take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(too_large(bytes.len() as u64));
        }
        if stamp(&file).map_err(unreadable)? != before {
            return Err(Error::refused(path, "file", "changed while it was read"));
        }
        decode(&bytes, path)
    }
}

/// Decodes the `bytes` of a PNG, JPEG or WebP file; `name` is used in messages only.
///
/// # Errors
/// [`Error::Refused`] for other formats, damaged or truncated data, more than [`MAX_PIXELS`] pixels, and
/// CMYK.
pub fn decode(bytes: &[u8], name: &Path) -> Result<RgbImage> {
    if bytes.is_empty() {
        return Err(Error::refused(name, "file", "empty, not an image"));
    }
    let format = sniff(bytes).map_err(|what| {
        Error::refused(name, "file", format!("not a PNG, JPEG or WebP image; it looks like {what}"))
    })?;
    // The codecs should not panic on bad data, but an untrusted file may trigger a bug in them.
    catch_unwind(AssertUnwindSafe(|| decode_format(format, bytes)))
        .unwrap_or_else(|_| Err("damaged: the decoder panicked".into()))
        .map_err(|cause| Error::refused(name, format.name(), cause))
}

fn decode_format(format: Format, bytes: &[u8]) -> Result<RgbImage, String> {
    match format {
        Format::Png => {
            // The header chunk comes first. The decoder reads it too, but its error about a size beyond
            // the limits is vague.
            if let Some((width, height)) = bytes.get(16..24).map(|size| size.split_at(4)) {
                let side = |bytes: &[u8]| bytes.iter().fold(0, |n, &b| n << 8 | u64::from(b));
                check_size(side(width), side(height))?;
            }
            let decoder = PngDecoder::with_limits(Cursor::new(bytes), limits());
            decode_with(decoder.map_err(|e| cause(format, bytes, &e))?, format, bytes)
        }
        Format::WebP => {
            let decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(|e| cause(format, bytes, &e))?;
            decode_with(decoder, format, bytes)
        }
        Format::Jpeg => {
            // A truncated file is reported as truncated, whatever the decoder reports.
            let or_truncated = |e: String| complete::check(format, bytes).err().unwrap_or(e);
            let jpeg = Jpeg::header(bytes).map_err(or_truncated)?;
            let (width, height) = jpeg.size;
            check_size(width as u64, height as u64)?;
            complete::check(format, bytes)?;
            let orientation = jpeg.exif.as_deref().and_then(Orientation::from_exif_chunk);
            let mut rgb = zeros(width * height * 3)?;
            // A progressive JPEG keeps its coefficients, 16 bits a sample, for all of its scans.
            check_scratch(2 * rgb.len())?;
            jpeg.decode_into(&mut rgb).map_err(|e| format!("damaged: {e}"))?;
            upright(width, height, rgb, orientation)
        }
    }
}

/// Checks the size, then completeness, then decodes, so that a header alone cannot cause a large
/// allocation.
fn decode_with(mut decoder: impl ImageDecoder, format: Format, bytes: &[u8]) -> Result<RgbImage, String> {
    let (width, height) = decoder.dimensions();
    check_size(width.into(), height.into())?;
    complete::check(format, bytes)?;
    // An unreadable EXIF block does not affect the pixels.
    let orientation = decoder.orientation().ok();
    decoder.set_limits(limits()).map_err(|e| cause(format, bytes, &e))?;
    let (width, height, color) = (width as usize, height as usize, decoder.color_type());
    let mut pixels = zeros(width * height * usize::from(color.bytes_per_pixel()))?;
    check_scratch(scratch_len(format, width, height))?;
    decoder.read_image(&mut pixels).map_err(|e| cause(format, bytes, &e))?;
    upright(width, height, rgb8(pixels, color)?, orientation)
}

fn limits() -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_ALLOC);
    limits
}

fn check_size(width: u64, height: u64) -> Result<(), String> {
    if width == 0 || height == 0 {
        return Err(format!("{width}x{height} holds no pixels"));
    }
    if width * height > MAX_PIXELS {
        let (claimed, limit) = (width * height / 1_000_000, MAX_PIXELS / 1_000_000);
        return Err(format!("{width}x{height} is {claimed} megapixels, the limit is {limit}"));
    }
    Ok(())
}

/// Cause of a decoder error; a truncated file is reported as truncated, whatever the decoder reported.
fn cause(format: Format, bytes: &[u8], error: &ImageError) -> String {
    complete::check(format, bytes).err().unwrap_or_else(|| match error {
        ImageError::Limits(_) => format!("needs more than {} MiB to decode", MAX_ALLOC >> 20),
        other => format!("damaged: {other}"),
    })
}

/// What a photo's memory is called in errors.
const PIXELS: &str = "pixels";

/// `len` zero bytes; an allocation failure is an error.
fn zeros(len: usize) -> Result<Vec<u8>, String> {
    allocation::vec(PIXELS, len, 0).map_err(|_| out_of_memory(len))
}

/// Checks that a decoder will find `len` bytes for itself, which it does not ask for fallibly.
fn check_scratch(len: usize) -> Result<(), String> {
    allocation::check::<u8>(PIXELS, len).map_err(|_| out_of_memory(len))
}

fn out_of_memory(len: usize) -> String {
    format!("out of memory for {} MiB of pixels", len >> 20)
}

/// Bytes that the decoder of a PNG or WebP file of this size allocates beside its result: some rows of a PNG; a
/// canvas and a frame of a WebP.
fn scratch_len(format: Format, width: usize, height: usize) -> usize {
    const ROWS: usize = 4;
    const BYTES_PER_PIXEL: usize = 8;
    BYTES_PER_PIXEL * if format == Format::Png { ROWS * width } else { width * height }
}

/// Converts the decoder's `pixels`, samples in the machine's byte order, to three bytes per pixel: in place where
/// they do not become more, so that a photo is in memory once.
fn rgb8(mut pixels: Vec<u8>, color: ColorType) -> Result<Vec<u8>, String> {
    let wide = |sample: &[u8]| eight_bits(u16::from_ne_bytes([sample[0], sample[1]]));
    type Convert<'a> = &'a dyn Fn(&[u8]) -> [u8; 3];
    let (size, convert): (usize, Convert) = match color {
        ColorType::Rgb8 => return Ok(pixels),
        ColorType::L8 => (1, &|p| [p[0]; 3]),
        ColorType::La8 => (2, &|p| [over_white(p[0], p[1]); 3]),
        ColorType::Rgba8 => (4, &|p| [0, 1, 2].map(|c| over_white(p[c], p[3]))),
        ColorType::L16 => (2, &|p| [wide(p); 3]),
        ColorType::La16 => (4, &|p| [over_white(wide(p), wide(&p[2..])); 3]),
        ColorType::Rgb16 => (6, &|p| [0, 2, 4].map(|at| wide(&p[at..]))),
        ColorType::Rgba16 => (8, &|p| [0, 2, 4].map(|at| over_white(wide(&p[at..]), wide(&p[6..])))),
        other => return Err(format!("unsupported pixels {other:?}")),
    };
    let (count, rgb_len) = (pixels.len() / size, 3 * (pixels.len() / size));
    if rgb_len <= pixels.len() {
        for i in 0..count {
            let rgb = convert(&pixels[i * size..][..size]);
            pixels[3 * i..][..3].copy_from_slice(&rgb);
        }
        pixels.truncate(rgb_len);
        pixels.shrink_to_fit();
        return Ok(pixels);
    }
    let mut rgb = zeros(rgb_len)?;
    for (rgb, pixel) in rgb.chunks_exact_mut(3).zip(pixels.chunks_exact(size)) {
        rgb.copy_from_slice(&convert(pixel));
    }
    Ok(rgb)
}

/// A 16-bit sample as 8 bits: divided by 257, rounded.
fn eight_bits(v: u16) -> u8 {
    ((u32::from(v) + 128) / 257) as u8
}

/// `v` with opacity `alpha` composited over white, rounded.
fn over_white(v: u8, alpha: u8) -> u8 {
    let (v, alpha) = (u32::from(v), u32::from(alpha));
    ((v * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}

/// Applies the EXIF orientation.
fn upright(width: usize, height: usize, rgb: Vec<u8>, o: Option<Orientation>) -> Result<RgbImage, String> {
    let Some(orientation) = o.filter(|&o| o != Orientation::NoTransforms) else {
        return Ok(RgbImage::new(width, height, rgb));
    };
    check_scratch(rgb.len())?;
    let stored = image::ImageBuffer::<image::Rgb<u8>, _>::from_raw(width as u32, height as u32, rgb)
        .ok_or("the pixels do not fill the image")?;
    let mut rotated = DynamicImage::ImageRgb8(stored);
    rotated.apply_orientation(orientation);
    let (width, height) = (rotated.width() as usize, rotated.height() as usize);
    Ok(RgbImage::new(width, height, rotated.into_rgb8().into_raw()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bits_are_scaled_not_clipped() {
        assert_eq!(
            [0, 128, 129, 257, 32768, 65406, 65407, 65535].map(eight_bits),
            [0, 0, 1, 1, 128, 254, 255, 255]
        );
    }

    #[test]
    fn transparency_is_composited_over_white() {
        assert_eq!(
            [over_white(0, 0), over_white(0, 255), over_white(7, 255), over_white(0, 128)],
            [255, 0, 7, 127]
        );
    }
}
