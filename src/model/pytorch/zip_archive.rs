//! Zip checkpoints: every entry is checked (name, position, checksum) before anything is used.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use zip::CompressionMethod;
use zip::read::{ZipArchive, ZipReadOptions};

use super::container::{Content, sniff};
use super::pickle::walk;
use super::storages::{Defect, Location, Storages, byte_length, declared};

/// Maximum number of entries: one per tensor and a few more.
const MOST_ENTRIES: usize = 200_000;
/// Maximum unpacked size as a multiple of the archive's, plus [`SLACK`].
const MOST_EXPANSION: u64 = 64;
const SLACK: u64 = 1 << 20;
/// Maximum size of the pickle in bytes: it holds no elements.
const LARGEST_PICKLE: u64 = 64 << 20;
/// Number of bytes by which a file in an archive is recognized.
const HEAD: usize = 512;
/// Maximum length in bytes of a data descriptor between two entries (zip64, with signature).
const LONGEST_GAP: u64 = 24;

/// Flags of an entry that is encrypted (bits 0, 6 and 13) or a patch of another file (bit 5).
const UNSUPPORTED_FLAGS: u16 = 1 | 1 << 5 | 1 << 6 | 1 << 13;

/// Length in bytes of the end record of an archive without a comment.
const END_RECORD: usize = 22;
/// Length in bytes of the two zip64 records that may precede it.
const ZIP64_RECORDS: u64 = 56 + 20;

/// An entry whose name, position and checksum are right.
struct Entry {
    index: usize,
    size: u64,
    /// Where its bytes are in the archive, unless they are compressed.
    stored: Option<std::ops::Range<usize>>,
}

/// Maximum number of bytes that a file of `size` bytes may unpack to, archives in it included.
pub fn most_unpacked(size: usize) -> u64 {
    (size as u64).saturating_mul(MOST_EXPANSION).saturating_add(SLACK)
}

/// Reads an archive that unpacks to `most` bytes or less.
///
/// # Errors
/// When an entry is damaged, misplaced or leaves the archive; when it holds neither a checkpoint nor exactly
/// one file that is one (the message says what it is instead); when a storage is absent or has another length.
pub fn read(bytes: &[u8], most: u64) -> Result<Content, Defect> {
    let bad = |e: zip::result::ZipError| Defect::new("zip archive", e.to_string());
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|e| {
        let cut_off = "has no directory at its end: the file is cut off; download it again";
        if ends_with_a_record(bytes) { bad(e) } else { Defect::new("zip archive", cut_off) }
    })?;
    if archive.len() > MOST_ENTRIES {
        return Err(Defect::new("zip archive", format!("{} entries, at most {MOST_ENTRIES}", archive.len())));
    }
    let mut budget = most;
    let (mut pickles, mut entries, mut spans) = (Vec::new(), BTreeMap::new(), Vec::new());
    let mut checkpoints = Vec::new();
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
        let size = entry.size();
        if size > budget {
            return Err(defect(format!("unpacks to {size} bytes, more than the {budget} allowed")));
        }
        budget -= size;
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
        let stored = (entry.compression() == CompressionMethod::Stored && entry.compressed_size() == size)
            .then_some(data as usize..(data + size) as usize);
        // The whole entry is read once, which checks its length and its checksum.
        let mut head = [0; HEAD];
        let mut rest = (&mut entry).take(size + 1);
        let begun = fill(&mut rest, &mut head).map_err(|e| defect(e.to_string()))?;
        let more = std::io::copy(&mut rest, &mut std::io::sink()).map_err(|e| defect(e.to_string()))?;
        if begun as u64 + more != size {
            return Err(defect(format!("declares {size} bytes, unpacks to {} or more", begun as u64 + more)));
        }
        if name == "data.pkl" || name.ends_with("/data.pkl") {
            pickles.push(name.clone());
        } else if sniff(&head[..begun]).is_ok() {
            checkpoints.push(name.clone());
        }
        entries.insert(name, Entry { index, size, stored });
    }
    let directory = archive.central_directory_start();
    let mut unpack = |entry: &Entry| -> Result<Vec<u8>, Defect> {
        let options = ZipReadOptions::new().ignore_crc32(true); // checked above
        let mut content = Vec::new();
        let room = content.try_reserve_exact(entry.size as usize);
        room.map_err(|_| Defect::new("zip archive", format!("no memory for {} bytes", entry.size)))?;
        let mut reader = archive.by_index_with_options(entry.index, options).map_err(bad)?;
        reader.read_to_end(&mut content).map_err(|e| Defect::new("zip archive", e.to_string()))?;
        Ok(content)
    };
    let (name, packed) = match (&pickles[..], &checkpoints[..]) {
        ([pickle], _) => (pickle, false),
        ([], [checkpoint]) => (checkpoint, true),
        ([], _) => return Err(Defect::new("zip archive", kind(&entries, &checkpoints))),
        ([_, second, ..], _) => {
            let cause = "a second data.pkl: ambiguous archive";
            return Err(Defect::new(format!("zip entry '{second}'"), cause));
        }
    };
    if !packed && entries[name].size > LARGEST_PICKLE {
        let cause = format!("unpacks to {} bytes, the limit is {LARGEST_PICKLE}", entries[name].size);
        return Err(Defect::new(format!("zip entry '{name}'"), cause));
    }
    let content = unpack(&entries[name])?;
    if packed {
        return Ok(Content::Packed(name.clone(), content));
    }
    check_spans(spans, directory)?;
    check_end(bytes, directory, entries.len())?;
    let root = name.strip_suffix("data.pkl").unwrap_or_default();
    if entries.contains_key(&format!("{root}constants.pkl")) {
        return Err(Defect::new(
            "zip archive",
            "a TorchScript program, not a checkpoint; save its state_dict(), or an ONNX file with torch.onnx.export",
        ));
    }
    let pickle = walk(&content, 0).map_err(|stop| Defect::pickle(name, stop))?;
    if pickle.end != content.len() {
        let cause = format!("{} bytes behind the pickle's end", content.len() - pickle.end);
        return Err(Defect::new(name, cause));
    }
    let mut storages = Storages::default();
    if let Some(order) = entries.get(&format!("{root}byteorder")) {
        storages.big_endian = match unpack(order)?.trim_ascii() {
            b"little" => false,
            b"big" => true,
            _ => return Err(Defect::new("zip entry 'byteorder'", "neither little nor big")),
        };
    }
    for (key, storage) in declared(pickle.storages())? {
        let place = || format!("storage '{key}'");
        let needed = byte_length(storage)?;
        match entries.get(&format!("{root}data/{key}")) {
            Some(entry) if entry.size == needed => {
                let location = match &entry.stored {
                    Some(range) => Location::File(range.clone()),
                    None => Location::Unpacked(unpack(entry)?),
                };
                storages.locations.insert(key.to_string(), location);
            }
            Some(entry) => {
                let cause = format!("the archive holds {} bytes, the pickle says {needed}", entry.size);
                return Err(Defect::new(place(), cause));
            }
            None => return Err(Defect::new(place(), "not in the archive")),
        }
    }
    Ok(Content::Checkpoint(pickle, storages))
}

/// Reads up to `head.len()` bytes.
fn fill(reader: &mut impl Read, head: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < head.len() {
        match reader.read(&mut head[filled..])? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(filled)
}

/// What an archive without data.pkl is, and what to do about it.
fn kind(entries: &BTreeMap<String, Entry>, checkpoints: &[String]) -> String {
    let any = |test: fn(&str) -> bool| entries.keys().any(|name| test(name));
    let files = || entries.keys().filter(|name| !name.ends_with('/'));
    if let [first, second, ..] = checkpoints {
        let count = checkpoints.len();
        return format!(
            "{count} checkpoints, such as '{first}' and '{second}'; unpack the one that is meant"
        );
    }
    let what = if any(|name| name == "MAR-INF/MANIFEST.json") {
        "a TorchServe archive, not a PyTorch checkpoint; unpack the .pth in it"
    } else if any(|name| name.ends_with("archive_format") || name.ends_with("models/model.json")) {
        "a program of torch.export (.pt2), not a checkpoint; save the model's state_dict()"
    } else if any(|name| name.ends_with(".distcp") || name == ".metadata") {
        "a distributed checkpoint; make one file of it with torch.distributed.checkpoint.format_utils.dcp_to_torch_save"
    } else if any(|name| name == "model.weights.h5") {
        "a Keras model, not a PyTorch checkpoint"
    } else if files().next().is_some() && files().all(|name| name.ends_with(".npy")) {
        "an .npz of NumPy arrays, not a PyTorch checkpoint; save the state_dict() with torch.save"
    } else {
        "a zip archive without data.pkl, not a PyTorch checkpoint"
    };
    what.into()
}

/// Whether an end record is among the last bytes, where a comment may follow it.
fn ends_with_a_record(bytes: &[u8]) -> bool {
    let tail = &bytes[bytes.len().saturating_sub(END_RECORD + usize::from(u16::MAX))..];
    tail.windows(4).any(|window| window == b"PK\x05\x06")
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
