//! Validation of zip checkpoints.

use super::pickle::walk;
use super::storages::{Defect, byte_length, declared};
use std::collections::HashMap;
use std::io::{Cursor, Read};
use zip::read::{ZipArchive, ZipReadOptions};

/// Maximum number of entries: one per tensor and a few more.
const MOST_ENTRIES: usize = 200_000;
/// Maximum unpacked size as a multiple of the archive's, plus [`SLACK`].
const MOST_EXPANSION: u64 = 64;
const SLACK: u64 = 1 << 20;
/// Maximum length in bytes of a data descriptor between two entries (zip64, with signature).
const LONGEST_GAP: u64 = 24;

/// Flags of an entry that is encrypted (bits 0, 6 and 13) or a patch of another file (bit 5).
const UNSUPPORTED_FLAGS: u16 = 1 | 1 << 5 | 1 << 6 | 1 << 13;

/// Length in bytes of the end record of an archive without a comment.
const END_RECORD: usize = 22;
/// Length in bytes of the two zip64 records that may precede it.
const ZIP64_RECORDS: u64 = 56 + 20;

/// Checks every entry (name, position, checksum), the pickle's globals and every storage's length.
pub fn check(bytes: &[u8]) -> Result<(), Defect> {
    let bad = |e: zip::result::ZipError| Defect::new("zip archive", e.to_string());
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(bad)?;
    if archive.len() > MOST_ENTRIES {
        return Err(Defect::new("zip archive", format!("{} entries, at most {MOST_ENTRIES}", archive.len())));
    }
    let mut budget = (bytes.len() as u64).saturating_mul(MOST_EXPANSION).saturating_add(SLACK);
    let (mut pickle, mut sizes, mut spans) = (None, HashMap::new(), Vec::new());
    for index in 0..archive.len() {
        let raw_crc = archive.by_index_raw(index).map_err(bad)?.crc32();
        // PyTorch writes zeros if its checksums are turned off.
        let options = ZipReadOptions::new().ignore_crc32(raw_crc == 0);
        let mut entry = archive.by_index_with_options(index, options).map_err(bad)?;
        let name = entry.name().map_err(bad)?.to_string();
        let defect = |cause: String| Defect::new(format!("zip entry '{name}'"), cause);
        if name.starts_with('/') || name.split('/').any(|part| part == "..") || entry.is_symlink() {
            return Err(defect("a link or a name that leaves the archive".into()));
        }
        if entry.size() > budget {
            return Err(defect(format!("unpacks to {} bytes, more than the {budget} allowed", entry.size())));
        }
        budget -= entry.size();
        let start = entry.header_start();
        let local = local_name(bytes, start).ok_or_else(|| defect("no local header".into()))?;
        if local != name.as_bytes() {
            return Err(defect(format!("its local header calls it '{}'", String::from_utf8_lossy(local))));
        }
        let flags =
            [(start, 6), (entry.central_header_start(), 8)].map(|(at, field)| u16_at(bytes, at, field));
        if flags.iter().any(|flags| flags.is_none_or(|flags| flags & UNSUPPORTED_FLAGS != 0)) {
            return Err(defect(format!(
                "has the flags {:#06x}: encrypted or patched",
                flags[1].unwrap_or(0)
            )));
        }
        let data = entry.data_start().ok_or_else(|| defect("no data offset".into()))?;
        spans.push((start, data.saturating_add(entry.compressed_size())));
        let is_pickle = name == "data.pkl" || name.ends_with("/data.pkl");
        let mut content = Vec::new();
        let size = entry.size();
        let read = if is_pickle {
            (&mut entry).take(size + 1).read_to_end(&mut content).map(|n| n as u64)
        } else {
            std::io::copy(&mut (&mut entry).take(size + 1), &mut std::io::sink())
        };
        match read {
            Ok(n) if n == size => {}
            Ok(n) => return Err(defect(format!("declares {size} bytes, unpacks to {n} or more"))),
            Err(e) => return Err(defect(e.to_string())),
        }
        if is_pickle && pickle.replace((name.clone(), content)).is_some() {
            return Err(defect("a second data.pkl: ambiguous archive".into()));
        }
        sizes.insert(name, size);
    }
    let directory = archive.central_directory_start();
    check_spans(spans, directory)?;
    check_end(bytes, directory, archive.len())?;
    let Some((name, content)) = pickle else {
        let what = if sizes.contains_key("MAR-INF/MANIFEST.json") {
            "a TorchServe archive, not a PyTorch checkpoint"
        } else {
            "a zip archive without data.pkl, not a PyTorch checkpoint"
        };
        return Err(Defect::new("zip archive", what));
    };
    let root = name.strip_suffix("data.pkl").unwrap_or_default();
    if sizes.contains_key(&format!("{root}constants.pkl")) {
        return Err(Defect::new(
            "zip archive",
            "a TorchScript program, not a checkpoint; save its state_dict()",
        ));
    }
    let walked = walk(&content, 0).map_err(|stop| Defect::pickle(&name, stop))?;
    if walked.end != content.len() {
        let cause = format!("{} bytes behind the pickle's end", content.len() - walked.end);
        return Err(Defect::new(name, cause));
    }
    for (key, storage) in declared(&walked.storages)? {
        let place = || format!("storage '{key}'");
        let needed = byte_length(storage)?;
        match sizes.get(&format!("{root}data/{key}")) {
            Some(&size) if size == needed => {}
            Some(&size) => {
                let cause = format!("the archive holds {size} bytes, the pickle says {needed}");
                return Err(Defect::new(place(), cause));
            }
            None => return Err(Defect::new(place(), "not in the archive")),
        }
    }
    Ok(())
}

/// Checks that the entries are contiguous from the first byte to the central directory: a gap could hide
/// data that another reader would find, an overlap could use the same bytes many times.
fn check_spans(mut spans: Vec<(u64, u64)>, directory: u64) -> Result<(), Defect> {
    spans.sort_unstable();
    let mut end = 0;
    for (i, &(start, stop)) in spans.iter().chain([&(directory, directory)]).enumerate() {
        let gap = start.checked_sub(end);
        if gap.is_none_or(|gap| gap > if i == 0 { 0 } else { LONGEST_GAP }) {
            let cause = format!("entries overlap or leave a gap between offsets {end} and {start}");
            return Err(Defect::new("zip archive", cause));
        }
        end = stop;
    }
    Ok(())
}

/// Checks that the file ends with the central directory and its end record: another reader might prefer
/// a second archive after the first.
fn check_end(bytes: &[u8], directory: u64, entries: usize) -> Result<(), Defect> {
    let at = bytes.len().saturating_sub(END_RECORD);
    let record = &bytes[at..];
    let field =
        |at: usize| record.get(at..at + 4).and_then(|b| b.first_chunk()).map(|b| u32::from_le_bytes(*b));
    let size = field(12).filter(|_| record.starts_with(b"PK\x05\x06")).map(u64::from);
    let behind = size.and_then(|size| (at as u64).checked_sub(directory.checked_add(size)?));
    if !matches!(behind, Some(0 | ZIP64_RECORDS)) {
        return Err(Defect::new("zip archive", "the file does not end with the archive's directory"));
    }
    for field in [8, 10] {
        // More do not fit; they are in the zip64 record.
        let said = u16_at(record, 0, field).map(usize::from);
        if said != Some(entries.min(0xffff)) {
            let said = said.map_or("no".into(), |said| said.to_string());
            let cause = format!("its end record says {said} entries, the directory has {entries}");
            return Err(Defect::new("zip archive", cause));
        }
    }
    Ok(())
}

/// The 16-bit `field` of the record at `start`.
fn u16_at(bytes: &[u8], start: u64, field: usize) -> Option<u16> {
    let record = bytes.get(usize::try_from(start).ok()?..)?;
    record.get(field..)?.first_chunk().map(|field| u16::from_le_bytes(*field))
}

/// The name in the local header at `start`.
fn local_name(bytes: &[u8], start: u64) -> Option<&[u8]> {
    let header = bytes.get(usize::try_from(start).ok()?..)?;
    let length = u16::from_le_bytes([*header.get(26)?, *header.get(27)?]);
    header.get(30..30 + usize::from(length))
}
