//! Photos that the `image` crate decodes: WebP, GIF, BMP, PNM and TIFF.

use std::error::Error;
use std::io::{self, BufRead, Seek};

use image::codecs::bmp::BmpDecoder;
use image::codecs::gif::GifDecoder;
use image::codecs::pnm::PnmDecoder;
use image::codecs::tiff::TiffDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;
use image::{ColorType, ImageDecoder, ImageError, Limits};

use super::samples::{eight_bits, over_white, premultiplied_over_white, rgb_over_white};
use super::sniff::Format;
use super::{CONVERT, exif, tiff, xmp};

/// Bytes that a decoder may allocate beside those in proportion to its pixels, such as for a color profile.
const ROOM: u64 = 64 << 20;

/// A decoder that has read the header.
pub(super) struct Raster<'a> {
    decoder: Box<dyn ImageDecoder + 'a>,
    /// Width and height as stored, before the orientation.
    pub size: (usize, usize),
    /// Orientation, if the file has one.
    pub orientation: Option<Orientation>,
    /// Whether colors are multiplied by their opacity.
    is_premultiplied: bool,
}

impl<'a> Raster<'a> {
    /// Reads the header of a `file` in `format`. The decoder allocates up to `limit` bytes beside the pixels.
    ///
    /// # Errors
    /// A description of what is wrong, and for PNG and JPEG, which have decoders of their own.
    pub fn header(
        format: Format,
        mut file: impl BufRead + Seek + 'a,
        limit: u64,
    ) -> Result<Raster<'a>, String> {
        let (mut orientation, mut is_premultiplied) = (None, false);
        let mut decoder: Box<dyn ImageDecoder> = match format {
            Format::WebP => Box::new(WebPDecoder::new(file).map_err(|e| cause(&e, limit))?),
            Format::Gif => Box::new(GifDecoder::new(file).map_err(|e| cause(&e, limit))?),
            Format::Bmp => {
                check_bitmap(&mut file)?;
                Box::new(BmpDecoder::new(file).map_err(|e| cause(&e, limit))?)
            }
            Format::Pnm => Box::new(PnmDecoder::new(file).map_err(|e| cause(&e, limit))?),
            Format::Tiff => {
                tiff::check(&mut file)?;
                is_premultiplied = tiff::is_premultiplied(&mut file);
                orientation = exif::tiff_orientation(&mut file);
                file.rewind().map_err(|e| e.to_string())?;
                Box::new(TiffDecoder::new(file).map_err(|e| cause(&e, limit))?)
            }
            Format::Png | Format::Jpeg => return Err(format!("a {} file", format.name())),
        };
        let (width, height) = decoder.dimensions();
        // Unreadable metadata does not affect the pixels. The limits below are those of the pixels.
        if format == Format::WebP {
            let block = decoder.exif_metadata().ok().flatten();
            orientation = block.and_then(|block| exif::orientation(&block));
        }
        if orientation.is_none() && matches!(format, Format::WebP | Format::Tiff) {
            let packet = decoder.xmp_metadata().ok().flatten();
            orientation = packet.and_then(|packet| xmp::orientation(&packet));
        }
        // No frame may be much larger than the picture.
        let room = (u64::from(width) * u64::from(height)).saturating_mul(16).saturating_add(ROOM);
        let mut limits = Limits::no_limits();
        limits.max_alloc = Some(limit.min(room));
        decoder.set_limits(limits).map_err(|e| cause(&e, limit))?;
        Ok(Raster { decoder, size: (width as usize, height as usize), orientation, is_premultiplied })
    }

    /// Bytes that decoding takes beside three per pixel: the decoder holds its own pixels of up to four bytes, or as
    /// many as it returns.
    pub fn extra_bytes(&self) -> u64 {
        let pixels = self.size.0 as u64 * self.size.1 as u64;
        let returned = u64::from(self.decoder.color_type().bytes_per_pixel());
        pixels.saturating_mul(returned.max(4) + returned.saturating_sub(3))
    }

    /// Bytes that [`Self::decode_into`] needs room for: those that the decoder returns, at least three per pixel.
    pub fn len(&self) -> usize {
        self.size.0 * self.size.1 * usize::from(self.decoder.color_type().bytes_per_pixel()).max(3)
    }

    /// Decodes into `pixels` of [`Self::len`] bytes, and leaves three per pixel of them.
    ///
    /// # Errors
    /// A description of what is wrong.
    pub fn decode_into(self, pixels: &mut Vec<u8>, limit: u64) -> Result<(), String> {
        let (color, count) = (self.decoder.color_type(), self.size.0 * self.size.1);
        let returned = count * usize::from(color.bytes_per_pixel());
        self.decoder.read_image_boxed(&mut pixels[..returned]).map_err(|e| cause(&e, limit))?;
        let over_white_of = if self.is_premultiplied { premultiplied_over_white } else { rgb_over_white };
        let wide = |a: u8, b: u8| eight_bits(u16::from_ne_bytes([a, b]));
        match color {
            ColorType::L8 => each::<1>(pixels, count, |[v]| [v; 3]),
            ColorType::La8 => each::<2>(pixels, count, |[v, alpha]| [over_white(v, alpha); 3]),
            ColorType::Rgb8 => {}
            ColorType::Rgba8 => each::<4>(pixels, count, over_white_of),
            ColorType::L16 => each::<2>(pixels, count, |[a, b]| [wide(a, b); 3]),
            ColorType::La16 => {
                each::<4>(pixels, count, |[a, b, c, d]| [over_white(wide(a, b), wide(c, d)); 3]);
            }
            ColorType::Rgb16 => {
                each::<6>(pixels, count, |[a, b, c, d, e, f]| [wide(a, b), wide(c, d), wide(e, f)]);
            }
            ColorType::Rgba16 => each::<8>(pixels, count, |[a, b, c, d, e, f, g, h]| {
                over_white_of([wide(a, b), wide(c, d), wide(e, f), wide(g, h)])
            }),
            other => return Err(format!("pixels of type {other:?} are not supported; {CONVERT}")),
        }
        pixels.truncate(3 * count);
        Ok(())
    }
}

/// Refuses a bitmap whose pixels begin inside its palette, which decoders read differently.
fn check_bitmap(file: &mut (impl BufRead + Seek)) -> Result<(), String> {
    let mut head = [0; 50];
    if file.read_exact(&mut head).is_ok() {
        let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (pixels, header, bits, colors) = (number(10), number(14), head[28], number(46));
        let end = u64::from(header) + 14 + 4 * u64::from(colors);
        if header >= 40 && bits <= 8 && u64::from(pixels) < end {
            return Err(format!("damaged: the pixels begin at {pixels}, inside the header of {end} bytes"));
        }
    }
    file.rewind().map_err(|e| e.to_string())
}

/// Converts each of `count` pixels of `N` bytes to three bytes, in place.
fn each<const N: usize>(pixels: &mut [u8], count: usize, convert: impl Fn([u8; N]) -> [u8; 3]) {
    let mut one = |i: usize| {
        let pixel = std::array::from_fn(|k| pixels[N * i + k]);
        pixels[3 * i..3 * i + 3].copy_from_slice(&convert(pixel));
    };
    // No pixel is written over one that is still to be read.
    if N < 3 { (0..count).rev().for_each(&mut one) } else { (0..count).for_each(one) }
}

/// Cause of an error of a decoder that may allocate `limit` bytes.
fn cause(error: &ImageError, limit: u64) -> String {
    match error {
        ImageError::Limits(_) => {
            format!("needs more memory than its size allows, at most {} MiB", limit >> 20)
        }
        ImageError::Unsupported(_) => format!("{error}; {CONVERT}"),
        other if is_cut(other) => format!("truncated: {other}"),
        other => format!("damaged: {other}"),
    }
}

/// Whether `error` or what caused it is the end of the file.
fn is_cut(error: &(dyn Error + 'static)) -> bool {
    let of_file = error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::UnexpectedEof);
    of_file || error.source().is_some_and(is_cut)
}
