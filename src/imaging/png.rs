//! PNG decoding row by row, so that only the 8-bit RGB pixels are held, whatever the file's pixels are.

use std::io::{BufRead, Seek};

use png::{BitDepth, ColorType, InterlaceInfo, Limits, Reader, Transformations, expand_interlaced_row};

/// A PNG decoder that has read everything before the pixels.
pub(super) struct Png<R: BufRead + Seek> {
    reader: Reader<R>,
    /// Width and height as stored, before the EXIF orientation.
    pub size: (usize, usize),
    /// EXIF block, if one precedes the pixels.
    pub exif: Option<Vec<u8>>,
}

impl<R: BufRead + Seek> Png<R> {
    /// Reads the file up to its pixels. The decoder allocates up to `limit` bytes beside them: for a few rows, and
    /// for what precedes them, such as a color profile.
    pub fn header(file: R, limit: u64) -> Result<Self, String> {
        let mut decoder = png::Decoder::new_with_limits(file, Limits { bytes: limit as usize });
        // Palettes become colors, fewer than 8 bits become 8.
        decoder.set_transformations(Transformations::EXPAND);
        let reader = decoder.read_info().map_err(|e| e.to_string())?;
        let info = reader.info();
        let size = (info.width as usize, info.height as usize);
        let exif = info.exif_metadata.as_ref().map(|exif| exif.to_vec());
        Ok(Png { reader, size, exif })
    }

    /// Bytes that decoding takes beside the RGB pixels: a few rows.
    pub fn extra_bytes(&self) -> u64 {
        let row = self.reader.output_line_size(self.size.0 as u32).map_or(u64::MAX, |row| row as u64);
        row.saturating_mul(self.size.1.min(8) as u64 + 2)
    }

    /// Decodes into `rgb`, of three bytes per pixel.
    pub fn decode_into(mut self, rgb: &mut [u8]) -> Result<(), String> {
        let (color, depth) = self.reader.output_color_type();
        let convert = converter(color, depth)?;
        let stride = 3 * self.size.0;
        let mut rows = rgb.chunks_exact_mut(stride);
        if !self.reader.info().interlaced {
            while let Some(row) = self.reader.next_row().map_err(|e| e.to_string())? {
                let pixels = rows.next().ok_or("more rows than the header says")?;
                convert(row.data(), pixels);
            }
            return Ok(());
        }
        let bytes_per_pixel = color.samples() * depth as usize / 8;
        let mut pixels = vec![0; stride];
        while let Some(row) = self.reader.next_interlaced_row().map_err(|e| e.to_string())? {
            let InterlaceInfo::Adam7(pass) = row.interlace() else { return Err("a row of no pass".into()) };
            let pixels = &mut pixels[..3 * (row.data().len() / bytes_per_pixel)];
            convert(row.data(), pixels);
            expand_interlaced_row(rgb, stride, pixels, pass, 24);
        }
        Ok(())
    }
}

/// Converts a row of the decoder to three bytes per pixel.
type ConvertRow = fn(&[u8], &mut [u8]);

/// The function for rows of such pixels. Samples of 16 bits are big-endian.
fn converter(color: ColorType, depth: BitDepth) -> Result<ConvertRow, String> {
    Ok(match (color, depth) {
        (ColorType::Grayscale, BitDepth::Eight) => |row, out| each::<1>(row, out, |[v]| [v; 3]),
        (ColorType::GrayscaleAlpha, BitDepth::Eight) => {
            |row, out| each::<2>(row, out, |[v, alpha]| [over_white(v, alpha); 3])
        }
        (ColorType::Rgb, BitDepth::Eight) => |row, out| each::<3>(row, out, |rgb| rgb),
        (ColorType::Rgba, BitDepth::Eight) => |row, out| each::<4>(row, out, rgb_over_white),
        (ColorType::Grayscale, BitDepth::Sixteen) => |row, out| each::<2>(row, out, |v| [eight_bits(v); 3]),
        (ColorType::GrayscaleAlpha, BitDepth::Sixteen) => |row, out| {
            each::<4>(row, out, |[v, w, a, b]| [over_white(eight_bits([v, w]), eight_bits([a, b])); 3])
        },
        (ColorType::Rgb, BitDepth::Sixteen) => {
            |row, out| each::<6>(row, out, |[r, s, g, h, b, c]| [[r, s], [g, h], [b, c]].map(eight_bits))
        }
        (ColorType::Rgba, BitDepth::Sixteen) => |row, out| {
            each::<8>(row, out, |[r, s, g, h, b, c, a, d]| {
                rgb_over_white([[r, s], [g, h], [b, c], [a, d]].map(eight_bits))
            })
        },
        (color, depth) => return Err(format!("unsupported pixels {color:?} of {} bits", depth as u8)),
    })
}

/// Converts each pixel of `N` bytes.
fn each<const N: usize>(row: &[u8], out: &mut [u8], convert: impl Fn([u8; N]) -> [u8; 3]) {
    for (pixel, rgb) in row.as_chunks::<N>().0.iter().zip(out.as_chunks_mut::<3>().0) {
        *rgb = convert(*pixel);
    }
}

/// A big-endian 16-bit sample as 8 bits: divided by 257, rounded.
fn eight_bits(v: [u8; 2]) -> u8 {
    ((u32::from(u16::from_be_bytes(v)) + 128) / 257) as u8
}

/// A pixel composited over white.
pub(super) fn rgb_over_white([r, g, b, alpha]: [u8; 4]) -> [u8; 3] {
    [r, g, b].map(|v| over_white(v, alpha))
}

/// `v` with opacity `alpha` composited over white, rounded.
fn over_white(v: u8, alpha: u8) -> u8 {
    let (v, alpha) = (u32::from(v), u32::from(alpha));
    ((v * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bits_are_scaled_not_clipped() {
        assert_eq!(
            [0, 128, 129, 257, 32768, 65406, 65407, 65535].map(|v: u16| eight_bits(v.to_be_bytes())),
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
