//! Resizing of maps, and its gradient, cut by channel.

use super::cost;
use super::kernel::{Kernel, SliceKernel};
use crate::Shape;
use crate::engine::graph::ops::Resize;

/// The resizing of `input` to `output`.
pub(crate) fn resize(op: &Resize, [input, output]: [Shape; 2]) -> Box<dyn Kernel> {
    let (rows, columns) = (op.samples(0, input.h), op.samples(1, input.w));
    SliceKernel::new(cost::multiply_adds(16 * output.len()), move |x, out, row| {
        for (x, out) in x.get(0).chunks_exact(input.plane()).zip(out.chunks_exact_mut(output.plane())) {
            for (out, sample) in out.chunks_exact_mut(output.w).zip(&rows) {
                let [first, second] = [sample.first, sample.second].map(|y| &x[y * input.w..][..input.w]);
                for ((between, &a), &b) in row.iter_mut().zip(first).zip(second) {
                    *between = lerp(a, b, sample.part);
                }
                for (out, column) in out.iter_mut().zip(&columns) {
                    *out = lerp(row[column.first], row[column.second], column.part);
                }
            }
        }
    })
    .with_scratch(input.w)
    .by_channel(output)
    .boxed()
}

/// The gradient of the resizing of `input`, from one of shape `grad`.
pub(crate) fn resize_grad(op: &Resize, [input, grad]: [Shape; 2]) -> Box<dyn Kernel> {
    let (rows, columns) = (op.samples(0, input.h), op.samples(1, input.w));
    SliceKernel::new(cost::multiply_adds(16 * grad.len()), move |x, out, row| {
        out.fill(0.0);
        for (grad, out) in x.get(0).chunks_exact(grad.plane()).zip(out.chunks_exact_mut(input.plane())) {
            for (grad_row, sample) in grad.chunks_exact(columns.len()).zip(&rows) {
                row.fill(0.0);
                for (&g, column) in grad_row.iter().zip(&columns) {
                    row[column.first] += (1.0 - column.part) * g;
                    row[column.second] += column.part * g;
                }
                for (y, part) in [(sample.first, 1.0 - sample.part), (sample.second, sample.part)] {
                    for (out, &between) in out[y * input.w..][..input.w].iter_mut().zip(&*row) {
                        *out += part * between;
                    }
                }
            }
        }
    })
    .with_scratch(input.w)
    .by_channel(input)
    .boxed()
}

/// Exactly `a` where the part is 0, also beside an infinite `b`.
fn lerp(a: f32, b: f32, part: f32) -> f32 {
    if part == 0.0 { a } else { (1.0 - part) * a + part * b }
}
