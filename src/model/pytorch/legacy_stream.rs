//! The legacy stream (PyTorch 0.1.10 to 1.5): five pickles, then every listed storage with its element count.

use std::collections::HashSet;

use super::container::Content;
use super::pickle::{Value, walk};
use super::storages::{Defect, Location, Storages, byte_length, declared};

/// The object of a stream, and its storages, which take the file up to its end.
pub fn read(bytes: &[u8]) -> Result<Content, Defect> {
    let mut at = 0;
    let mut next = |name: &str| {
        let pickle = walk(bytes, at).map_err(|stop| Defect::pickle(name, stop))?;
        at = pickle.end;
        Ok::<_, Defect>(pickle)
    };
    if next("magic number")?.value != Value::Int(0x1950_a86a_20f9_469c_fc6c) {
        return Err(Defect::new("magic number", "not PyTorch's magic number"));
    }
    if next("protocol version")?.value != Value::Int(1001) {
        return Err(Defect::new("protocol version", "not 1001, the only one that PyTorch has written"));
    }
    next("system information")?;
    let object = next("pickle")?;
    let keys = next("storage keys")?;
    // Whatever the machine, PyTorch writes the storages in little-endian order.
    let mut storages = Storages::default();
    let declared = declared(object.storages())?;
    let list = keys.items(&keys.value).ok_or_else(|| Defect::new("storage keys", "not a list"))?;
    let mut seen = HashSet::new();
    for key in list {
        let Value::Str(key) = key else {
            return Err(Defect::new("storage keys", "a key that is not text"));
        };
        let place = || format!("storage '{key}'");
        if !seen.insert(key.clone()) {
            return Err(Defect::new(place(), "listed twice"));
        }
        let Some(storage) = declared.get(&**key) else {
            return Err(Defect::new(place(), "listed, but no tensor refers to it"));
        };
        let Some(count) = bytes[at..].first_chunk().map(|b| u64::from_le_bytes(*b)) else {
            return Err(Defect::new(place(), format!("the file ends at {} before its count", bytes.len())));
        };
        if count != storage.elements {
            let cause = format!("the file says {count} elements, the pickle {}", storage.elements);
            return Err(Defect::new(place(), cause));
        }
        at += 8;
        let (needed, left) = (byte_length(storage)?, (bytes.len() - at) as u64);
        if needed > left {
            let cause =
                format!("needs {needed} bytes, the file has {left} left: it is cut off; download it again");
            return Err(Defect::new(place(), cause));
        }
        let end = at + needed as usize;
        storages.locations.insert(key.to_string(), Location::File(at..end));
        at = end;
    }
    if let Some(missing) = declared.keys().find(|key| !seen.contains(**key)) {
        return Err(Defect::new(
            format!("storage '{missing}'"),
            "a tensor refers to it, but it is not listed",
        ));
    }
    match bytes.len() - at {
        0 => Ok(Content::Checkpoint(object, storages)),
        n => Err(Defect::new(format!("offset {at}"), format!("{n} trailing bytes after the last storage"))),
    }
}
