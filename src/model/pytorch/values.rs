//! Conversion of a stored tensor to finite `f32` elements.

use super::{SourceType, Tensor};
use half::{bf16, f16};
use pytorch_reader::DType;

/// Reads one tensor and checks its elements.
pub fn read(name: &str, tensor: &pytorch_reader::Tensor) -> Result<Tensor, String> {
    let stored = match tensor.dtype() {
        DType::F16 => SourceType::F16,
        DType::BF16 => SourceType::Bf16,
        DType::F32 => SourceType::F32,
        DType::F64 => SourceType::F64,
        other => return Err(format!("holds {other:?}, expected floating-point numbers")),
    };
    let bytes = tensor.read().map_err(|e| e.to_string())?;
    // The reader returns elements in native byte order.
    let data = match stored {
        SourceType::F16 => numbers(&bytes, |b| f16::from_ne_bytes(b).to_f32()),
        SourceType::Bf16 => numbers(&bytes, |b| bf16::from_ne_bytes(b).to_f32()),
        SourceType::F32 => numbers(&bytes, f32::from_ne_bytes),
        SourceType::F64 => numbers(&bytes, |b| f64::from_ne_bytes(b) as f32),
    };
    check(name, &data)?;
    Ok(Tensor { dims: tensor.shape().to_vec(), data, stored })
}

fn numbers<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| number(*chunk)).collect()
}

/// Checks that every element is finite and no running variance negative.
pub fn check(name: &str, data: &[f32]) -> Result<(), String> {
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
