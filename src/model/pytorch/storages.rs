//! The storages of a checkpoint: their bytes in the container, and the elements of tensors in them.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use half::{bf16, f16};

use super::pickle::{Stop, StorageId, TensorView};
use super::{SourceType, Tensor};

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

/// Where the bytes of a storage are.
#[derive(Debug, Clone)]
pub enum Location {
    /// In the file, at these offsets.
    File(Range<usize>),
    /// Unpacked from the file.
    Unpacked(Vec<u8>),
}

/// Every storage of a file.
#[derive(Debug, Clone, Default)]
pub struct Storages {
    /// Where the bytes of each storage are, by key.
    pub locations: HashMap<String, Location>,
    /// Whether elements are in big-endian order.
    pub big_endian: bool,
}

/// Bytes per element of a storage class.
pub fn element_size(class: &str) -> Option<u64> {
    Some(match class {
        "ComplexDoubleStorage" => 16,
        "DoubleStorage" | "LongStorage" | "ComplexFloatStorage" => 8,
        "FloatStorage" | "IntStorage" | "QInt32Storage" => 4,
        "HalfStorage" | "BFloat16Storage" | "ShortStorage" => 2,
        "CharStorage" | "ByteStorage" | "BoolStorage" | "UntypedStorage" | "QInt8Storage"
        | "QUInt8Storage" => 1,
        _ => return None,
    })
}

/// Description of each storage by key; all references to a key must agree.
pub fn declared<'a>(
    storages: impl Iterator<Item = &'a StorageId>,
) -> Result<BTreeMap<&'a str, &'a StorageId>, Defect> {
    let mut by_key: BTreeMap<&str, &StorageId> = BTreeMap::new();
    for storage in storages {
        let first = by_key.entry(&storage.key).or_insert(storage);
        if (first.elements, &first.class) != (storage.elements, &storage.class) {
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

impl Storages {
    /// The tensor `view` of `file` in single precision; `data` is empty memory for its elements.
    ///
    /// # Errors
    /// When they are no floating-point numbers, or the storage is absent or too short.
    pub fn tensor(&self, file: &[u8], view: &TensorView, mut data: Vec<f32>) -> Result<Tensor, String> {
        let class = view.dtype.as_deref().unwrap_or(&view.storage.class);
        let stored = match class {
            "HalfStorage" | "float16" => SourceType::F16,
            "BFloat16Storage" | "bfloat16" => SourceType::Bf16,
            "FloatStorage" | "float32" => SourceType::F32,
            "DoubleStorage" | "float64" => SourceType::F64,
            other => {
                let kind = other.trim_end_matches("Storage").to_lowercase();
                return Err(format!("holds elements of type {kind}, expected floating-point numbers"));
            }
        };
        let key = &view.storage.key;
        let bytes = match self.locations.get(key) {
            Some(Location::File(range)) => file.get(range.clone()),
            Some(Location::Unpacked(bytes)) => Some(&bytes[..]),
            None => None,
        };
        let bytes = bytes.ok_or_else(|| format!("its storage '{key}' is absent"))?;
        match stored {
            SourceType::F16 => self.elements(view, bytes, &mut data, |b| f16::from_le_bytes(b).to_f32()),
            SourceType::Bf16 => self.elements(view, bytes, &mut data, |b| bf16::from_le_bytes(b).to_f32()),
            SourceType::F32 => self.elements(view, bytes, &mut data, f32::from_le_bytes),
            SourceType::F64 => self.elements(view, bytes, &mut data, |b| f64::from_le_bytes(b) as f32),
        }?;
        Ok(Tensor { dims: view.dims.clone(), data, stored })
    }

    /// Appends the elements of `view` in `bytes`, row-major, each of `N` bytes.
    fn elements<const N: usize>(
        &self,
        view: &TensorView,
        bytes: &[u8],
        data: &mut Vec<f32>,
        number: impl Fn([u8; N]) -> f32,
    ) -> Result<(), String> {
        let stored = bytes.as_chunks::<N>().0;
        let reach = view.reach();
        let Some(reach) = reach.filter(|&reach| reach <= stored.len() as u64) else {
            let needed = reach.map_or("too many".into(), |reach| reach.to_string());
            return Err(format!(
                "needs {needed} elements of storage '{}', which has {}",
                view.storage.key,
                stored.len()
            ));
        };
        if reach == 0 {
            return Ok(());
        }
        let number = |mut bytes: [u8; N]| {
            if self.big_endian {
                bytes.reverse();
            }
            number(bytes)
        };
        let stored = &stored[view.offset as usize..reach as usize]; // both within the storage
        // The innermost dimension is a loop of its own; the outer ones count like an odometer.
        let (inner, outer) = match view.dims.split_last() {
            Some((&inner, outer)) => (inner, outer),
            None => (1, &[][..]),
        };
        let step = view.strides.last().copied().unwrap_or(1);
        let mut index = vec![0; outer.len()];
        loop {
            let start: usize = index.iter().zip(&view.strides).map(|(i, stride)| i * stride).sum();
            data.extend((0..inner).map(|i| number(stored[start + i * step])));
            let Some(turned) = (0..outer.len()).rev().find(|&d| index[d] + 1 < outer[d]) else { break };
            index[turned] += 1;
            index[turned + 1..].fill(0);
        }
        Ok(())
    }
}

/// Checks that every element is finite and no running variance negative.
pub fn check_numbers(name: &str, data: &[f32]) -> Result<(), String> {
    let bad = data.iter().filter(|x| !x.is_finite()).count();
    if bad > 0 {
        return Err(format!("{bad} of {} numbers are NaN or infinite", data.len()));
    }
    let negative = data.iter().filter(|x| **x < 0.0).count();
    if negative > 0 && name.ends_with(".running_var") {
        return Err(format!("{negative} of {} variances are negative", data.len()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[test]
    fn strided_views_are_gathered_row_by_row() {
        let numbers: Vec<u8> = (0..12).flat_map(|i| (i as f32).to_le_bytes()).collect();
        let big: Vec<u8> = (0..12).flat_map(|i| (i as f32).to_be_bytes()).collect();
        let storage =
            Rc::new(StorageId { key: "0".into(), class: "FloatStorage".into(), elements: 12, start: 0 });
        let read = |offset, dims: &[i128], strides: &[i128]| {
            let view = TensorView::new(&storage, offset, dims, strides, None).unwrap();
            let of = |bytes: &[u8], big_endian| {
                let locations = [("0".to_string(), Location::File(0..bytes.len()))].into();
                Storages { locations, big_endian }.tensor(bytes, &view, Vec::new()).map(|tensor| tensor.data)
            };
            assert_eq!(of(&numbers, false), of(&big, true));
            of(&numbers, false)
        };
        assert_eq!(read(0, &[2, 3], &[1, 4]).unwrap(), [0., 4., 8., 1., 5., 9.]);
        assert_eq!(read(1, &[2, 1, 2], &[6, 0, 2]).unwrap(), [1., 3., 7., 9.]);
        assert_eq!(read(5, &[], &[]).unwrap(), [5.]);
        assert_eq!(read(5, &[3, 0], &[1, 1]).unwrap(), [0.0; 0]);
        assert_eq!(read(11, &[2], &[0]).unwrap(), [11., 11.]);
        assert_eq!(read(11, &[2], &[1]).unwrap_err(), "needs 13 elements of storage '0', which has 12");
    }
}
