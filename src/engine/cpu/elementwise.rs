//! Ops that treat each number, or each channel, alike.

use crate::engine::graph::ops::ReluRule;

/// max(x, 0), where NaN stays NaN.
pub(super) fn positive(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

pub(super) fn relu(x: &[f32], out: &mut [f32]) {
    for (out, &x) in out.iter_mut().zip(x) {
        *out = positive(x);
    }
}

/// Lets through what `rule` lets through of a gradient, for the ReLU whose result is `result`.
pub(super) fn relu_grad(rule: ReluRule, result: &[f32], grad: &mut [f32]) {
    for (g, &y) in grad.iter_mut().zip(result) {
        *g = rule.apply(*g, y);
    }
}

pub(super) fn add(x: &[f32], out: &mut [f32]) {
    for (out, &x) in out.iter_mut().zip(x) {
        *out += x;
    }
}

/// out = scale * x + shift, per channel of `plane` numbers.
pub(super) fn affine(scale_shift: &[(f32, f32)], x: &[f32], out: &mut [f32]) {
    let plane = x.len() / scale_shift.len();
    let channels = out.chunks_exact_mut(plane).zip(x.chunks_exact(plane));
    for ((out, x), &(scale, shift)) in channels.zip(scale_shift) {
        for (out, &x) in out.iter_mut().zip(x) {
            *out = scale * x + shift;
        }
    }
}
