//! Constants made of a number or two: ranges, and tensors of one value.

use super::broadcast::bounded_count;
use super::dimensions::sizes;
use crate::model::onnx::messages::NodeProto;
use crate::model::onnx::tensor::{Elements, Tensor};

/// Most elements of a range.
const MAX_RANGE: u64 = 1 << 20;

/// A tensor of dimensions `shape` whose elements are the `value` of a `ConstantOfShape`, or zeros.
///
/// # Errors
/// When it would be too large, or the value is not one element.
pub(super) fn constant_of_shape(node: &NodeProto, shape: &Tensor) -> Result<Tensor, String> {
    let value =
        if !node.attributes.contains_key("value") { Tensor::floats(&[1], [0.0]) } else { node.constant()? };
    let dims = sizes(shape.as_integers()?)?;
    if value.len() != 1 {
        return Err(format!("a value of {} elements, expected 1", value.len()));
    }
    let count = bounded_count(&dims, 0)?;
    Ok(value.picked(dims, std::iter::repeat_n(0, count)))
}

/// The integers of a `Range`.
///
/// # Errors
/// When there are too many, or an input is no integer.
pub(super) fn range(inputs: &[&Tensor]) -> Result<Tensor, String> {
    let [first, limit, delta] = inputs else { return Err(format!("{} inputs, expected 3", inputs.len())) };
    let number = |x: &Tensor| {
        let n = x.as_integers()?.first().copied();
        n.ok_or_else(|| "an empty tensor, expected a number".to_string())
    };
    let Elements::Integers(_, kind) = first.elements else {
        return Err("a range of floating-point numbers".into());
    };
    let (start, limit, step) = (number(first)?, number(limit)?, number(delta)?);
    if step == 0 || limit.abs_diff(start) / step.unsigned_abs() > MAX_RANGE {
        return Err(format!("a range from {start} to {limit} in steps of {step}"));
    }
    let mut elements = Vec::new();
    let mut at = start;
    while if step > 0 { at < limit } else { at > limit } {
        elements.push(kind.wrap(at));
        let Some(next) = at.checked_add(step) else { break };
        at = next;
    }
    Ok(Tensor { dims: vec![elements.len()], elements: Elements::Integers(elements.into(), kind) })
}
