//! Ops that compute each element, or each channel, from the same element or channel of their inputs.

use super::kernel::{Kernel, SliceKernel};
use crate::engine::graph::ops::ReluRule;

/// max(x, 0); NaN stays NaN.
pub(crate) fn positive(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// Zeroes the elements of a gradient that `rule` stops, for the ReLU whose result is `result`.
pub(crate) fn apply_relu_rule(rule: ReluRule, result: &[f32], grad: &mut [f32]) {
    for (g, &y) in grad.iter_mut().zip(result) {
        *g = rule.apply(*g, y);
    }
}

/// The input as it is.
pub(crate) fn copy() -> Box<dyn Kernel> {
    SliceKernel::new(0, |x, out, _| out.copy_from_slice(x.get(0))).boxed()
}

/// max(x, 0).
pub(crate) fn relu() -> Box<dyn Kernel> {
    SliceKernel::new(0, |x, out, _| {
        for (out, &x) in out.iter_mut().zip(x.get(0)) {
            *out = positive(x);
        }
    })
    .boxed()
}

/// The gradient of a ReLU by `rule`, of the gradient and the ReLU's result.
pub(crate) fn relu_grad(rule: ReluRule) -> Box<dyn Kernel> {
    SliceKernel::new(0, move |x, out, _| {
        out.copy_from_slice(x.get(0));
        apply_relu_rule(rule, x.get(1), out);
    })
    .boxed()
}

/// The sum of all inputs, from the first to the last.
pub(crate) fn add() -> Box<dyn Kernel> {
    SliceKernel::new(0, |x, out, _| {
        out.copy_from_slice(x.get(0));
        for i in 1..x.len() {
            for (out, &x) in out.iter_mut().zip(x.get(i)) {
                *out += x;
            }
        }
    })
    .boxed()
}

/// out = scale * x + shift, with a scale and a shift for each channel.
pub(crate) fn affine(scale_shift: Vec<(f32, f32)>) -> Box<dyn Kernel> {
    SliceKernel::new(0, move |x, out, _| {
        let x = x.get(0);
        let plane = x.len() / scale_shift.len();
        let channels = out.chunks_exact_mut(plane).zip(x.chunks_exact(plane));
        for ((out, x), &(scale, shift)) in channels.zip(&scale_shift) {
            for (out, &x) in out.iter_mut().zip(x) {
                *out = scale * x + shift;
            }
        }
    })
    .boxed()
}
