//! Classifier of a head as the single steps that it consists of.

use crate::engine::graph::ops::{AvgPool, AvgPoolGrad, Classifier, LinearGrad, Op, ReluGrad, Slice};
use crate::engine::plan::{Slot, Space, Step};
use crate::{Result, Shape};

/// Elements to a multiple of which the work space is extended, so that every image's is aligned to 64 bytes.
const ALIGNMENT: usize = 16;

/// The steps of `step`, in order. The pooled values, the one-hot vector and the gradient of the pooled
/// values, which are not in the record, lie in the work space from `work_len` on, which grows by them.
pub(super) fn steps(op: &Classifier, step: &Step, work_len: &mut usize) -> Result<Vec<Step>> {
    let (x, target) = (step.inputs[0], step.inputs[1]);
    let pooled_shape = op.pooled(x.shape)?;
    let part =
        |part: Slice| Slot { offset: step.output.offset + part.offset, shape: part.shape, ..step.output };
    let mut scratch = |shape: Shape| {
        let offset = *work_len;
        *work_len += shape.len().next_multiple_of(ALIGNMENT);
        Slot { space: Space::Work, offset, shape }
    };
    let [logits, probabilities, gradient] = [op.logits(), op.probabilities(), op.gradient(x.shape)].map(part);
    let [pooled, class, pooled_gradient] = [pooled_shape, logits.shape, pooled_shape].map(&mut scratch);

    let of = |op: Op, inputs: &[Slot], output: Slot| Step { op, inputs: inputs.to_vec(), output };
    let linear_grad = LinearGrad { weight: op.linear.weight, input: pooled_shape };
    let pool_grad = AvgPoolGrad { window: op.window, input: x.shape };
    let mut steps = vec![
        of(AvgPool { window: op.window }.into(), &[x], pooled),
        of(op.linear.into(), &[pooled], logits),
        of(Op::Softmax, &[logits], probabilities),
        of(Op::OneHot, &[logits, target], class),
        of(Op::LinearGrad(linear_grad), &[class], pooled_gradient),
        of(Op::AvgPoolGrad(pool_grad), &[pooled_gradient], gradient),
    ];
    // In place: each element depends on itself alone.
    steps.extend(op.relu.map(|rule| of(ReluGrad { rule }.into(), &[gradient, x], gradient)));
    Ok(steps)
}
