//! Validation of tar checkpoints (before PyTorch 0.1.10).

use super::pickle::{Atom, Pickle, walk};
use super::storages::{Defect, element_size};
use std::collections::HashMap;
use std::io::Read;

const MEMBERS: [&str; 4] = ["sys_info", "storages", "tensors", "pickle"];

/// Checks the members and every pickle in them. Nothing is extracted.
pub fn check(bytes: &[u8]) -> Result<(), Defect> {
    let bad = |e: std::io::Error| Defect::new("tar archive", e.to_string());
    let mut archive = tar::Archive::new(bytes);
    let mut members: HashMap<String, Vec<u8>> = HashMap::new();
    for entry in archive.entries().map_err(bad)? {
        let mut entry = entry.map_err(bad)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_string();
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            continue;
        }
        let defect = |cause: &str| Defect::new(format!("tar member '{name}'"), cause);
        if !kind.is_file() {
            return Err(defect("not a regular file"));
        }
        if !MEMBERS.contains(&name.as_str()) {
            return Err(defect("not part of a PyTorch checkpoint"));
        }
        let size = entry.size();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(bad)?;
        if content.len() as u64 != size {
            return Err(defect(&format!("{size} bytes declared, {} present", content.len())));
        }
        if members.contains_key(&name) {
            return Err(defect("present twice"));
        }
        members.insert(name, content);
    }
    for name in MEMBERS {
        if !members.contains_key(name) {
            return Err(Defect::new("tar archive", format!("no member '{name}', not a PyTorch checkpoint")));
        }
    }
    for name in ["sys_info", "pickle"] {
        let mut reader = Reader { name, bytes: &members[name], at: 0 };
        reader.pickle()?;
        reader.finish()?;
    }
    check_storages(&members["storages"])?;
    check_tensors(&members["tensors"])
}

/// Checks `storages`: a count; for each storage a pickle `(key, location, class)`, the element count and
/// the elements; then a pickle of views.
fn check_storages(bytes: &[u8]) -> Result<(), Defect> {
    let mut reader = Reader { name: "storages", bytes, at: 0 };
    for _ in 0..reader.count()? {
        let Atom::Flat(fields) = reader.pickle()?.value else {
            return Err(reader.defect("a storage that is not described by a tuple"));
        };
        let size = match fields.as_slice() {
            [_, _, Atom::Global(class)] => element_size(&class.1),
            _ => None,
        };
        let size = size.ok_or_else(|| reader.defect("a storage of an unknown class"))?;
        let elements = reader.number()?;
        let length = elements.checked_mul(size).ok_or_else(|| reader.defect("a storage too large"))?;
        reader.skip(length)?;
    }
    reader.pickle()?;
    reader.finish()
}

/// Checks `tensors`: a count; for each tensor a pickle, its rank, four unused bytes, sizes, strides and
/// offset.
fn check_tensors(bytes: &[u8]) -> Result<(), Defect> {
    let mut reader = Reader { name: "tensors", bytes, at: 0 };
    for _ in 0..reader.count()? {
        reader.pickle()?;
        let rank = reader.number()? & 0xffff_ffff;
        if rank > 64 {
            return Err(reader.defect(&format!("a tensor of rank {rank}")));
        }
        reader.skip(16 * rank + 8)?;
    }
    reader.finish()
}

struct Reader<'a> {
    name: &'static str,
    bytes: &'a [u8],
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
            Atom::Int(n) if (0..1 << 32).contains(&n) => Ok(n as u64),
            _ => Err(self.defect("no plausible count")),
        }
    }

    fn number(&mut self) -> Result<u64, Defect> {
        let chunk = self.bytes[self.at..].first_chunk();
        let n = chunk.map(|b| u64::from_le_bytes(*b)).ok_or_else(|| self.defect("the member ends early"))?;
        self.at += 8;
        Ok(n)
    }

    fn skip(&mut self, n: u64) -> Result<(), Defect> {
        let left = self.bytes.len() - self.at;
        if n > left as u64 {
            return Err(self.defect(&format!("{n} bytes wanted, {left} left")));
        }
        self.at += n as usize;
        Ok(())
    }

    fn finish(&self) -> Result<(), Defect> {
        match self.bytes.len() - self.at {
            0 => Ok(()),
            n => Err(self.defect(&format!("{n} trailing bytes"))),
        }
    }
}
