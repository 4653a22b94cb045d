//! The header of a safetensors file, with checks that name the offending tensor.

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use std::collections::{HashMap, HashSet};

/// A consistent header: the tensors' ranges are contiguous and match their shapes.
pub struct Header {
    /// The entries of `__metadata__`.
    pub metadata: HashMap<String, String>,
    /// The tensors in the order of their data.
    pub tensors: Vec<Entry>,
    /// Offset of the data in the file.
    pub data: usize,
}

/// One tensor of a header.
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its element type, as safetensors calls it.
    pub dtype: String,
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// Start and end (exclusive) in bytes from the start of the data.
    pub range: [usize; 2],
}

/// Whether the bytes begin like a safetensors file: a header length, then JSON.
pub fn is_safetensors(bytes: &[u8]) -> bool {
    let length = bytes.first_chunk().map(|b| u64::from_le_bytes(*b));
    length.is_some_and(|n| n <= LONGEST) && bytes.get(8) == Some(&b'{')
}

/// Maximum length of a header in bytes.
const LONGEST: u64 = 100_000_000;

/// Reads the header of a safetensors file; an error is a place and a cause.
pub fn read(bytes: &[u8]) -> Result<Header, (String, String)> {
    let fail = |cause: String| ("header".to_string(), cause);
    let length = bytes.first_chunk().map(|b| u64::from_le_bytes(*b));
    let length = length.ok_or_else(|| fail(format!("the file has only {} bytes", bytes.len())))?;
    let left = bytes.len() as u64 - 8;
    if length > left.min(LONGEST) {
        return Err(fail(format!("says it has {length} bytes, {left} follow")));
    }
    let data = 8 + length as usize;
    let Raw { metadata, mut tensors } =
        serde_json::from_slice(&bytes[8..data]).map_err(|e| fail(e.to_string()))?;
    tensors.sort_by_key(|entry| entry.range);
    let mut end = 0;
    for entry in &tensors {
        let fail = |cause: String| (format!("tensor '{}'", entry.name), cause);
        let [from, to] = entry.range;
        if from != end || to < from {
            return Err(fail(format!("lies at {from}..{to}, expected to begin at {end}")));
        }
        let size = match entry.dtype.as_str() {
            "F64" | "I64" | "U64" | "C64" => 8,
            "F32" | "I32" | "U32" => 4,
            "F16" | "BF16" | "I16" | "U16" => 2,
            "I8" | "U8" | "BOOL" | "F8_E4M3" | "F8_E5M2" => 1,
            other => return Err(fail(format!("holds {other}, an unknown element type"))),
        };
        let needed = entry.shape.iter().try_fold(size, |n: usize, d| n.checked_mul(*d));
        if needed != Some(to - from) {
            let cause = format!("{} of dimensions {:?} in {} bytes", entry.dtype, entry.shape, to - from);
            return Err(fail(cause));
        }
        end = to;
    }
    if end != bytes.len() - data {
        return Err(fail(format!("its tensors take {end} bytes, the file has {}", bytes.len() - data)));
    }
    Ok(Header { metadata, tensors, data })
}

struct Raw {
    metadata: HashMap<String, String>,
    tensors: Vec<Entry>,
}

#[derive(serde::Deserialize)]
struct Info {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Raw;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
                let mut raw = Raw { metadata: HashMap::new(), tensors: Vec::new() };
                let mut seen = HashSet::new();
                while let Some(name) = map.next_key::<String>()? {
                    if !seen.insert(name.clone()) {
                        return Err(A::Error::custom(format!("'{name}' is there twice")));
                    }
                    if name.is_empty() || name.chars().any(char::is_control) {
                        map.next_value::<IgnoredAny>()?;
                        return Err(A::Error::custom(format!("{name:?} is not a usable name")));
                    }
                    if name == "__metadata__" {
                        raw.metadata = map.next_value()?;
                        continue;
                    }
                    let info: Info =
                        map.next_value().map_err(|e| A::Error::custom(format!("tensor '{name}': {e}")))?;
                    let Info { dtype, shape, data_offsets: range } = info;
                    raw.tensors.push(Entry { name, dtype, shape, range });
                }
                Ok(raw)
            }
        }
        deserializer.deserialize_map(Names)
    }
}
