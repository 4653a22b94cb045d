//! Reading of weights files.

use super::{About, KEY, VERSION, Weights};
use crate::engine::graph::{Elements, FileBytes};
use crate::engine::tensor::filled;
use crate::model::safetensors_header::{self, is_safetensors};
use crate::model::{pytorch, source_file};
use crate::{Error, Result};
use half::f16;
use std::path::Path;
use std::sync::Arc;

impl Weights {
    /// Reads the weights file at `path`.
    ///
    /// # Errors
    /// As [`Weights::from_bytes`], or when the file cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        Weights::from_shared(path, Arc::new(source_file::read(path)?))
    }

    /// Whether a safetensors file is one of weights, rather than a state dict.
    pub fn is_written_here(bytes: &[u8]) -> bool {
        safetensors_header::read(bytes).is_ok_and(|header| header.metadata.contains_key(KEY))
    }

    /// Reads weights from a copy of `bytes`; errors call them `name`.
    ///
    /// # Errors
    /// As [`Weights::from_shared`].
    pub fn from_bytes(name: &Path, bytes: &[u8]) -> Result<Self> {
        Weights::from_shared(name, Arc::new(bytes.to_vec()))
    }

    /// Reads the weights in `file`; errors call it `name`. Matrices and kernels of half precision stay in the file's bytes
    /// and are converted where they are used.
    ///
    /// # Errors
    /// When the header is inconsistent, the file was not written by msdcam, an element is not finite, or
    /// the tensors are not those of the file's architecture.
    pub(crate) fn from_shared(name: &Path, file: FileBytes) -> Result<Self> {
        let weights = Weights::parsed(name, file, are_finite_halves)?;
        weights.check(name)?;
        Ok(weights)
    }

    /// As [`Weights::from_shared`], of a file that it has accepted before: halves are taken to be finite, and the tensors
    /// to be those of the architecture.
    pub(crate) fn from_accepted(name: &Path, file: FileBytes) -> Result<Self> {
        Weights::parsed(name, file, |_| true)
    }

    /// The weights in `file` before they are checked as a whole; `are_finite` says whether halves are.
    fn parsed(name: &Path, file: FileBytes, are_finite: fn(&[u8]) -> bool) -> Result<Self> {
        let bytes = (*file).as_ref();
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
            let refused = |cause| refused(&format!("tensor '{tensor}'"), cause);
            let range = entry.range.map(|end| header.data + end);
            let range = range[0]..range[1];
            let elements = &bytes[range.clone()];
            let data: Elements = match entry.dtype.as_str() {
                // Variances, which must not be negative, are vectors.
                "F16" if entry.shape.len() > 1 && are_finite(elements) => Elements::half(file.clone(), range),
                "F16" => checked(tensor, from_half(elements)?).map_err(refused)?,
                "F32" => checked(tensor, from_single(elements)?).map_err(refused)?,
                other => return Err(refused(format!("holds {other}, expected F32 or F16"))),
            };
            weights.tensors.insert(tensor.to_string(), (entry.shape.clone(), data));
        }
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

/// The elements of little-endian `bytes` in half precision, which may be infinite or NaN.
fn from_half(bytes: &[u8]) -> Result<Arc<[f32]>> {
    let (elements, _) = bytes.as_chunks();
    filled(elements.len(), |numbers| {
        numbers.iter_mut().zip(elements).for_each(|(x, bytes)| *x = f16::from_le_bytes(*bytes).to_f32());
    })
}

/// Whether no element of half precision in little-endian `bytes` is infinite or NaN: has an exponent of ones.
/// Integers and no early end, so that it is done in vectors.
fn are_finite_halves(bytes: &[u8]) -> bool {
    const EXPONENT: u16 = 0x7c00;
    let halves = bytes.as_chunks().0.iter().map(|half| u16::from_le_bytes(*half));
    !halves.fold(false, |any, half| any | (half & EXPONENT == EXPONENT))
}

/// The elements of tensor `name`, unless one is not finite or is a negative variance.
fn checked(name: &str, data: Arc<[f32]>) -> Result<Elements, String> {
    pytorch::check_numbers(name, &data)?;
    Ok(data.into())
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
