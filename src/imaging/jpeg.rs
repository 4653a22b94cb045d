//! JPEG decoding: a picture whose scans are whole, in the colors that libjpeg gives it.

mod header;
mod huffman;
mod scans;

use std::borrow::Cow;
use std::ops::Range;

use image::metadata::Orientation;
use jpeg_decoder::ColorTransform;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::{CONVERT, exif, xmp};

use header::Component;
pub(super) use header::Header;
pub(super) use scans::check;

impl Header {
    /// The orientation in the EXIF block or, if that has none, in the XMP packet.
    pub fn orientation(&self) -> Option<Orientation> {
        let of_exif = self.exif.as_deref().and_then(exif::orientation);
        of_exif.or_else(|| self.xmp.as_deref().and_then(xmp::orientation))
    }

    /// Bytes that decoding `file_bytes` takes beside the RGB pixels: if there are several scans, two for each sample,
    /// otherwise a few rows; and a copy of the file that the decoder can read, if it cannot read the file itself.
    pub fn extra_bytes(&self, file_bytes: u64) -> u64 {
        let (width, height) = (self.size.0 as u64, self.size.1 as u64);
        // Rows and columns are padded to whole blocks of up to 32 pixels.
        let samples = |rows: u64| self.components.len() as u64 * (width + 32) * rows;
        let decoder = match self.decoder() {
            Ok(Decoder::JpegDecoder) => 3 * samples(height + 32) + 3 * width * height,
            _ if self.is_progressive => 2 * samples(height + 32),
            _ => 2 * samples(96),
        };
        decoder + if self.cleaned.is_some() { file_bytes } else { 0 }
    }

    /// Decodes the file in `bytes` into `rgb`, of three bytes per pixel. CMYK is converted as Pillow does: inverted,
    /// without a color profile.
    ///
    /// # Errors
    /// A description of what the decoder finds wrong or does not support.
    pub fn decode_into(&self, bytes: &[u8], rgb: &mut [u8]) -> Result<(), String> {
        let bytes = match &self.cleaned {
            Some(kept) => {
                let part = |range: &Range<usize>| bytes.get(range.start..range.end.min(bytes.len()));
                let parts: Option<Vec<&[u8]>> = kept.iter().map(part).collect();
                Cow::Owned([&bytes[..2], &parts.ok_or("truncated")?.concat()].concat())
            }
            None => Cow::Borrowed(bytes),
        };
        match self.decoder()? {
            Decoder::Zune => self.decode_by_zune(&bytes, rgb),
            Decoder::JpegDecoder => self.decode_by_jpeg_decoder(&bytes, rgb),
        }
    }

    /// The decoder that decodes such a file into the pixels of libjpeg, by a comparison of both on all combinations of
    /// sampling factors and kinds of scans.
    fn decoder(&self) -> Result<Decoder, String> {
        let factors = || self.components.iter().flat_map(|c| [c.across, c.down]);
        let (most, count) = (self.most(), self.components.len());
        let has_several_scans = !self.is_progressive && self.first_scan < count;
        let is_luma_coarse = count > 1 && (self.components[0].across, self.components[0].down) != most;
        let is_between = |c: &Component| 1 < c.across && c.across < most.0 || 1 < c.down && c.down < most.1;
        let is_between = self.components.iter().any(is_between);
        if !has_several_scans && !is_luma_coarse && !is_between && factors().all(|f| f != 3) {
            return Ok(Decoder::Zune);
        }
        if count == 4 || is_between && (has_several_scans || self.is_progressive) {
            let factors: Vec<String> =
                self.components.iter().map(|c| format!("{}x{}", c.across, c.down)).collect();
            let scans = if has_several_scans { " in several scans" } else { "" };
            return Err(format!(
                "sampling factors {}{scans} are not supported; {CONVERT}",
                factors.join(", ")
            ));
        }
        Ok(Decoder::JpegDecoder)
    }

    fn decode_by_zune(&self, bytes: &[u8], rgb: &mut [u8]) -> Result<(), String> {
        let options = DecoderOptions::default()
            .set_strict_mode(true)
            .set_max_width(usize::MAX)
            .set_max_height(usize::MAX)
            .jpeg_set_out_colorspace(ColorSpace::RGB);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
        decoder.decode_headers().map_err(damaged)?;
        decoder.decode_into(rgb).map_err(damaged)?;
        // The decoder goes by the identifiers and by Adobe's transform alone.
        if self.is_ycc && decoder.input_colorspace() == Some(ColorSpace::RGB) {
            rgb.as_chunks_mut().0.iter_mut().for_each(|pixel| *pixel = rgb_from_ycc(*pixel));
        }
        Ok(())
    }

    fn decode_by_jpeg_decoder(&self, bytes: &[u8], rgb: &mut [u8]) -> Result<(), String> {
        let mut decoder = jpeg_decoder::Decoder::new(bytes);
        if self.components.len() == 3 {
            decoder.set_color_transform(if self.is_ycc {
                ColorTransform::YCbCr
            } else {
                ColorTransform::RGB
            });
        }
        let pixels = decoder.decode().map_err(|e| format!("damaged: {e}"))?;
        match pixels.len() * 3 / rgb.len() {
            3 => rgb.copy_from_slice(&pixels),
            // Gray.
            1 => rgb.as_chunks_mut().0.iter_mut().zip(pixels).for_each(|(rgb, v)| *rgb = [v; 3]),
            _ => return Err(format!("damaged: {} samples of {} pixels", pixels.len(), rgb.len() / 3)),
        }
        Ok(())
    }
}

/// The library that decodes a file.
enum Decoder {
    Zune,
    JpegDecoder,
}

/// A pixel of luma and chroma as red, green and blue (JFIF 1.02).
fn rgb_from_ycc([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    let (y, cb, cr) = (f32::from(y), f32::from(cb) - 128.0, f32::from(cr) - 128.0);
    let rgb = [y + 1.402 * cr, y - 0.344_136 * cb - 0.714_136 * cr, y + 1.772 * cb];
    rgb.map(|v| v.round() as u8) // saturates
}

/// Text of a decoder error, without its quotation marks.
fn damaged(error: zune_jpeg::errors::DecodeErrors) -> String {
    format!("damaged: {error:?}").replace('"', "")
}
