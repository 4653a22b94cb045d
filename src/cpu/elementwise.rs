//! Ops that treat each number, or each channel, alike.

use crate::graph::ops::ReluRule;

pub(super) fn relu(x: &[f32], out: &mut [f32]) {
    for (out, &x) in out.iter_mut().zip(x) {
        // Not `max`: NaN stays NaN.
        *out = if x < 0.0 { 0.0 } else { x };
    }
}

pub(super) fn relu_grad(rule: ReluRule, grad: &[f32], result: &[f32], out: &mut [f32]) {
    for ((out, &g), &y) in out.iter_mut().zip(grad).zip(result) {
        *out = rule.apply(g, y);
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
