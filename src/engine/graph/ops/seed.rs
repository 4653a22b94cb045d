//! The gradient with which differentiation starts: a one-hot vector over the classes.
//!
//! The class is data, not structure: it comes with the image, and a negative number stands for
//! the arg-max of the logits (the first one, where several are equal). So "explain what was
//! predicted" needs no stop to read the logits.

use super::mismatch;
use crate::{Result, Shape};

pub(super) fn shape(inputs: &[Shape]) -> Result<Shape> {
    let [logits, target] = inputs else { unreachable!("arity was checked") };
    if (logits.h, logits.w) != (1, 1) || target.len() != 1 {
        return Err(mismatch("seed", format!("logits of {logits} and target of {target}")));
    }
    Ok(*logits)
}
