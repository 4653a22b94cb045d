//! Completeness of a JPEG file: does every scan hold the blocks that the header promises?
//!
//! JPEG has no checksum, and decoders fill what is missing with gray or with whatever bits come next. The check
//! reads the codes of all scans (ITU-T T.81, annexes F and G) without computing pixels: a scan that ends early, a
//! restart marker that is lost, and a progressive file without its last scans are errors. More bytes than the
//! blocks take are not, nor is damage that leaves valid codes of the right number.

use super::header::{Component, DHT, DRI, EOI, Header, SOI, SOS, is_alone};
use super::huffman::{Bits, Fault, Table};
use crate::util::allocation;

/// Most scans of a file: no encoder writes as many, and each takes time.
const MAX_SCANS: usize = 100;

/// Checks the file in `bytes`, whose header is `header`.
///
/// # Errors
/// A description of what is missing, with the offsets that show it.
pub(in crate::imaging) fn check(bytes: &[u8], header: &Header) -> Result<(), String> {
    let mut progress = Progress::new(header);
    let (mut dc, mut ac) = ([const { None }; 4], [const { None }; 4]);
    let (mut interval, mut scans, mut at) = (0, 0, 2);
    loop {
        let marker_at = next_marker(bytes, at)?;
        let marker = bytes[marker_at];
        at = marker_at + 1;
        match marker {
            EOI => return progress.check_complete(),
            _ if is_alone(marker) || marker == SOI => continue,
            _ => {}
        }
        let cut = || format!("truncated: {} bytes and no end-of-image marker", bytes.len());
        let length = bytes.get(at..at + 2).ok_or_else(cut)?;
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        if length < 2 {
            return Err(format!("damaged: the segment at {marker_at} claims a length of {length} bytes"));
        }
        let body = bytes.get(at + 2..at + length).ok_or_else(cut)?;
        at += length;
        match marker {
            DHT => read_tables(body, &mut dc, &mut ac)
                .ok_or_else(|| format!("damaged: the Huffman tables at {marker_at}"))?,
            DRI => interval = body.first_chunk().map_or(0, |&n| usize::from(u16::from_be_bytes(n))),
            SOS => {
                scans += 1;
                if scans > MAX_SCANS {
                    return Err(format!("more than {MAX_SCANS} scans"));
                }
                let scan = Scan::read(body, header, &dc, &ac)
                    .ok_or_else(|| format!("damaged: the scan header at {marker_at}"))?;
                progress.begin(&scan);
                if dc.iter().chain(&ac).all(Option::is_none) {
                    continue; // A frame of a video, whose tables the decoder knows.
                }
                at = scan.walk(bytes, at, interval, header, &mut progress)?;
            }
            _ => {}
        }
    }
}

/// Offset of the next marker's second byte, past bytes that are none.
fn next_marker(bytes: &[u8], mut at: usize) -> Result<usize, String> {
    loop {
        let cut = || format!("truncated: {} bytes and no end-of-image marker", bytes.len());
        at += bytes.get(at..).and_then(|rest| rest.iter().position(|&b| b == 0xff)).ok_or_else(cut)?;
        at += bytes[at..].iter().position(|&b| b != 0xff).ok_or_else(cut)?;
        if bytes[at] != 0 {
            return Ok(at);
        }
    }
}

/// The tables of a segment (T.81, B.2.4.2) in their places.
fn read_tables(mut body: &[u8], dc: &mut [Option<Table>; 4], ac: &mut [Option<Table>; 4]) -> Option<()> {
    while let Some((&place, rest)) = body.split_first() {
        let (counts, rest) = rest.split_first_chunk::<16>()?;
        let symbols = rest.get(..counts.iter().map(|&n| usize::from(n)).sum())?;
        let tables = if place >> 4 == 0 { &mut *dc } else { &mut *ac };
        *tables.get_mut(usize::from(place & 15))? = Some(Table::new(*counts, symbols)?);
        body = &rest[symbols.len()..];
    }
    Some(())
}

/// What the scans so far have given of each component.
struct Progress {
    is_progressive: bool,
    components: Vec<ComponentProgress>,
}

struct ComponentProgress {
    /// For each coefficient in zigzag order the lowest bit that is known, `None` for none yet.
    known: [Option<u8>; 64],
    /// For each block the coefficients that are not zero so far; empty before the first scan of them.
    nonzero: Vec<u64>,
}

impl Progress {
    fn new(header: &Header) -> Self {
        let component = |_: &Component| ComponentProgress { known: [None; 64], nonzero: Vec::new() };
        let components = header.components.iter().map(component).collect();
        Progress { is_progressive: header.is_progressive, components }
    }

    fn begin(&mut self, scan: &Scan) {
        for part in &scan.parts {
            let known = &mut self.components[part.component].known;
            known[scan.first..=scan.last].fill(Some(scan.low_bit));
        }
    }

    /// Refuses components of which a coefficient is not known to the last bit.
    fn check_complete(&self) -> Result<(), String> {
        for (i, component) in (1..).zip(&self.components) {
            let known = component.known.iter().filter(|bit| **bit == Some(0)).count();
            if known < 64 {
                let kind = if self.is_progressive { "progressive " } else { "" };
                return Err(format!(
                    "truncated: the {kind}scans give {known} of 64 coefficients of component {i}"
                ));
            }
        }
        Ok(())
    }
}

/// A component in a scan.
struct Part<'a> {
    /// Its index in the frame.
    component: usize,
    dc: Option<&'a Table>,
    ac: Option<&'a Table>,
}

/// A scan: some coefficients of some components.
struct Scan<'a> {
    parts: Vec<Part<'a>>,
    /// First and last coefficient in zigzag order.
    first: usize,
    last: usize,
    /// Whether an earlier scan gave the higher bits.
    refines: bool,
    /// The lowest bit that it gives.
    low_bit: u8,
    is_progressive: bool,
}

impl<'a> Scan<'a> {
    /// The scan whose header is `body` (T.81, B.2.3).
    fn read(
        body: &[u8],
        header: &Header,
        dc: &'a [Option<Table>; 4],
        ac: &'a [Option<Table>; 4],
    ) -> Option<Self> {
        let (&count, rest) = body.split_first()?;
        let (parts, rest) = rest.split_at_checked(2 * usize::from(count))?;
        let part = |&[id, tables]: &[u8; 2]| {
            let component = header.components.iter().position(|c| c.id == id)?;
            let table = |of: &'a [Option<Table>; 4], i: u8| of.get(usize::from(i)).and_then(Option::as_ref);
            Some(Part { component, dc: table(dc, tables >> 4), ac: table(ac, tables & 15) })
        };
        let parts: Vec<Part> = parts.as_chunks::<2>().0.iter().map(part).collect::<Option<_>>()?;
        let &[first, last, bits, ..] = rest else { return None };
        let is_progressive = header.is_progressive;
        // A sequential scan has all coefficients, whatever these bytes say.
        let (first, last, bits) = if is_progressive { (first, last, bits) } else { (0, 63, 0) };
        let (first, last) = (usize::from(first), usize::from(last));
        let is_valid = !parts.is_empty()
            && parts.len() <= 4
            && first <= last
            && last < 64
            // In a progressive frame the first coefficient has scans of its own, the others one for each component.
            && (!is_progressive || if first == 0 { last == 0 } else { parts.len() == 1 });
        let (refines, low_bit) = (bits >> 4 != 0, bits & 15);
        is_valid.then_some(Scan { parts, first, last, refines, low_bit, is_progressive })
    }

    /// Reads the scan's codes from offset `from`, with restart markers every `interval` units. Returns the offset
    /// after them.
    fn walk(
        &self,
        bytes: &[u8],
        from: usize,
        interval: usize,
        header: &Header,
        progress: &mut Progress,
    ) -> Result<usize, String> {
        let most = header.most();
        let of = |part: &Part| header.components[part.component];
        let (across, down) = match &self.parts[..] {
            [only] => of(only).blocks(header.size, most),
            _ => (header.size.0.div_ceil(8 * most.0), header.size.1.div_ceil(8 * most.1)),
        };
        let units = across * down;
        // Blocks of each component in a unit.
        let blocks = |part: &Part| if self.parts.len() == 1 { 1 } else { of(part).across * of(part).down };
        let blocks: Vec<usize> = self.parts.iter().map(blocks).collect();
        let mut nonzero: &mut [u64] = &mut [];
        if self.first > 0 {
            let known = &mut progress.components[self.parts[0].component].nonzero;
            if known.is_empty() {
                *known = allocation::vec("pixels", units, 0).map_err(|e| e.to_string())?;
            }
            nonzero = known;
        }
        let mut bits = Bits::new(bytes, from);
        let (mut run, mut restarts) = (0, 0);
        for unit in 0..units {
            if interval > 0 && unit > 0 && unit % interval == 0 {
                let at = next_marker(bytes, bits.at())?;
                let expected = 0xd0 + (restarts % 8) as u8;
                if bytes[at] != expected {
                    return Err(format!(
                        "damaged: marker {:02x} at {at} where restart marker {expected:02x} belongs, after {unit} \
                         of {units} units",
                        bytes[at]
                    ));
                }
                bits = Bits::new(bytes, at + 1);
                (run, restarts) = (0, restarts + 1);
            }
            let read = match nonzero.get_mut(unit) {
                Some(nonzero) => self.ac_block(&mut bits, nonzero, &mut run),
                None => self.parts.iter().zip(&blocks).try_for_each(|(part, &blocks)| {
                    (0..blocks).try_for_each(|_| match self.is_progressive {
                        true => self.dc_block(&mut bits, part),
                        false => whole_block(&mut bits, part),
                    })
                }),
            };
            read.map_err(|fault| match fault {
                Fault::End => format!(
                    "truncated: the scan at {from} ends at {}, after {unit} of {units} units",
                    bits.at()
                ),
                Fault::Code => {
                    format!("damaged: no valid code before {}, in unit {unit} of {units}", bits.at())
                }
            })?;
        }
        Ok(bits.at())
    }

    /// A block's first coefficient in a progressive scan (T.81, G.1.2.1).
    fn dc_block(&self, bits: &mut Bits, part: &Part) -> Result<(), Fault> {
        if self.refines {
            return bits.skip(1);
        }
        let length = bits.symbol(part.dc.ok_or(Fault::Code)?)?;
        bits.skip(u32::from(length & 15))
    }

    /// A block's other coefficients in a progressive scan (T.81, G.1.2.2 and G.1.2.3). `nonzero` has those that are
    /// not zero, `run` the number of blocks from here on without further ones.
    fn ac_block(&self, bits: &mut Bits, nonzero: &mut u64, run: &mut u32) -> Result<(), Fault> {
        let table = self.parts[0].ac.ok_or(Fault::Code)?;
        let mut k = self.first;
        while *run == 0 && k <= self.last {
            let (mut zeros, length) = run_and_length(bits.symbol(table)?);
            if length == 0 && zeros < 15 {
                *run = (1 << zeros) + bits.number(zeros)?;
                break;
            }
            bits.skip(if self.refines { length.min(1) } else { length })?;
            if self.refines {
                // Those that are known already have a bit each, and do not count as zeros.
                while k <= self.last {
                    if *nonzero >> k & 1 == 1 {
                        bits.skip(1)?;
                    } else if zeros == 0 {
                        break;
                    } else {
                        zeros -= 1;
                    }
                    k += 1;
                }
            } else {
                k += zeros as usize;
            }
            if length > 0 && k <= self.last {
                *nonzero |= 1 << k;
            }
            k += 1;
        }
        if *run > 0 {
            if self.refines && k <= self.last {
                let rest = *nonzero >> k << k & (u64::MAX >> (63 - self.last));
                bits.skip(rest.count_ones())?;
            }
            *run -= 1;
        }
        Ok(())
    }
}

/// A block of a sequential scan (T.81, F.2.2).
fn whole_block(bits: &mut Bits, part: &Part) -> Result<(), Fault> {
    let length = bits.symbol(part.dc.ok_or(Fault::Code)?)?;
    bits.skip(u32::from(length & 15))?;
    let ac = part.ac.ok_or(Fault::Code)?;
    let mut k = 1;
    while k < 64 {
        let (zeros, length) = run_and_length(bits.symbol(ac)?);
        if length == 0 && zeros < 15 {
            break;
        }
        bits.skip(length)?;
        k += zeros + 1;
    }
    Ok(())
}

/// Zeros before the coefficient, and bits of the coefficient.
fn run_and_length(symbol: u8) -> (u32, u32) {
    (u32::from(symbol >> 4), u32::from(symbol & 15))
}
