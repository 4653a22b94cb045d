//! Orientation in an EXIF block, which is a TIFF file without pixels.

use std::io::{Cursor, Read, Seek, SeekFrom};

use image::metadata::Orientation;

/// What precedes EXIF blocks in JPEG files, and in files of some programs in other formats too.
const PREFIX: &[u8] = b"Exif\0\0";

const ORIENTATION: u16 = 0x112;

/// The orientation in an EXIF `block`: a value that is none of the eight orientations turns nothing. An unreadable
/// block does not affect the pixels.
pub(super) fn orientation(mut block: &[u8]) -> Option<Orientation> {
    while let Some(rest) = block.strip_prefix(PREFIX) {
        block = rest;
    }
    tiff_orientation(&mut Cursor::new(block))
}

/// The same of the first image of a TIFF `file`.
pub(super) fn tiff_orientation(file: &mut (impl Read + Seek)) -> Option<Orientation> {
    let value = u8::try_from(number(file, ORIENTATION)?).ok();
    Some(value.and_then(Orientation::from_exif).unwrap_or(Orientation::NoTransforms))
}

/// The value of `tag` in the first directory of a TIFF `file` (TIFF 6.0, section 2), if it is one number of 16 or 32
/// bits.
pub(super) fn number(file: &mut (impl Read + Seek), tag: u16) -> Option<u32> {
    file.seek(SeekFrom::Start(0)).ok()?;
    let is_little = match &bytes(file)? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let short = |b: [u8; 2]| if is_little { u16::from_le_bytes(b) } else { u16::from_be_bytes(b) };
    let long = |b: [u8; 4]| if is_little { u32::from_le_bytes(b) } else { u32::from_be_bytes(b) };
    let directory = long(bytes(file)?);
    file.seek(SeekFrom::Start(directory.into())).ok()?;
    for _ in 0..short(bytes(file)?) {
        let [found, kind] = [short(bytes(file)?), short(bytes(file)?)];
        let (count, value) = (long(bytes(file)?), bytes(file)?);
        match (found == tag && count == 1, kind) {
            (true, 3) => return Some(short([value[0], value[1]]).into()),
            (true, 4) => return Some(long(value)),
            _ => {}
        }
    }
    None
}

fn bytes<const N: usize>(file: &mut impl Read) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block in `order` (`II` or `MM`) with one entry.
    fn block(order: &[u8; 2], tag: u16, kind: u16, count: u32, value: u32) -> Vec<u8> {
        let is_little = order == b"II";
        let short = |v: u16| if is_little { v.to_le_bytes() } else { v.to_be_bytes() };
        let long = |v: u32| if is_little { v.to_le_bytes() } else { v.to_be_bytes() };
        let value = if kind == 3 { [short(value as u16), [0; 2]].concat() } else { long(value).to_vec() };
        let head = [&order[..], &short(42), &long(8), &short(1)].concat();
        [&head[..], &short(tag), &short(kind), &long(count), &value].concat()
    }

    #[test]
    fn short_and_long_orientations_count_with_and_without_the_prefix() {
        for order in [b"II", b"MM"] {
            for kind in [3, 4] {
                let block = block(order, ORIENTATION, kind, 1, 6);
                for times in 0..3 {
                    let prefixed = [PREFIX.repeat(times), block.clone()].concat();
                    assert_eq!(orientation(&prefixed), Some(Orientation::Rotate90));
                }
                assert_eq!(orientation(&block[..block.len() - 1]), None);
            }
            assert_eq!(orientation(&block(order, ORIENTATION, 1, 1, 6)), None);
            assert_eq!(orientation(&block(order, ORIENTATION, 3, 2, 6)), None);
            for value in [0, 9, 262] {
                let turns_nothing = Some(Orientation::NoTransforms);
                assert_eq!(orientation(&block(order, ORIENTATION, 4, 1, value)), turns_nothing);
            }
        }
        assert_eq!(orientation(b"II"), None);
    }
}
