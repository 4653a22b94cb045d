//! Elementwise sum. The gradient of every input is the incoming gradient.

use crate::error::GraphError;
use crate::{Result, Shape};

pub(super) fn shape(op: &'static str, inputs: &[Shape]) -> Result<Shape> {
    match inputs.iter().find(|&&s| s != inputs[0]) {
        Some(other) => Err(GraphError::InputShapes { op, first: inputs[0], second: *other }.into()),
        None => Ok(inputs[0]),
    }
}
