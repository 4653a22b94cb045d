//! The storages that a pickle refers to, and the check that the container has them.

use super::pickle::{Atom, Stop, StorageId, walk};
use std::collections::HashMap;

/// A defect of a file: place and cause.
#[derive(Debug)]
pub struct Defect {
    /// The member, storage or offset.
    pub place: String,
    /// The facts that disagree.
    pub cause: String,
}

impl Defect {
    /// A defect at `place`.
    pub fn new(place: impl Into<String>, cause: impl Into<String>) -> Self {
        Defect { place: place.into(), cause: cause.into() }
    }

    /// A defect of the pickle called `pickle`.
    pub fn pickle(pickle: &str, stop: Stop) -> Self {
        Defect::new(format!("{pickle}, offset {}", stop.offset), stop.cause)
    }
}

/// Bytes per element of a storage class.
pub fn element_size(class: &str) -> Option<u64> {
    Some(match class {
        "DoubleStorage" | "LongStorage" => 8,
        "FloatStorage" | "IntStorage" => 4,
        "HalfStorage" | "BFloat16Storage" | "ShortStorage" => 2,
        "CharStorage" | "ByteStorage" | "BoolStorage" | "UntypedStorage" => 1,
        _ => return None,
    })
}

/// Size in bytes of each storage by key, according to the pickle; all references to a key must agree.
pub fn declared(storages: &[StorageId]) -> Result<HashMap<&str, &StorageId>, Defect> {
    let mut by_key: HashMap<&str, &StorageId> = HashMap::new();
    for storage in storages {
        let first = by_key.entry(&storage.key).or_insert(storage);
        if *first != storage {
            return Err(Defect::new(
                format!("storage '{}'", storage.key),
                format!(
                    "described as {} {} and as {} {}",
                    first.elements, first.class, storage.elements, storage.class
                ),
            ));
        }
    }
    Ok(by_key)
}

/// Size of a storage in bytes.
pub fn byte_length(storage: &StorageId) -> Result<u64, Defect> {
    element_size(&storage.class).and_then(|size| size.checked_mul(storage.elements)).ok_or_else(|| {
        let cause = format!("{} elements of class {}", storage.elements, storage.class);
        Defect::new(format!("storage '{}'", storage.key), cause)
    })
}

/// Checks a legacy stream: five pickles, then every listed storage with its element count, then end of
/// file.
pub fn check_legacy(bytes: &[u8]) -> Result<(), Defect> {
    let mut at = 0;
    let mut next = |name: &str| {
        let pickle = walk(bytes, at).map_err(|stop| Defect::pickle(name, stop))?;
        at = pickle.end;
        Ok::<_, Defect>(pickle)
    };
    if next("magic number")?.value != Atom::Int(0x1950_a86a_20f9_469c_fc6c) {
        return Err(Defect::new("magic number", "not PyTorch's magic number"));
    }
    if next("protocol version")?.value != Atom::Int(1001) {
        return Err(Defect::new("protocol version", "not 1001, the only one that PyTorch has written"));
    }
    next("system information")?;
    let object = next("pickle")?;
    let keys = next("storage keys")?;
    let declared = declared(&object.storages)?;
    let Atom::Flat(list) = keys.value else {
        return Err(Defect::new("storage keys", "not a list"));
    };
    let mut seen = std::collections::HashSet::new();
    for key in &list {
        let Atom::Str(key) = key else {
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
            return Err(Defect::new(place(), format!("needs {needed} bytes, the file has {left} left")));
        }
        at += needed as usize;
    }
    if let Some(missing) = declared.keys().find(|key| !seen.contains(**key)) {
        return Err(Defect::new(
            format!("storage '{missing}'"),
            "a tensor refers to it, but it is not listed",
        ));
    }
    match bytes.len() - at {
        0 => Ok(()),
        n => Err(Defect::new(format!("offset {at}"), format!("{n} trailing bytes after the last storage"))),
    }
}
