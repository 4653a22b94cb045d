//! Tar archives: checkpoints from before PyTorch 0.1.10, and archives around a single checkpoint.

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use super::container::{Content, sniff};
use super::pickle::{Object, Pickle, StorageId, TensorView, Value, overlaps, walk};
use super::storages::{Defect, Location, Storages, element_size};

/// Maximum length of a key in bytes: PyTorch writes numbers.
const LONGEST_KEY: usize = 64;

const MEMBERS: [&str; 4] = ["sys_info", "storages", "tensors", "pickle"];

/// Reads an archive. Nothing is extracted.
///
/// # Errors
/// When a member is damaged; when it holds neither a checkpoint nor exactly one file that is one.
pub fn read(bytes: &[u8]) -> Result<Content, Defect> {
    let members = members(bytes)?;
    let content = |name: &str| members.get(name).map(|range| &bytes[range.clone()]);
    let missing = MEMBERS.into_iter().find(|name| content(name).is_none());
    if let Some(missing) = missing {
        let mut packed: Vec<&String> = members
            .iter()
            .filter(|(_, range)| sniff(&bytes[(*range).clone()]).is_ok())
            .map(|(name, _)| name)
            .collect();
        packed.sort();
        return match packed[..] {
            [name] => Ok(Content::Packed(name.clone(), bytes[members[name].clone()].to_vec())),
            [] => {
                let cause = format!("no member '{missing}', not a PyTorch checkpoint");
                Err(Defect::new("tar archive", cause))
            }
            [first, second, ..] => {
                let count = packed.len();
                let cause = format!(
                    "{count} checkpoints, such as '{first}' and '{second}'; unpack the one that is meant"
                );
                Err(Defect::new("tar archive", cause))
            }
        };
    }
    if let Some(other) = members.keys().find(|name| !MEMBERS.contains(&name.as_str())) {
        return Err(Defect::new(format!("tar member '{other}'"), "not part of a PyTorch checkpoint"));
    }
    let reader = |name: &'static str| {
        let range = members[name].clone();
        Reader { name, bytes: &bytes[range.clone()], start: range.start, at: 0 }
    };
    let whole = |name| {
        let mut reader = reader(name);
        let pickle = reader.pickle()?;
        reader.finish()?;
        Ok::<_, Defect>(pickle)
    };
    whole("sys_info")?;
    let mut pickle = whole("pickle")?;
    let (storages, ids) = storages(reader("storages"))?;
    let tensors = tensors(reader("tensors"), &ids)?;
    for object in &mut pickle.objects {
        if let Object::Persistent(id) = object
            && let Some(view) = tensors.get(&**id)
        {
            *object = Object::Tensor(Box::new(view.clone()));
        }
    }
    Ok(Content::Checkpoint(pickle, storages))
}

/// Offsets of each regular file's bytes, by name without a leading `./`.
fn members(bytes: &[u8]) -> Result<HashMap<String, Range<usize>>, Defect> {
    let bad = |e: std::io::Error| Defect::new("tar archive", e.to_string());
    let mut archive = tar::Archive::new(bytes);
    let mut members: HashMap<String, Range<usize>> = HashMap::new();
    for entry in archive.entries().map_err(bad)? {
        let entry = entry.map_err(bad)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_string();
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            continue;
        }
        let defect = |cause: &str| Defect::new(format!("tar member '{name}'"), cause);
        if !kind.is_file() {
            return Err(defect("not a regular file"));
        }
        let (start, size) = (entry.raw_file_position(), entry.size());
        let present = (bytes.len() as u64).saturating_sub(start);
        if size > present {
            return Err(defect(&format!("{size} bytes declared, {present} present")));
        }
        if members.insert(name.clone(), start as usize..(start + size) as usize).is_some() {
            return Err(defect("present twice"));
        }
    }
    Ok(members)
}

/// Reads `storages`: a count; for each storage a pickle `(key, location, class)`, the element count and
/// the elements; then a pickle of views `(key, key of the viewed, offset, count)`.
fn storages(mut reader: Reader) -> Result<(Storages, HashMap<String, Rc<StorageId>>), Defect> {
    let (mut storages, mut ids) = (Storages::default(), HashMap::new());
    for _ in 0..reader.count()? {
        let pickle = reader.pickle()?;
        let described = match pickle.items(&pickle.value) {
            Some([key, _, Value::Global(class)]) => id(key).zip(Some(class.name.to_string())),
            _ => None,
        };
        let (key, class) = described
            .ok_or_else(|| reader.defect("a storage that is not described by key, location and class"))?;
        let size = element_size(&class).ok_or_else(|| reader.defect("a storage of an unknown class"))?;
        let elements = reader.number()?;
        let length = elements.checked_mul(size).ok_or_else(|| reader.defect("a storage too large"))?;
        let range = reader.skip(length)?;
        storages.locations.insert(key.clone(), Location::File(range));
        ids.insert(key.clone(), Rc::new(StorageId { key, class, elements, start: 0 }));
    }
    let views = reader.pickle()?;
    for view in views.items(&views.value).unwrap_or_default() {
        let described = match views.items(view) {
            Some([key, root, Value::Int(offset), Value::Int(_)]) => {
                id(key).zip(id(root)).zip(u64::try_from(*offset).ok())
            }
            _ => None,
        };
        let known = described.and_then(|((key, root), start)| {
            let storage: &Rc<StorageId> = ids.get(&root)?;
            let start = storage.start.checked_add(start)?;
            Some((key, Rc::new(StorageId { start, ..(**storage).clone() })))
        });
        let (key, storage) = known.ok_or_else(|| reader.defect("a view of an unknown storage"))?;
        ids.insert(key, storage);
    }
    reader.finish()?;
    Ok((storages, ids))
}

/// Reads `tensors`: a count; for each tensor a pickle `(key, storage's key, class)`, its rank, four unused
/// bytes, sizes, strides and offset.
fn tensors(
    mut reader: Reader,
    ids: &HashMap<String, Rc<StorageId>>,
) -> Result<HashMap<String, TensorView>, Defect> {
    let mut tensors = HashMap::new();
    for _ in 0..reader.count()? {
        let pickle = reader.pickle()?;
        let described = match pickle.items(&pickle.value) {
            Some([key, storage, ..]) => id(key).zip(id(storage)),
            _ => None,
        };
        let (key, storage) =
            described.ok_or_else(|| reader.defect("a tensor that is not described by keys"))?;
        let storage = ids.get(&storage).ok_or_else(|| reader.defect("a tensor of an unknown storage"))?;
        let rank = reader.number()? & 0xffff_ffff;
        if rank > 64 {
            return Err(reader.defect(&format!("a tensor of rank {rank}")));
        }
        let mut numbers =
            || (0..rank).map(|_| Ok(i128::from(reader.number()?))).collect::<Result<Vec<_>, Defect>>();
        let (dims, strides) = (numbers()?, numbers()?);
        let offset = i128::from(reader.number()?);
        if overlaps(&dims, &strides) {
            return Err(reader.defect("a tensor whose elements overlap"));
        }
        let view = TensorView::new(storage, offset, &dims, &strides, None);
        tensors.insert(key, view.ok_or_else(|| reader.defect("a tensor of impossible dimensions"))?);
    }
    reader.finish()?;
    Ok(tensors)
}

/// A key, which is a number or a text of usual length.
fn id(value: &Value) -> Option<String> {
    match value {
        Value::Int(n) => Some(n.to_string()),
        Value::Str(text) if text.len() <= LONGEST_KEY => Some(text.to_string()),
        _ => None,
    }
}

struct Reader<'a> {
    name: &'static str,
    bytes: &'a [u8],
    /// Offset of `bytes` in the file.
    start: usize,
    at: usize,
}

impl Reader<'_> {
    fn defect(&self, cause: &str) -> Defect {
        Defect::new(format!("tar member '{}', offset {}", self.name, self.at), cause)
    }

    fn pickle(&mut self) -> Result<Pickle, Defect> {
        let pickle = walk(self.bytes, self.at)
            .map_err(|stop| Defect::pickle(&format!("tar member '{}'", self.name), stop))?;
        self.at = pickle.end;
        Ok(pickle)
    }

    fn count(&mut self) -> Result<u64, Defect> {
        match self.pickle()?.value {
            Value::Int(n) if (0..1 << 32).contains(&n) => Ok(n as u64),
            _ => Err(self.defect("no plausible count")),
        }
    }

    fn number(&mut self) -> Result<u64, Defect> {
        let chunk = self.bytes[self.at..].first_chunk();
        let n = chunk.map(|b| u64::from_le_bytes(*b)).ok_or_else(|| self.defect("the member ends early"))?;
        self.at += 8;
        Ok(n)
    }

    /// Skips `n` bytes; returns their offsets in the file.
    fn skip(&mut self, n: u64) -> Result<Range<usize>, Defect> {
        let left = self.bytes.len() - self.at;
        if n > left as u64 {
            return Err(self.defect(&format!("{n} bytes wanted, {left} left")));
        }
        let from = self.start + self.at;
        self.at += n as usize;
        Ok(from..self.start + self.at)
    }

    fn finish(&self) -> Result<(), Defect> {
        match self.bytes.len() - self.at {
            0 => Ok(()),
            n => Err(self.defect(&format!("{n} trailing bytes"))),
        }
    }
}
