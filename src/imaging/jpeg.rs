//! Strict JPEG decoding: invalid codes are an error instead of a gray area.
//!
//! JPEG has no checksum, so damage that leaves valid codes goes unnoticed, as does a scan that a premature
//! end marker closes, unless fewer bytes are left than any picture of that size takes
//! ([`super::complete`]).

use std::io::{BufRead, Seek, SeekFrom};

use zune_core::bytestream::ZByteReaderTrait;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

/// A JPEG decoder that has read the header.
pub(super) struct Jpeg<R: ZByteReaderTrait> {
    decoder: JpegDecoder<R>,
    /// Width and height as stored, before the EXIF orientation.
    pub size: (usize, usize),
    /// EXIF block, if there is one.
    pub exif: Option<Vec<u8>>,
}

impl<R: ZByteReaderTrait> Jpeg<R> {
    /// Reads the header. CMYK and YCCK are refused: without the color profile, and with two opposite
    /// conventions in use, their colors would be guesses.
    pub fn header(file: R) -> Result<Self, String> {
        let options = DecoderOptions::default()
            .set_strict_mode(true)
            .set_max_width(usize::MAX)
            .set_max_height(usize::MAX)
            .jpeg_set_out_colorspace(ColorSpace::RGB);
        let mut decoder = JpegDecoder::new_with_options(file, options);
        decoder.decode_headers().map_err(message)?;
        let size = decoder.dimensions().ok_or("no dimensions")?;
        match decoder.input_colorspace() {
            Some(ColorSpace::YCbCr | ColorSpace::RGB | ColorSpace::Luma) => {}
            Some(ColorSpace::CMYK | ColorSpace::YCCK) => {
                return Err("CMYK colors are not supported; convert it to RGB".into());
            }
            other => return Err(format!("unsupported color space {other:?}")),
        }
        let exif = decoder.exif().cloned();
        Ok(Jpeg { decoder, size, exif })
    }

    /// Bytes that decoding takes beside the RGB pixels: if the first of several scans holds `first_scan` of the
    /// components, two for each sample, otherwise a few rows.
    pub fn extra_bytes(&self, first_scan: Option<u8>) -> u64 {
        let Some(info) = self.decoder.info() else { return 0 };
        let (width, height) = (self.size.0 as u64, self.size.1 as u64);
        let components = u64::from(info.components);
        let is_one_scan = !info.sof.is_progressive() && first_scan == Some(info.components);
        // Rows and columns are padded to whole blocks of up to 32 pixels.
        2 * components * (width + 32) * if is_one_scan { 96 } else { height + 32 }
    }

    /// Decodes into `rgb`, of three bytes per pixel.
    pub fn decode_into(mut self, rgb: &mut [u8]) -> Result<(), String> {
        self.decoder.decode_into(rgb).map_err(message)
    }
}

/// Number of components in the first scan; `None` where other bytes than segments precede it.
pub(super) fn first_scan(file: &mut (impl BufRead + Seek)) -> Option<u8> {
    file.seek(SeekFrom::Start(2)).ok()?;
    loop {
        let mut head = [0; 4];
        file.read_exact(&mut head).ok()?;
        let length = i64::from(u16::from_be_bytes([head[2], head[3]]));
        match head {
            [0xff, 0xda, ..] => {
                let mut components = [0];
                file.read_exact(&mut components).ok()?;
                return Some(components[0]);
            }
            [0xff, 0xc0..=0xfe, ..] if length >= 2 => file.seek_relative(length - 2).ok()?,
            _ => return None,
        }
    }
}

/// Text of a decoder error, without its quotation marks.
fn message(error: zune_jpeg::errors::DecodeErrors) -> String {
    format!("{error:?}").replace('"', "")
}
