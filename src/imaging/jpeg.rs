//! Strict JPEG decoding: invalid codes are an error instead of a gray area.
//!
//! JPEG has no checksum, so damage that leaves valid codes goes unnoticed, as does a scan that a premature
//! end marker closes, unless fewer bytes are left than any picture of that size takes
//! ([`super::complete`]).

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

/// A JPEG decoder that has read the header.
pub(super) struct Jpeg<'a> {
    decoder: JpegDecoder<ZCursor<&'a [u8]>>,
    /// Width and height as stored, before the EXIF orientation.
    pub size: (usize, usize),
    /// EXIF block, if there is one.
    pub exif: Option<Vec<u8>>,
}

impl<'a> Jpeg<'a> {
    /// Reads the header. CMYK and YCCK are refused: without the color profile, and with two opposite
    /// conventions in use, their colors would be guesses.
    pub fn header(bytes: &'a [u8]) -> Result<Self, String> {
        let options = DecoderOptions::default()
            .set_strict_mode(true)
            .set_max_width(usize::MAX)
            .set_max_height(usize::MAX)
            .jpeg_set_out_colorspace(ColorSpace::RGB);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
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

    /// Decodes into `rgb`, of three bytes per pixel.
    pub fn decode_into(mut self, rgb: &mut [u8]) -> Result<(), String> {
        self.decoder.decode_into(rgb).map_err(message)
    }
}

/// Text of a decoder error, without its quotation marks.
fn message(error: zune_jpeg::errors::DecodeErrors) -> String {
    format!("{error:?}").replace('"', "")
}
