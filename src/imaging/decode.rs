//! Decoding of an image file into an upright 8-bit RGB image.
//!
//! Grayscale and palette pixels become RGB, 16-bit samples become 8-bit by `x / 257` rounded, transparency
//! is composited over white, the orientation is applied, color profiles are not, and of several frames or pages
//! only the first is read.

use std::io::{BufRead, BufReader, Cursor, Read, Seek};
use std::path::Path;
use std::sync::Arc;

use image::DynamicImage;
use image::metadata::Orientation;

use super::photo_memory::{PhotoMemory, Share};
use super::png::{Png, may_turn_later};
use super::raster::Raster;
use super::rgb_image::RgbImage;
use super::sniff::{FORMATS, Format, sniff};
use super::{complete, jpeg};
use crate::util::{allocation, input_file, panic};
use crate::{Error, Result};

/// Maximum number of pixels of a photo: above the largest phone and studio cameras.
pub const MAX_PIXELS: u64 = 210_000_000;
/// Maximum size of a file in bytes.
pub const MAX_BYTES: u64 = 1 << 30;
/// Allocation limit of a decoder beside the pixels that it returns, in bytes: the largest photo at eight bytes per
/// pixel, plus 256 MiB.
const MAX_ALLOC: u64 = MAX_PIXELS * 8 + (256 << 20);

impl RgbImage {
    /// Reads and decodes the photo in `path`; see [`decode`].
    ///
    /// # Errors
    /// [`Error::Refused`], also for anything but a regular file: opening a named pipe would block.
    pub fn open(path: impl AsRef<Path>) -> Result<RgbImage> {
        Ok(HeldImage::open(path.as_ref(), &PhotoMemory::unlimited())?.image)
    }
}

/// An image with its share of the memory for photos.
#[derive(Debug)]
pub struct HeldImage {
    /// The image.
    pub image: RgbImage,
    _share: Share,
}

impl HeldImage {
    /// As [`RgbImage::open`], but waits until there is memory for the file and for decoding it.
    ///
    /// # Errors
    /// As [`RgbImage::open`], and when the photo alone needs more than `memory`.
    pub fn open(path: &Path, memory: &Arc<PhotoMemory>) -> Result<HeldImage> {
        let unreadable = |e: std::io::Error| Error::cannot_read(path, e);
        let mut file = input_file::open(path).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        let share = share(path, length.saturating_add(decoding_bytes(&file, length)), memory)?;
        file.rewind().map_err(unreadable)?;
        let bytes = input_file::read_open(path, &file, MAX_BYTES)?;
        Ok(HeldImage { image: decode(&bytes, path)?, _share: share })
    }

    /// As [`decode`], but waits until there is memory for decoding it.
    ///
    /// # Errors
    /// As [`decode`], and when the photo alone needs more than `memory`.
    pub fn decode(bytes: &[u8], name: &Path, memory: &Arc<PhotoMemory>) -> Result<HeldImage> {
        let share = share(name, decoding_bytes(Cursor::new(bytes), bytes.len() as u64), memory)?;
        Ok(HeldImage { image: decode(bytes, name)?, _share: share })
    }

    /// An image that was not read from a file of its own.
    pub fn unlimited(image: RgbImage) -> HeldImage {
        HeldImage { image, _share: Share::default() }
    }
}

/// The image without its share, which is given back.
impl From<HeldImage> for RgbImage {
    fn from(held: HeldImage) -> RgbImage {
        held.image
    }
}

/// The `needed` bytes of `memory` for the photo called `name`, as soon as they are free.
fn share(name: &Path, needed: u64, memory: &Arc<PhotoMemory>) -> Result<Share> {
    memory.take(needed).map_err(|limit| {
        let cause = format!("reading it takes {needed} bytes, the limit of all photos is {limit}");
        Error::refused(name, "memory", cause)
    })
}

/// Bytes that decoding `file` takes, by its header: 0 for a file that will be refused.
fn decoding_bytes(file: impl Read + Seek, length: u64) -> u64 {
    let mut file = BufReader::new(file);
    let needed = panic::catch(|| {
        let format = sniff(file.fill_buf().ok()?).ok()?;
        let (size, extra, is_upright) = match format {
            Format::Png => {
                let png = Png::header(&mut file, MAX_ALLOC).ok()?;
                let (size, extra, orientation) = (png.size, png.extra_bytes(), png.orientation);
                let may_turn = orientation.is_none() && may_turn_later(&mut file);
                (size, extra, is_upright(orientation) && !may_turn)
            }
            Format::Jpeg => {
                let jpeg = jpeg::Header::read(&mut file).ok()?;
                (jpeg.size, jpeg.extra_bytes(length), is_upright(jpeg.orientation()))
            }
            _ => {
                let raster = Raster::header(format, &mut file, MAX_ALLOC).ok()?;
                (raster.size, raster.extra_bytes(), is_upright(raster.orientation))
            }
        };
        check_size(size.0 as u64, size.1 as u64).ok()?;
        let rgb = 3 * (size.0 * size.1) as u64;
        // Turning it takes a second image, after what decoding took is free again.
        Some(rgb + if is_upright { extra } else { extra.max(rgb) })
    });
    needed.ok().flatten().unwrap_or(0)
}

/// Whether an image of that orientation is not turned.
fn is_upright(orientation: Option<Orientation>) -> bool {
    orientation.is_none_or(|o| o == Orientation::NoTransforms)
}

/// Decodes the `bytes` of a PNG, JPEG, WebP, GIF, BMP, PNM or TIFF file; `name` is used in messages only.
///
/// # Errors
/// [`Error::Refused`] for other formats, damaged or truncated data, and more than [`MAX_PIXELS`] pixels.
pub fn decode(bytes: &[u8], name: &Path) -> Result<RgbImage> {
    if bytes.is_empty() {
        return Err(Error::refused(name, "file", "empty, not an image"));
    }
    let format = sniff(bytes).map_err(|what| {
        Error::refused(name, "file", format!("not a {FORMATS} image; it looks like {what}"))
    })?;
    // The codecs should not panic on bad data, but an untrusted file may trigger a bug in them.
    panic::catch(|| decode_format(format, bytes))
        .unwrap_or_else(|panic| Err(format!("damaged: the decoder panicked: {panic}")))
        .map_err(|cause| Error::refused(name, format.name(), cause))
}

fn decode_format(format: Format, bytes: &[u8]) -> Result<RgbImage, String> {
    // A truncated file is reported as truncated, whatever the decoder reports.
    let or_truncated = |e: String| complete::check(format, bytes).err().unwrap_or(e);
    match format {
        Format::Png => {
            // The header chunk comes first. The decoder's error about a size beyond its own limits is vague.
            if let Some((width, height)) = bytes.get(16..24).map(|size| size.split_at(4)) {
                let side = |bytes: &[u8]| bytes.iter().fold(0, |n, &b| n << 8 | u64::from(b));
                check_size(side(width), side(height))?;
            }
            let png = Png::header(Cursor::new(bytes), MAX_ALLOC).map_err(damaged).map_err(or_truncated)?;
            let size = png.size;
            complete::check(format, bytes)?;
            let mut rgb = zeros(size.0 * size.1 * 3)?;
            check_scratch(png.extra_bytes())?;
            let orientation = png.decode_into(&mut rgb).map_err(damaged)?;
            upright(size, rgb, orientation)
        }
        Format::Jpeg => {
            let jpeg = jpeg::Header::read(&mut Cursor::new(bytes))?;
            check_size(jpeg.size.0 as u64, jpeg.size.1 as u64)?;
            jpeg::check(bytes, &jpeg)?;
            let mut rgb = zeros(jpeg.size.0 * jpeg.size.1 * 3)?;
            check_scratch(jpeg.extra_bytes(bytes.len() as u64))?;
            jpeg.decode_into(bytes, &mut rgb)?;
            upright(jpeg.size, rgb, jpeg.orientation())
        }
        _ => {
            let raster = Raster::header(format, Cursor::new(bytes), MAX_ALLOC).map_err(or_truncated)?;
            let (size, orientation) = (raster.size, raster.orientation);
            check_size(size.0 as u64, size.1 as u64)?;
            complete::check(format, bytes)?;
            let mut pixels = zeros(raster.len())?;
            check_scratch(raster.extra_bytes())?;
            raster.decode_into(&mut pixels, MAX_ALLOC)?;
            upright(size, pixels, orientation)
        }
    }
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

fn damaged(cause: impl std::fmt::Display) -> String {
    format!("damaged: {cause}")
}

/// What a photo's memory is called in errors.
const PIXELS: &str = "pixels";

/// `len` zero bytes; an allocation failure is an error.
fn zeros(len: usize) -> Result<Vec<u8>, String> {
    allocation::vec(PIXELS, len, 0).map_err(|_| out_of_memory(len))
}

/// Checks that a decoder will find `len` bytes for itself, which it does not ask for fallibly.
fn check_scratch(len: u64) -> Result<(), String> {
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    allocation::check::<u8>(PIXELS, len).map_err(|_| out_of_memory(len))
}

fn out_of_memory(len: usize) -> String {
    format!("out of memory for {} MiB of pixels", len >> 20)
}

/// Applies the orientation.
fn upright(
    (width, height): (usize, usize),
    rgb: Vec<u8>,
    o: Option<Orientation>,
) -> Result<RgbImage, String> {
    let Some(orientation) = o.filter(|&o| o != Orientation::NoTransforms) else {
        return Ok(RgbImage::new(width, height, rgb));
    };
    check_scratch(rgb.len() as u64)?;
    let stored = image::ImageBuffer::<image::Rgb<u8>, _>::from_raw(width as u32, height as u32, rgb)
        .ok_or("the pixels do not fill the image")?;
    let mut rotated = DynamicImage::ImageRgb8(stored);
    rotated.apply_orientation(orientation);
    let (width, height) = (rotated.width() as usize, rotated.height() as usize);
    Ok(RgbImage::new(width, height, rotated.into_rgb8().into_raw()))
}
