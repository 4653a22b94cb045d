//! From the gradient of a head's first convolution to a heat map.

use super::elementwise;
use super::rows::{Matrix, RowKernels, RowList, Rows, Sums};
use crate::Shape;
use crate::graph::ops::{BorderClasses, Cam};
use crate::resize::bilinear_into;

/// weights[i] = sum over classes b and channels o of S[b, o] * sums[b, o, i], where S sums `grad`
/// over a class's positions.
pub(super) fn pooled_conv2d_grad(
    kernels: &RowKernels,
    classes: &BorderClasses,
    sums: &Rows,
    grad: &[f32],
    out: &mut [f32],
    scratch: &mut [f32],
) {
    let (positions, width) = (classes.rows.len() * classes.columns.len(), classes.columns.len());
    let channels = grad.len() / positions;
    let (class_sums, scratch) = scratch.split_at_mut(sums.rows());
    class_sums.fill(0.0);
    for (channel, grad) in grad.chunks_exact(positions).enumerate() {
        for (i, &g) in grad.iter().enumerate() {
            class_sums[classes.class(i / width, i % width) * channels + channel] += g;
        }
    }
    sums.sum(kernels, class_sums, out, scratch);
}

/// Sum of the channels of `x`, each times its weight.
pub(super) fn weighted_sum(kernels: &RowKernels, relu: bool, weights: &[f32], x: &[f32], out: &mut [f32]) {
    assert_eq!(x.len(), weights.len() * out.len());
    // SAFETY: sizes were checked; a step's input may be read beyond its end.
    unsafe {
        (kernels.sums)(&Sums {
            matrix: Matrix { start: x.as_ptr(), stride: out.len() },
            rows: RowList::All(weights.len()),
            scales: weights.as_ptr(),
            scale_stride: 1,
            first: 0,
            end: out.len(),
            vectors: 1,
            out: out.as_mut_ptr(),
            out_stride: 0,
        });
    }
    if relu {
        for out in out {
            *out = elementwise::positive(*out);
        }
    }
}

/// (minimum, maximum); NaN where a number is NaN. Side by side, so that the compiler can use vectors.
pub(super) fn range(x: &[f32], out: &mut [f32]) {
    const SIDE: usize = 16;
    let (mut least, mut most, mut nan) = ([x[0]; SIDE], [x[0]; SIDE], [false; SIDE]);
    for chunk in x.chunks(SIDE) {
        for (i, &x) in chunk.iter().enumerate() {
            least[i] = if x < least[i] { x } else { least[i] };
            most[i] = if x > most[i] { x } else { most[i] };
            nan[i] |= x.is_nan();
        }
    }
    let any = |better: fn(f32, f32) -> f32, numbers: [f32; SIDE]| {
        if nan.contains(&true) { f32::NAN } else { numbers.into_iter().reduce(better).unwrap_or(x[0]) }
    };
    out[0] = any(f32::min, least);
    out[1] = any(f32::max, most);
}

/// Resizes the map, subtracts its minimum and divides by its maximum.
pub(super) fn heat(from: Shape, to: Shape, map: &[f32], out: &mut [f32], scratch: &mut [f32]) {
    bilinear_into(map, (from.h, from.w), (to.h, to.w), out, &mut scratch[..from.h * to.w]);
    let mut limits = [0.0; 2];
    range(out, &mut limits);
    let [min, max] = limits;
    // A division each: the reciprocal of a tiny range would be infinite.
    let range = if max > min { max - min } else { 1.0 };
    for x in out {
        *x = (*x - min) / range;
    }
}

/// Channel weights, map and range, one after another in `out`; inputs: gradient, tap.
pub(super) fn cam(
    kernels: &RowKernels,
    op: &Cam,
    tap: Shape,
    sums: &Rows,
    [grad, x]: [&[f32]; 2],
    out: &mut [f32],
    scratch: &mut [f32],
) {
    let (weights, rest) = out.split_at_mut(tap.c);
    let (map, limits) = rest.split_at_mut(tap.plane());
    pooled_conv2d_grad(kernels, &op.pooled.classes, sums, grad, weights, scratch);
    weighted_sum(kernels, op.sum.relu, weights, x, map);
    range(map, limits);
}
