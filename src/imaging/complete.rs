//! Completeness check: does an image file contain its own end marker?
//!
//! Decoders stop once they have their pixels, and some fill missing parts with gray, so a truncated
//! download can pass for a photo. The check walks the container's lengths to the end without decoding. A JPEG
//! file is checked scan by scan ([`super::jpeg`]); decoders of the other formats refuse a truncated file.

use super::sniff::Format;

/// `Err` describes what is missing, with the offsets that show it.
pub(super) fn check(format: Format, bytes: &[u8]) -> Result<(), String> {
    match format {
        Format::Png => png(bytes),
        Format::WebP => webp(bytes),
        Format::Jpeg | Format::Gif | Format::Bmp | Format::Pnm | Format::Tiff => Ok(()),
    }
}

fn big_endian(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |n, &b| n << 8 | usize::from(b))
}

/// PNG (ISO/IEC 15948, 5.3): chunks of length, type, data and CRC; the last one is IEND.
fn png(bytes: &[u8]) -> Result<(), String> {
    let mut at = 8;
    loop {
        let Some(head) = bytes.get(at..at + 8) else {
            return Err(format!("truncated: {} bytes and no end chunk", bytes.len()));
        };
        let next = at + 12 + big_endian(&head[..4]);
        if next > bytes.len() {
            return Err(format!("truncated: the chunk at {at} ends at {next}, the file at {}", bytes.len()));
        }
        if &head[4..] == b"IEND" {
            return Ok(());
        }
        at = next;
    }
}

/// WebP: one RIFF chunk whose size gives the end of the file.
fn webp(bytes: &[u8]) -> Result<(), String> {
    let size = bytes.get(4..8).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize);
    match size + 8 > bytes.len() {
        true => Err(format!("truncated: the header says {} bytes, the file has {}", size + 8, bytes.len())),
        false => Ok(()),
    }
}
