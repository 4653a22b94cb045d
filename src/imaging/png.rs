//! PNG decoding row by row, so that only the 8-bit RGB pixels are held, whatever the file's pixels are.

use std::io::{self, BufRead, Seek, SeekFrom};

use image::metadata::Orientation;
use png::{BitDepth, ColorType, Info, InterlaceInfo, Limits, Reader, Transformations, expand_interlaced_row};

use super::samples::{eight_bits, over_white, rgb_over_white};
use super::{exif, xmp};

/// A PNG decoder that has read everything before the pixels.
pub(super) struct Png<R: BufRead + Seek> {
    reader: Reader<R>,
    /// Width and height as stored, before the orientation.
    pub size: (usize, usize),
    /// Orientation, if one precedes the pixels.
    pub orientation: Option<Orientation>,
}

/// The text chunk in which ImageMagick and others store an EXIF block.
const RAW_PROFILE: &str = "Raw profile type exif";
/// The text chunk that holds an XMP packet.
const XMP: &str = "XML:com.adobe.xmp";
/// Longest text of such chunks: several times an EXIF block of a JPEG file as hexadecimal digits.
const MAX_TEXT: usize = 1 << 20;

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
        let orientation = orientation(&reader);
        Ok(Png { reader, size, orientation })
    }

    /// Bytes that decoding takes beside the RGB pixels: a few rows.
    pub fn extra_bytes(&self) -> u64 {
        let row = self.reader.output_line_size(self.size.0 as u32).map_or(u64::MAX, |row| row as u64);
        row.saturating_mul(self.size.1.min(8) as u64 + 2)
    }

    /// Decodes into `rgb`, of three bytes per pixel. Returns the orientation, also one that follows the pixels.
    pub fn decode_into(mut self, rgb: &mut [u8]) -> Result<Option<Orientation>, String> {
        self.decode_rows(rgb)?;
        if self.orientation.is_none() && self.reader.finish().is_ok() {
            self.orientation = orientation(&self.reader);
        }
        Ok(self.orientation)
    }

    fn decode_rows(&mut self, rgb: &mut [u8]) -> Result<(), String> {
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

/// The orientation among what `reader` has read so far: of its EXIF block or, if that has none, of its XMP packet.
fn orientation<R: BufRead + Seek>(reader: &Reader<R>) -> Option<Orientation> {
    let info = reader.info();
    let block = info.exif_metadata.as_ref().map(|block| block.to_vec());
    let block = block.or_else(|| texts(info, RAW_PROFILE).find_map(|text| raw_profile(&text)));
    let of_exif = block.and_then(|block| exif::orientation(&block));
    of_exif.or_else(|| texts(info, XMP).find_map(|packet| xmp::orientation(packet.as_bytes())))
}

/// The texts of the chunks called `keyword`.
fn texts<'a>(info: &'a Info, keyword: &'static str) -> impl Iterator<Item = String> + 'a {
    let plain = info.uncompressed_latin1_text.iter().filter(move |chunk| chunk.keyword == keyword);
    let packed = info.compressed_latin1_text.iter().filter(move |chunk| chunk.keyword == keyword);
    let packed = packed.filter_map(|chunk| {
        let mut chunk = chunk.clone();
        chunk.decompress_text_with_limit(MAX_TEXT).ok()?;
        chunk.get_text().ok()
    });
    let utf8 = info.utf8_text.iter().filter(move |chunk| chunk.keyword == keyword);
    let utf8 = utf8.filter_map(|chunk| {
        let mut chunk = chunk.clone();
        chunk.decompress_text_with_limit(MAX_TEXT).ok()?;
        chunk.get_text().ok()
    });
    plain.map(|chunk| chunk.text.clone()).chain(packed).chain(utf8)
}

/// The bytes of a raw profile: an empty line, its name, its length, then hexadecimal digits in lines.
fn raw_profile(text: &str) -> Option<Vec<u8>> {
    let digits: String = text.splitn(4, '\n').nth(3)?.split_whitespace().collect();
    let digits: Option<Vec<u8>> = digits.chars().map(|c| Some(c.to_digit(16)? as u8)).collect();
    Some(digits?.as_chunks::<2>().0.iter().map(|[high, low]| high << 4 | low).collect())
}

/// Whether a chunk that may hold an orientation follows the pixels of the PNG `file`.
pub(super) fn may_turn_later(file: &mut (impl BufRead + Seek)) -> bool {
    let mut walk = || -> io::Result<bool> {
        file.seek(SeekFrom::Start(8))?;
        let mut is_late = false;
        loop {
            let mut head = [0; 8];
            file.read_exact(&mut head)?;
            let (length, kind) = (u32::from_be_bytes([head[0], head[1], head[2], head[3]]), &head[4..]);
            if is_late && matches!(kind, b"eXIf" | b"tEXt" | b"zTXt" | b"iTXt") {
                return Ok(true);
            }
            is_late |= kind == b"IDAT";
            file.seek_relative(i64::from(length) + 4)?;
        }
    };
    walk().unwrap_or(false)
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
        (ColorType::Grayscale, BitDepth::Sixteen) => |row, out| each::<2>(row, out, |v| [wide(v); 3]),
        (ColorType::GrayscaleAlpha, BitDepth::Sixteen) => {
            |row, out| each::<4>(row, out, |[v, w, a, b]| [over_white(wide([v, w]), wide([a, b])); 3])
        }
        (ColorType::Rgb, BitDepth::Sixteen) => {
            |row, out| each::<6>(row, out, |[r, s, g, h, b, c]| [[r, s], [g, h], [b, c]].map(wide))
        }
        (ColorType::Rgba, BitDepth::Sixteen) => |row, out| {
            each::<8>(row, out, |[r, s, g, h, b, c, a, d]| {
                rgb_over_white([[r, s], [g, h], [b, c], [a, d]].map(wide))
            })
        },
        (color, depth) => return Err(format!("unsupported pixels {color:?} of {} bits", depth as u8)),
    })
}

/// A big-endian sample of 16 bits as 8 bits.
fn wide(v: [u8; 2]) -> u8 {
    eight_bits(u16::from_be_bytes(v))
}

/// Converts each pixel of `N` bytes.
fn each<const N: usize>(row: &[u8], out: &mut [u8], convert: impl Fn([u8; N]) -> [u8; 3]) {
    for (pixel, rgb) in row.as_chunks::<N>().0.iter().zip(out.as_chunks_mut::<3>().0) {
        *rgb = convert(*pixel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raw_profile_is_hexadecimal_after_three_lines() {
        assert_eq!(raw_profile("\nexif\n      3\n45\n78\n69"), Some(b"Exi".to_vec()));
        for wrong in ["", "\nexif", "\nexif\n3\n4x"] {
            assert_eq!(raw_profile(wrong), None, "{wrong:?}");
        }
    }
}
