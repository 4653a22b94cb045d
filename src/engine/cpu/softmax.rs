//! The end of a head, and the start of its gradient: softmax and seed.

use crate::engine::graph::ops::TargetInput;

/// The sum is taken in double precision, so that the probabilities add up to one.
pub(super) fn softmax(x: &[f32], out: &mut [f32]) {
    let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0_f64;
    for (out, &x) in out.iter_mut().zip(x) {
        *out = (x - max).exp();
        sum += f64::from(*out);
    }
    for out in out {
        *out = (f64::from(*out) / sum) as f32;
    }
}

/// dx = p * (g - sum of g * p).
pub(super) fn softmax_grad(grad: &[f32], p: &[f32], out: &mut [f32]) {
    let mean: f32 = grad.iter().zip(p).map(|(g, p)| g * p).sum();
    for ((out, &g), &p) in out.iter_mut().zip(grad).zip(p) {
        *out = p * (g - mean);
    }
}

/// One-hot vector of the class of an encoded [`TargetInput`].
pub(super) fn seed(logits: &[f32], target: f32, out: &mut [f32]) {
    out.fill(0.0);
    out[TargetInput::decode(target).class(logits)] = 1.0;
}
