//! Softmax of a head's logits, its gradient, and the one-hot gradient of a class score.

use super::kernel::{Kernel, SliceKernel};
use crate::engine::graph::ops::TargetInput;

/// Class probabilities of logits.
pub(crate) fn softmax() -> Box<dyn Kernel> {
    SliceKernel::new(0, |x, out, _| probabilities(x.get(0), out)).boxed()
}

/// Writes the class probabilities of `logits` to `out`.
pub(crate) fn probabilities(logits: &[f32], out: &mut [f32]) {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    // In double precision, so that the probabilities add up to one.
    let mut sum = 0.0_f64;
    for (out, &x) in out.iter_mut().zip(logits) {
        *out = (x - max).exp();
        sum += f64::from(*out);
    }
    for out in out {
        *out = (f64::from(*out) / sum) as f32;
    }
}

/// Gradient with respect to the logits, of the gradient g and the probabilities p:
/// dx = p * (g - sum of g * p).
pub(crate) fn softmax_grad() -> Box<dyn Kernel> {
    SliceKernel::new(0, |x, out, _| {
        let (grad, p) = (x.get(0), x.get(1));
        let mean: f32 = grad.iter().zip(p).map(|(g, p)| g * p).sum();
        for ((out, &g), &p) in out.iter_mut().zip(grad).zip(p) {
            *out = p * (g - mean);
        }
    })
    .boxed()
}

/// One-hot vector of the class of an encoded [`TargetInput`].
pub(crate) fn one_hot() -> Box<dyn Kernel> {
    SliceKernel::new(0, |x, out, _| select_class(x.get(0), x.get(1)[0], out)).boxed()
}

/// Writes the one-hot vector of the class that the encoded `target` selects among `logits` to `out`.
pub(crate) fn select_class(logits: &[f32], target: f32, out: &mut [f32]) {
    out.fill(0.0);
    out[TargetInput::decode(target).class(logits)] = 1.0;
}
