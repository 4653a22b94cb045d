//! Completeness check: does an image file contain its own end marker?
//!
//! Decoders stop once they have their pixels, and some fill missing parts with gray, so a truncated
//! download can pass for a photo. The check walks the container's lengths and markers to the end without
//! decoding. Of a JPEG it also compares the coded bytes with the pixels of the header: a few bytes that
//! claim to be a large picture are not one.

use super::sniff::Format;

/// `Err` describes what is missing, with the offsets that show it.
pub(super) fn check(format: Format, bytes: &[u8]) -> Result<(), String> {
    match format {
        Format::Png => png(bytes),
        Format::Jpeg => jpeg(bytes),
        Format::WebP => webp(bytes),
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

/// JPEG (ITU-T T.81, B.1): segments with their length and, after each scan header, entropy-coded data, in
/// which a 0xff that is not a marker is followed by a zero byte.
fn jpeg(bytes: &[u8]) -> Result<(), String> {
    let cut = || format!("truncated: {} bytes and no end-of-image marker", bytes.len());
    let mut at = 2;
    let mut frame = None;
    // Entropy-coded bytes so far, and whether such bytes are being skipped.
    let (mut coded, mut in_scan) = (0, false);
    loop {
        // Skip to the next marker, past entropy-coded data, restart markers and fill bytes.
        let found = bytes.get(at..).and_then(|rest| rest.iter().position(|&b| b == 0xff)).ok_or_else(cut)?;
        at += found + 1;
        coded += if in_scan { found } else { 0 };
        let marker = *bytes.get(at).ok_or_else(cut)?;
        match marker {
            0xd9 => return frame.map_or(Ok(()), |frame: Frame| frame.check(coded)),
            0xff => continue,
            0x00 | 0x01 | 0xd0..=0xd8 => {
                coded += usize::from(in_scan && marker == 0x00);
                at += 1;
            }
            _ => {
                let length = big_endian(bytes.get(at + 1..at + 3).ok_or_else(cut)?);
                if length < 2 {
                    return Err(format!("the segment at {at} claims a length of {length} bytes"));
                }
                in_scan = marker == 0xda;
                if frame.is_none() {
                    frame = bytes.get(at + 3..at + 1 + length).and_then(|body| Frame::read(marker, body));
                }
                at += 1 + length;
            }
        }
    }
}

/// What the header of a Huffman-coded JPEG frame (T.81, B.2.2) says about its size.
struct Frame {
    width: usize,
    height: usize,
    /// Blocks of 8 x 8 samples of all components.
    blocks: usize,
    /// Bits that each block takes at least: a code of one bit for its first coefficient and, in sequential
    /// frames, one that ends the block.
    bits: usize,
}

impl Frame {
    /// The frame whose header is `body`; `None` for another marker or coding.
    fn read(marker: u8, body: &[u8]) -> Option<Frame> {
        let bits = match marker {
            0xc0 | 0xc1 => 2,
            0xc2 => 1,
            _ => return None,
        };
        let (height, width) = (big_endian(body.get(1..3)?), big_endian(body.get(3..5)?));
        let factors = body.get(6..6 + 3 * usize::from(*body.get(5)?))?.chunks_exact(3);
        let factors: Vec<(usize, usize)> = factors
            .map(|component| (usize::from(component[1] >> 4), usize::from(component[1] & 15)))
            .collect();
        let most = factors.iter().fold((1, 1), |most, of| (most.0.max(of.0), most.1.max(of.1)));
        let blocks_along =
            |size: usize, factor: usize, most: usize| (size * factor).div_ceil(most).div_ceil(8);
        let blocks =
            |of: &(usize, usize)| blocks_along(width, of.0, most.0) * blocks_along(height, of.1, most.1);
        Some(Frame { width, height, blocks: factors.iter().map(blocks).sum(), bits })
    }

    /// Refuses fewer `coded` bytes than any picture of this size takes.
    fn check(&self, coded: usize) -> Result<(), String> {
        let Frame { width, height, blocks, bits } = *self;
        let needed = (blocks * bits).div_ceil(8);
        match coded < needed {
            true => Err(format!(
                "truncated: {coded} bytes of coded pixels, {width}x{height} pixels take at least {needed}"
            )),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_counted_by_component() {
        // 17 x 9 pixels with halved chroma: 3 x 2 blocks of luma, 2 x 1 of each chroma.
        let body = [8, 0, 9, 0, 17, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1];
        let frame = Frame::read(0xc0, &body).unwrap();
        assert_eq!((frame.width, frame.height, frame.blocks, frame.bits), (17, 9, 10, 2));
        assert!(frame.check(3).is_ok() && frame.check(2).is_err());
        let progressive = Frame::read(0xc2, &body).unwrap();
        assert!(progressive.check(2).is_ok() && progressive.check(1).is_err());
        assert!(Frame::read(0xc9, &body).is_none() && Frame::read(0xc0, &body[..14]).is_none());
    }
}
