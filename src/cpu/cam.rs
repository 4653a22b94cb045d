//! From the gradient of a head's first convolution to a heat map.

use crate::Shape;
use crate::graph::ops::{BorderClasses, Cam};

/// weights[i] = sum over classes b and channels o of S[b, o] * sums[b, o, i], where S sums `grad`
/// over a class's positions.
pub(super) fn pooled_conv2d_grad(classes: &BorderClasses, sums: &[f32], grad: &[f32], out: &mut [f32]) {
    let (height, width) = (classes.rows.len(), classes.columns.len());
    let channels = grad.len() / (height * width);
    out.fill(0.0);
    for class in 0..classes.count() {
        for (channel, grad) in grad.chunks_exact(height * width).enumerate() {
            let positions = grad.iter().enumerate();
            let inside = positions.filter(|(i, _)| classes.class(i / width, i % width) == class);
            let sum: f32 = inside.map(|(_, &g)| g).sum();
            // A ReLU lets little through: most sums are zero.
            if sum != 0.0 {
                let row = &sums[(class * channels + channel) * out.len()..][..out.len()];
                for (out, &k) in out.iter_mut().zip(row) {
                    *out += sum * k;
                }
            }
        }
    }
}

/// Sum of the channels of `x`, each times its weight.
pub(super) fn weighted_sum(relu: bool, weights: &[f32], x: &[f32], out: &mut [f32]) {
    out.fill(0.0);
    for (channel, &weight) in x.chunks_exact(out.len()).zip(weights) {
        for (out, &x) in out.iter_mut().zip(channel) {
            *out += weight * x;
        }
    }
    if relu {
        for out in out {
            // Not `max`: NaN stays NaN.
            *out = if *out < 0.0 { 0.0 } else { *out };
        }
    }
}

/// (minimum, maximum); NaN where a number is NaN.
pub(super) fn range(x: &[f32], out: &mut [f32]) {
    let pick = |better: fn(f32, f32) -> bool| {
        x.iter()
            .copied()
            .reduce(|best, x| if x.is_nan() || better(x, best) { x } else { best })
            .unwrap_or(0.0)
    };
    out[0] = pick(|x, best| x < best);
    out[1] = pick(|x, best| x > best);
}

/// Resizes the map, subtracts its minimum and divides by its maximum.
pub(super) fn heat(from: Shape, to: Shape, map: &[f32], out: &mut [f32]) {
    crate::resize::bilinear(map, (from.h, from.w), (to.h, to.w), out);
    let mut limits = [0.0; 2];
    range(out, &mut limits);
    let [min, max] = limits;
    // A division each: the reciprocal of a tiny range would be infinite.
    let range = if max > min { max - min } else { 1.0 };
    for x in out {
        *x = (*x - min) / range;
    }
}

/// Channel weights, map and range, one after another in `out`.
pub(super) fn cam(op: &Cam, tap: Shape, sums: &[f32], grad: &[f32], x: &[f32], out: &mut [f32]) {
    let (weights, rest) = out.split_at_mut(tap.c);
    let (map, limits) = rest.split_at_mut(tap.plane());
    pooled_conv2d_grad(&op.pooled.classes, sums, grad, weights);
    weighted_sum(op.sum.relu, weights, x, map);
    range(map, limits);
}
