//! One-hot vector of the target class: the gradient from which differentiation of a logit starts.
//!
//! The class is data, not structure: it comes with the image as one element, encoded by
//! [`TargetInput::encode`]. It is either a class or the arg-max of the logits, so that explaining the
//! predicted class needs no round trip to the host to read the logits.

use crate::error::GraphError;
use crate::{Result, Shape};

/// Value of the target input of [`super::Op::OneHot`]. `kernels/one_hot.cu` decodes it by the same rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetInput {
    /// The class with this index; an index past the last class means the last class.
    Class(usize),
    /// The class of the largest logit, the first of several equal ones.
    Predicted,
}

impl TargetInput {
    /// The input's element: the index of the class, or -1 for [`TargetInput::Predicted`].
    pub fn encode(self) -> f32 {
        match self {
            TargetInput::Class(index) => index as f32,
            TargetInput::Predicted => -1.0,
        }
    }

    /// The target of an input's element: every element that is not at least zero, NaN included, means
    /// [`TargetInput::Predicted`].
    pub fn decode(element: f32) -> TargetInput {
        if element >= 0.0 { TargetInput::Class(element as usize) } else { TargetInput::Predicted }
    }

    /// The index of the class among `logits`.
    pub(crate) fn class(self, logits: &[f32]) -> usize {
        match self {
            TargetInput::Class(index) => index.min(logits.len() - 1),
            TargetInput::Predicted => crate::engine::tensor::argmax(logits),
        }
    }
}

pub(super) fn shape(op: &'static str, inputs: &[Shape]) -> Result<Shape> {
    let [logits, target] = inputs else { unreachable!("arity was checked") };
    if (logits.h, logits.w) != (1, 1) || target.len() != 1 {
        let (roles, shapes) = (["logits", "target"], [*logits, *target]);
        return Err(GraphError::OperandShapes { op, roles, shapes }.into());
    }
    Ok(*logits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_decoded_from_its_encoding() {
        for target in [TargetInput::Class(0), TargetInput::Class(999), TargetInput::Predicted] {
            assert_eq!(TargetInput::decode(target.encode()), target);
        }
        assert_eq!(TargetInput::decode(f32::NAN), TargetInput::Predicted);
    }

    #[test]
    fn the_class_is_the_given_one_or_the_first_largest_logit() {
        let logits = [1.0, 3.0, 3.0, 2.0];
        assert_eq!(TargetInput::Class(3).class(&logits), 3);
        assert_eq!(TargetInput::Class(4).class(&logits), 3);
        assert_eq!(TargetInput::Predicted.class(&logits), 1);
    }
}
