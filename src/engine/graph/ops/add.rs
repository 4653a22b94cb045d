//! Elementwise sum. The gradient of every input is the incoming gradient.

use super::mismatch;
use crate::{Result, Shape};

pub(super) fn shape(op: &str, inputs: &[Shape]) -> Result<Shape> {
    match inputs.iter().find(|&&s| s != inputs[0]) {
        Some(other) => Err(mismatch(op, format!("inputs of {} and {other}", inputs[0]))),
        None => Ok(inputs[0]),
    }
}
