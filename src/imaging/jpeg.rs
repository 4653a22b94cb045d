//! JPEG to RGB, strictly: codes that cannot be decoded are an error, not a gray area.
//!
//! JPEG has no check sum, so damage that leaves valid codes stays unseen, and so does a scan
//! that an end marker closes too early.

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

/// A JPEG whose header was read.
pub(super) struct Jpeg<'a> {
    decoder: JpegDecoder<ZCursor<&'a [u8]>>,
    /// Columns and rows as stored, before the orientation.
    pub size: (usize, usize),
    /// The EXIF block, if the file has one.
    pub exif: Option<Vec<u8>>,
}

impl<'a> Jpeg<'a> {
    /// Reads the header. Ink colors (CMYK, YCCK) are refused: without their profile, and
    /// with two opposite conventions in use, they would be shown in guessed colors.
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
                return Err("four ink colors (CMYK); convert it to RGB".into());
            }
            other => return Err(format!("unsupported colors {other:?}")),
        }
        let exif = decoder.exif().cloned();
        Ok(Jpeg { decoder, size, exif })
    }

    /// Decodes into `rgb`, which has room for three bytes a pixel.
    pub fn decode_into(mut self, rgb: &mut [u8]) -> Result<(), String> {
        self.decoder.decode_into(rgb).map_err(message)
    }
}

/// The decoder's words, without the quotes that its errors put around some.
fn message(error: zune_jpeg::errors::DecodeErrors) -> String {
    format!("{error:?}").replace('"', "")
}
