//! The header of a JPEG file (ITU-T T.81, B.1): the segments before its first scan.

use std::io::{BufRead, Read, Seek, SeekFrom};
use std::ops::Range;

use crate::imaging::CONVERT;

/// What the header of a JPEG file says.
#[derive(Debug)]
pub(in crate::imaging) struct Header {
    /// Width and height as stored, before the orientation.
    pub size: (usize, usize),
    /// EXIF block without its prefix; of several, the first.
    pub exif: Option<Vec<u8>>,
    /// XMP packet without its prefix; of several, the last.
    pub xmp: Option<Vec<u8>>,
    /// Whether the frame is progressive.
    pub is_progressive: bool,
    /// Components of the frame, in the order of the file.
    pub components: Vec<Component>,
    /// Whether the first three components are luma and chroma.
    pub is_ycc: bool,
    /// Number of components in the first scan.
    pub first_scan: usize,
    /// Segments that the pixels depend on, up to the first scan's own, if anything else in the header would disturb
    /// a strict decoder: bytes that belong to no segment, or a segment that is shorter than its kind.
    pub cleaned: Option<Vec<Range<usize>>>,
}

/// A component of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::imaging) struct Component {
    /// Identifier, by which scans refer to it.
    pub id: u8,
    /// Horizontal sampling factor, 1 to 4.
    pub across: usize,
    /// Vertical sampling factor, 1 to 4.
    pub down: usize,
}

impl Component {
    /// Columns and rows of blocks of 8 x 8 samples that a scan of this component alone has.
    pub fn blocks(self, size: (usize, usize), most: (usize, usize)) -> (usize, usize) {
        let along = |size: usize, factor: usize, most: usize| (size * factor).div_ceil(most).div_ceil(8);
        (along(size.0, self.across, most.0), along(size.1, self.down, most.1))
    }
}

const SOF0: u8 = 0xc0;
const SOF2: u8 = 0xc2;
pub(super) const DHT: u8 = 0xc4;
pub(super) const SOI: u8 = 0xd8;
pub(super) const EOI: u8 = 0xd9;
pub(super) const SOS: u8 = 0xda;
const DQT: u8 = 0xdb;
pub(super) const DRI: u8 = 0xdd;
const APP0: u8 = 0xe0;
const APP1: u8 = 0xe1;
const APP14: u8 = 0xee;

/// What precedes the XMP packet in its segment.
const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";

/// Whether a marker stands alone, without a segment.
pub(super) fn is_alone(marker: u8) -> bool {
    matches!(marker, 0x01 | 0xd0..=0xd7)
}

impl Header {
    /// Reads `file` up to its first scan. Bytes that belong to no segment are passed over, as libjpeg does.
    ///
    /// # Errors
    /// A description of what is missing, wrong or not supported.
    pub fn read(file: &mut (impl BufRead + Seek)) -> Result<Header, String> {
        let mut reader = Segments { file, at: 2, has_stray: false };
        reader.file.seek(SeekFrom::Start(2)).map_err(|e| e.to_string())?;
        let (mut frame, mut exif, mut xmp, mut adobe, mut has_jfif) = (None, None, None, None, false);
        let (mut kept, mut is_odd) = (Vec::new(), false);
        loop {
            let (marker, at, body) = reader.next()?;
            let whole = at..at + 4 + body.len();
            match marker {
                SOS => {
                    let (size, is_progressive, components): Frame = frame
                        .ok_or_else(|| format!("damaged: the scan at {at} precedes the frame's size"))?;
                    let is_ycc = is_ycc(&components, has_jfif, adobe);
                    let first_scan = body.first().map_or(0, |&count| usize::from(count));
                    // The scan's own segment and all that follows it.
                    kept.push(at..usize::MAX);
                    let cleaned = (reader.has_stray || is_odd).then_some(kept);
                    return Ok(Header {
                        size,
                        exif,
                        xmp,
                        is_progressive,
                        components,
                        is_ycc,
                        first_scan,
                        cleaned,
                    });
                }
                EOI => return Err(format!("damaged: it ends at {at}, before any scan")),
                SOI => return Err(format!("damaged: a second image begins at {at}, before any scan")),
                0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                    if frame.is_some() {
                        return Err(format!("damaged: a second frame at {at}"));
                    }
                    frame = Some(read_frame(marker, &body)?);
                    kept.push(whole);
                }
                DHT | DQT | DRI => kept.push(whole),
                APP0 => has_jfif |= body.starts_with(b"JFIF\0"),
                APP1 if exif.is_none() && body.starts_with(b"Exif\0\0") => exif = Some(body[6..].to_vec()),
                APP1 if body.starts_with(XMP) => xmp = Some(body[XMP.len()..].to_vec()),
                // Version, two flags and the color transform.
                APP14 if body.starts_with(b"Adobe") && body.len() >= 12 => {
                    adobe = Some(body[11]);
                    kept.push(whole);
                }
                APP14 => is_odd = true,
                _ => {}
            }
        }
    }

    /// The largest sampling factors of any component: across, down.
    pub fn most(&self) -> (usize, usize) {
        self.components.iter().fold((1, 1), |most, of| (most.0.max(of.across), most.1.max(of.down)))
    }
}

/// Whether the components are luma and chroma, by libjpeg's rules: a JFIF marker decides, then Adobe's transform,
/// then the identifiers.
fn is_ycc(components: &[Component], has_jfif: bool, adobe: Option<u8>) -> bool {
    match components.len() {
        3 if has_jfif => true,
        3 => match adobe {
            Some(transform) => transform != 0,
            None => components.iter().map(|c| c.id).ne(*b"RGB"),
        },
        _ => false,
    }
}

/// Width and height, whether it is progressive, and the components.
type Frame = ((usize, usize), bool, Vec<Component>);

/// The frame whose segment of `marker` has this `body` (T.81, B.2.2).
fn read_frame(marker: u8, body: &[u8]) -> Result<Frame, String> {
    match marker {
        SOF0..=SOF2 => {}
        0xc9..=0xcb | 0xcd..=0xcf => return Err(format!("arithmetic coding is not supported; {CONVERT}")),
        0xc3 => return Err(format!("lossless JPEG is not supported; {CONVERT}")),
        _ => return Err(format!("hierarchical JPEG is not supported; {CONVERT}")),
    }
    let short = || format!("damaged: a frame header of {} bytes", body.len());
    let &[bits, h0, h1, w0, w1, count, ref components @ ..] = body else { return Err(short()) };
    if bits != 8 {
        return Err(format!("samples of {bits} bits are not supported, expected 8; {CONVERT}"));
    }
    let size = (usize::from(u16::from_be_bytes([w0, w1])), usize::from(u16::from_be_bytes([h0, h1])));
    let components = components.get(..3 * usize::from(count)).ok_or_else(short)?;
    let components: Vec<Component> = components.as_chunks::<3>().0.iter().map(component).collect();
    if !matches!(count, 1 | 3 | 4) {
        return Err(format!("{count} components, expected 1 (gray), 3 (color) or 4 (CMYK)"));
    }
    if let Some(odd) = components.iter().find(|c| !(1..=4).contains(&c.across) || !(1..=4).contains(&c.down))
    {
        return Err(format!("damaged: sampling factors {}x{}, expected 1 to 4", odd.across, odd.down));
    }
    Ok((size, marker == SOF2, components))
}

fn component(&[id, factors, _]: &[u8; 3]) -> Component {
    Component { id, across: usize::from(factors >> 4), down: usize::from(factors & 15) }
}

/// The segments of a file, one after the other.
struct Segments<'a, R> {
    file: &'a mut R,
    /// Offset of the next byte.
    at: usize,
    /// Whether bytes were passed over that belong to no segment.
    has_stray: bool,
}

impl<R: BufRead + Seek> Segments<'_, R> {
    /// The next marker but those that stand alone, the offset of its 0xff, and the body of its segment.
    fn next(&mut self) -> Result<(u8, usize, Vec<u8>), String> {
        loop {
            let marker = self.marker()?;
            let at = self.at - 2;
            if is_alone(marker) {
                self.has_stray = true;
                continue;
            }
            if matches!(marker, SOI | EOI) {
                return Ok((marker, at, Vec::new()));
            }
            let length = usize::from(self.byte()?) << 8 | usize::from(self.byte()?);
            let Some(length) = length.checked_sub(2) else {
                return Err(format!("damaged: the segment at {at} claims a length of {length} bytes"));
            };
            let mut body = Vec::with_capacity(length);
            let read = self.file.by_ref().take(length as u64).read_to_end(&mut body);
            self.at += read.map_err(|e| e.to_string())?;
            return if body.len() == length { Ok((marker, at, body)) } else { Err(self.truncated()) };
        }
    }

    fn marker(&mut self) -> Result<u8, String> {
        loop {
            let mut passed = 0;
            while self.byte()? != 0xff {
                passed += 1;
            }
            let mut byte = self.byte()?;
            while byte == 0xff {
                byte = self.byte()?;
            }
            self.has_stray |= passed > 0 || byte == 0;
            if byte != 0 {
                return Ok(byte);
            }
        }
    }

    fn byte(&mut self) -> Result<u8, String> {
        let mut byte = [0];
        self.file.read_exact(&mut byte).map_err(|_| self.truncated())?;
        self.at += 1;
        Ok(byte[0])
    }

    fn truncated(&self) -> String {
        format!("truncated: {} bytes and no scan", self.at)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// A JPEG header of these segments, up to a scan.
    fn header(segments: &[(u8, &[u8])], stray: &[u8]) -> Result<Header, String> {
        let mut bytes = vec![0xff, SOI];
        for (marker, body) in segments {
            bytes.extend(stray);
            bytes.extend([0xff, *marker]);
            bytes.extend((body.len() as u16 + 2).to_be_bytes());
            bytes.extend(*body);
        }
        bytes.extend([0xff, SOS, 0, 3, 1]);
        Header::read(&mut Cursor::new(bytes))
    }

    /// A frame of 17 x 9 pixels with halved chroma, and these identifiers.
    fn frame(ids: [u8; 3]) -> Vec<u8> {
        vec![8, 0, 9, 0, 17, 3, ids[0], 0x22, 0, ids[1], 0x11, 1, ids[2], 0x11, 1]
    }

    #[test]
    fn blocks_are_counted_by_component() {
        let header = header(&[(SOF0, &frame([1, 2, 3]))], &[]).unwrap();
        let blocks = |c: &Component| c.blocks(header.size, header.most());
        assert_eq!(header.components.iter().map(blocks).collect::<Vec<_>>(), [(3, 2), (2, 1), (2, 1)]);
        assert!(header.cleaned.is_none() && header.is_ycc && header.first_scan == 1);
    }

    #[test]
    fn colors_are_told_as_libjpeg_does() {
        let adobe = |transform| [&b"Adobe\0\x64\0\0\0\0"[..], &[transform]].concat();
        let (rgb, numbers, jfif) = (frame(*b"RGB"), frame([1, 2, 3]), &b"JFIF\0"[..]);
        for (is_ycc, segments) in [
            (true, vec![(SOF0, &numbers[..])]),
            (false, vec![(SOF0, &rgb)]),
            (true, vec![(APP0, jfif), (SOF0, &rgb)]),
            (true, vec![(APP14, &adobe(1)), (SOF0, &rgb)]),
            (false, vec![(APP14, &adobe(0)), (SOF0, &numbers)]),
            (true, vec![(APP0, jfif), (APP14, &adobe(0)), (SOF0, &numbers)]),
        ] {
            assert_eq!(header(&segments, &[]).unwrap().is_ycc, is_ycc, "{segments:?}");
        }
    }

    #[test]
    fn stray_bytes_are_passed_over_and_the_first_exif_block_counts() {
        let frame = frame([1, 2, 3]);
        let segments = [(APP1, &b"Exif\0\0first"[..]), (APP1, b"Exif\0\0second"), (SOF0, &frame)];
        assert_eq!(header(&segments, &[]).unwrap().exif.as_deref(), Some(&b"first"[..]));
        for stray in [&[0; 3][..], &[0xff, 0], &[0xff, 0xd0]] {
            let header = header(&segments, stray).unwrap();
            // The frame, and the scan with what follows.
            assert_eq!((header.size, header.cleaned.unwrap().len()), ((17, 9), 2), "{stray:?}");
        }
        assert!(header(&segments, &[0xff]).unwrap().cleaned.is_none(), "fill bytes are no stray bytes");
    }

    #[test]
    fn other_codings_are_refused_in_our_own_words() {
        let refused = |marker| header(&[(marker, &frame([1, 2, 3]))], &[]).unwrap_err();
        assert!(refused(0xc9).starts_with("arithmetic coding is not supported; convert it"));
        assert!(refused(0xc3).starts_with("lossless JPEG"));
        let twelve = [&[12][..], &frame([1, 2, 3])[1..]].concat();
        assert!(header(&[(0xc1, &twelve)], &[]).unwrap_err().starts_with("samples of 12 bits"));
        assert_eq!(header(&[], &[]).unwrap_err(), "damaged: the scan at 2 precedes the frame's size");
    }
}
