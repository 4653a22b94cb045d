//! Reading of weights files.

use super::{About, KEY, VERSION, Weights};
use crate::engine::tensor::filled;
use crate::model::safetensors_header::{self, is_safetensors};
use crate::model::{pytorch, source_file};
use crate::util::allocation;
use crate::{Error, Result};
use half::f16;
use half::slice::HalfFloatSliceExt;
use safetensors::{Dtype, SafeTensors};
use std::path::Path;
use std::sync::Arc;

impl Weights {
    /// Reads the weights file at `path`.
    ///
    /// # Errors
    /// As [`Weights::from_bytes`], or when the file cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        Weights::from_bytes(path, &source_file::read(path)?)
    }

    /// Whether a safetensors file is one of weights, rather than a state dict.
    pub fn is_written_here(bytes: &[u8]) -> bool {
        safetensors_header::read(bytes).is_ok_and(|header| header.metadata.contains_key(KEY))
    }

    /// Reads weights from memory; errors call them `name`.
    ///
    /// # Errors
    /// When the header is inconsistent, the file was not written by msdcam, an element is not finite, or
    /// the tensors are not those of the file's architecture.
    pub fn from_bytes(name: &Path, bytes: &[u8]) -> Result<Self> {
        let refused = |place: &str, cause: String| Error::refused(name, place, cause);
        if !is_safetensors(bytes) {
            let cause = match pytorch::sniff(bytes) {
                Ok(container) => format!(
                    "this is a {container}: `msdcam convert` makes weights of one of an MSD-Net, torch.onnx.export an \
                     ONNX file of any network"
                ),
                Err(cause) => format!("neither a weights file nor an ONNX file: {cause}"),
            };
            return Err(refused("content", cause));
        }
        let header = safetensors_header::read(bytes).map_err(|(place, cause)| refused(&place, cause))?;
        let text = header.metadata.get(KEY).ok_or_else(|| {
            let cause = format!("no '{KEY}' in its metadata: not written by `msdcam convert`, which makes weights of a state dict");
            refused("header", cause)
        })?;
        let about = about(text).map_err(|cause| refused("metadata", cause))?;
        // The safetensors crate validates the whole file.
        let file = SafeTensors::deserialize(bytes).map_err(|e| Error::refused_by(name, "header", e))?;
        let mut weights = Weights {
            config: about.architecture,
            labels: about.labels,
            mean: about.mean,
            std: about.std,
            source_sha256: about.source_sha256,
            tensors: Default::default(),
        };
        for entry in &header.tensors {
            let tensor = entry.name.as_str();
            let place = format!("tensor '{tensor}'");
            let view = file.tensor(tensor).map_err(|e| Error::refused_by(name, &place, e))?;
            let data = match view.dtype() {
                Dtype::F32 => from_single(view.data())?,
                Dtype::F16 => from_half(view.data())?,
                _ => return Err(refused(&place, format!("holds {}, expected F32 or F16", entry.dtype))),
            };
            pytorch::check_numbers(tensor, &data).map_err(|cause| refused(&place, cause))?;
            weights.tensors.insert(tensor.to_string(), (view.shape().to_vec(), data));
        }
        weights.check(name)?;
        Ok(weights)
    }
}

/// The elements of little-endian `bytes` in single precision.
fn from_single(bytes: &[u8]) -> Result<Arc<[f32]>> {
    let (elements, _) = bytes.as_chunks();
    filled(elements.len(), |numbers| {
        numbers.iter_mut().zip(elements).for_each(|(number, bytes)| *number = f32::from_le_bytes(*bytes));
    })
}

/// The elements of little-endian `bytes` in half precision, in bulk: four times as fast as one by one.
fn from_half(bytes: &[u8]) -> Result<Arc<[f32]>> {
    let mut halves = allocation::with_capacity("weights", bytes.len() / 2)?;
    halves.extend(bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b)));
    filled(halves.len(), |numbers| halves.convert_to_f32_slice(numbers))
}

fn about(text: &str) -> Result<About, String> {
    #[derive(serde::Deserialize)]
    struct Version {
        version: u32,
    }
    let Version { version } = serde_json::from_str(text).map_err(|e| e.to_string())?;
    if version != VERSION {
        return Err(format!("version {version} of the weights format, this program reads {VERSION}"));
    }
    serde_json::from_str(text).map_err(|e| e.to_string())
}
