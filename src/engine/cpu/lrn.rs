//! Local response normalization across channels, and its gradient.

use super::cost;
use super::kernel::{Kernel, SliceKernel};
use super::simd::{Isa, vectorized};
use crate::Shape;
use crate::engine::graph::ops::Lrn;

/// Pixels that are computed together: their squares, of all channels, stay in the L2 cache.
const PIXELS: usize = 256;

/// bias + alpha / size * sum of the squares in the window of `channel`, for pixels from `first` on.
#[inline(always)]
fn scales(op: &Lrn, shape: Shape, x: &[f32], channel: usize, first: usize, scales: &mut [f32]) {
    scales.fill(0.0);
    for other in op.window(channel, shape.c) {
        for (sum, &x) in scales.iter_mut().zip(&x[other * shape.plane() + first..]) {
            *sum += x * x;
        }
    }
    let factor = op.alpha / op.size as f32;
    scales.iter_mut().for_each(|s| *s = op.bias + factor * *s);
}

#[inline(always)]
fn normalize(op: &Lrn, shape: Shape, x: &[f32], out: &mut [f32]) {
    let mut scale = [0.0; PIXELS];
    for channel in 0..shape.c {
        for first in (0..shape.plane()).step_by(PIXELS) {
            let count = PIXELS.min(shape.plane() - first);
            let scale = &mut scale[..count];
            scales(op, shape, x, channel, first, scale);
            let at = channel * shape.plane() + first;
            for ((out, &x), &s) in out[at..][..count].iter_mut().zip(&x[at..]).zip(&*scale) {
                *out = x * s.powf(-op.beta);
            }
        }
    }
}

#[inline(always)]
fn differentiate(op: &Lrn, shape: Shape, grad: &[f32], x: &[f32], out: &mut [f32], ratios: &mut [f32]) {
    let plane = shape.plane();
    let mut scale = [0.0; PIXELS];
    let factor = 2.0 * op.alpha * op.beta / op.size as f32;
    for first in (0..plane).step_by(PIXELS) {
        let count = PIXELS.min(plane - first);
        // g x / s^(beta + 1) of all channels; the part of each element's own goes to the output at once.
        for channel in 0..shape.c {
            let scale = &mut scale[..count];
            scales(op, shape, x, channel, first, scale);
            let at = channel * plane + first;
            let ratios = &mut ratios[channel * PIXELS..][..count];
            for (i, (ratio, &s)) in ratios.iter_mut().zip(&*scale).enumerate() {
                let own = grad[at + i] * s.powf(-op.beta);
                out[at + i] = own;
                *ratio = own * x[at + i] / s;
            }
        }
        for channel in 0..shape.c {
            let sums = &mut scale[..count];
            sums.fill(0.0);
            for other in op.windows_with(channel, shape.c) {
                for (sum, &ratio) in sums.iter_mut().zip(&ratios[other * PIXELS..]) {
                    *sum += ratio;
                }
            }
            let at = channel * plane + first;
            for ((out, &x), &sum) in out[at..][..count].iter_mut().zip(&x[at..]).zip(&*sums) {
                *out -= factor * x * sum;
            }
        }
    }
}

/// The normalization.
pub(crate) fn lrn(isa: Isa, op: Lrn, shape: Shape) -> Box<dyn Kernel> {
    let apply = vectorized!(isa, fn(op: &Lrn, shape: Shape, x: &[f32], out: &mut [f32]) {
        normalize(op, shape, x, out)
    });
    let work = cost::multiply_adds(shape.len() * op.size.min(shape.c)) + cost::activations(4 * shape.len());
    SliceKernel::new(work, move |x, out, _| {
        apply(&op, shape, x.get(0), out);
    })
    .boxed()
}

/// Its gradient, of the incoming gradient and the normalization's input.
pub(crate) fn lrn_grad(isa: Isa, op: Lrn, shape: Shape) -> Box<dyn Kernel> {
    let apply = vectorized!(isa, fn(op: &Lrn, shape: Shape, values: [&[f32]; 2], out: &mut [f32], ratios: &mut [f32]) {
        differentiate(op, shape, values[0], values[1], out, ratios)
    });
    let work =
        cost::multiply_adds(2 * shape.len() * op.size.min(shape.c)) + cost::activations(4 * shape.len());
    SliceKernel::new(work, move |x, out, scratch| {
        apply(&op, shape, [x.get(0), x.get(1)], out, scratch);
    })
    .with_scratch(shape.c * PIXELS)
    .boxed()
}
