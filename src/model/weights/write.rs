//! Writing of weights files; the bytes are reproducible.

use super::{About, KEY, VERSION, Weights};
use crate::util::atomic_file::write_durably;
use crate::{Error, Result};
use half::f16;
use serde_json::{Value, json};
use std::path::Path;

/// Element type of convolution and linear weights; biases and batch norms are always `f32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// Half precision: half the size.
    F16,
    /// Single precision.
    F32,
}

impl Weights {
    /// Writes the weights to `path` atomically. Returns how many elements `f16` cannot represent exactly.
    ///
    /// # Errors
    /// As [`Weights::to_bytes`], or when the file cannot be written.
    pub fn write(&self, path: &Path, precision: Precision) -> Result<usize> {
        let (bytes, rounded) = self.to_bytes(path, precision)?;
        write_durably(path, &bytes)?;
        Ok(rounded)
    }

    /// The bytes of a weights file, and how many elements `f16` cannot represent exactly. Errors call the
    /// weights `name`.
    ///
    /// # Errors
    /// When an element is too large for `f16`, or the weights are inconsistent.
    pub fn to_bytes(&self, name: &Path, precision: Precision) -> Result<(Vec<u8>, usize)> {
        self.check(name)?;
        let half = |dims: &[usize]| precision == Precision::F16 && dims.len() >= 2;
        // `f32` before `f16` keeps every tensor aligned to its element size.
        let (narrow, wide): (Vec<_>, Vec<_>) = self.tensors.iter().partition(|(_, (dims, _))| half(dims));
        let (mut data, mut rounded) = (Vec::new(), 0);
        let mut entries = vec![("__metadata__".to_string(), self.metadata())];
        for (tensor, (dims, numbers)) in wide.into_iter().chain(narrow) {
            let start = data.len();
            if half(dims) {
                rounded += append_f16(&mut data, numbers)
                    .map_err(|cause| Error::refused(name, format!("tensor '{tensor}'"), cause))?;
            } else {
                numbers.iter().for_each(|x| data.extend_from_slice(&x.to_le_bytes()));
            }
            let dtype = if half(dims) { "F16" } else { "F32" };
            let info = json!({"dtype": dtype, "shape": dims, "data_offsets": [start, data.len()]});
            entries.push((tensor.clone(), info));
        }
        let mut header = object(&entries);
        header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.append(&mut data);
        Ok((bytes, rounded))
    }

    /// `__metadata__`: safetensors allows only strings there, hence JSON within JSON.
    fn metadata(&self) -> Value {
        let about = About {
            version: VERSION,
            architecture: self.config.clone(),
            labels: self.labels.clone(),
            mean: self.mean,
            std: self.std,
            source_sha256: self.source_sha256.clone(),
        };
        let about = serde_json::to_string(&about).unwrap_or_default(); // plain fields always serialize
        json!({"format": "pt", KEY: about})
    }
}

/// Appends half-precision elements; returns how many were rounded.
fn append_f16(data: &mut Vec<u8>, numbers: &[f32]) -> Result<usize, String> {
    let mut rounded = 0;
    for x in numbers {
        let half = f16::from_f32(*x);
        if !half.is_finite() {
            return Err(format!("{x} is too large for f16, whose largest is 65504; use f32"));
        }
        rounded += usize::from(half.to_f32() != *x);
        data.extend_from_slice(&half.to_le_bytes());
    }
    Ok(rounded)
}

/// A JSON object with its keys in the given order, independent of the JSON crate's map type.
fn object(entries: &[(String, Value)]) -> String {
    let fields: Vec<_> =
        entries.iter().map(|(key, value)| format!("{}:{value}", Value::from(key.as_str()))).collect();
    format!("{{{}}}", fields.join(","))
}
