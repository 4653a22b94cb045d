//! Maximum and mean over windows, their gradients, and the mean over whole channels.

use super::kernel::{Kernel, SliceKernel};
use crate::Shape;
use crate::engine::graph::ops::{AvgPool, Window};
use crate::engine::plan::Step;

/// Maximum over windows, cut by channel.
pub(crate) fn max_pool(step: &Step, window: Window) -> Box<dyn Kernel> {
    let [input, output] = [step.inputs[0].shape, step.output.shape];
    SliceKernel::new(input.len() + output.len(), move |x, out, scratch| {
        max_over_windows(&window, [input, output], x.get(0), out, scratch);
    })
    .with_scratch(input.w)
    .by_channel(output)
    .boxed()
}

/// Gradient of the maximum over windows, of the gradient and the pooling's input.
pub(crate) fn max_pool_grad(step: &Step, window: Window) -> Box<dyn Kernel> {
    let shapes = [step.output.shape, step.inputs[0].shape];
    SliceKernel::new(0, move |x, out, _| scatter_to_maximum(&window, shapes, x.get(0), x.get(1), out)).boxed()
}

/// Mean over windows.
pub(crate) fn avg_pool(step: &Step, pool: AvgPool) -> Box<dyn Kernel> {
    let shapes = [step.inputs[0].shape, step.output.shape];
    SliceKernel::new(0, move |x, out, _| mean_over_windows(&pool, shapes, x.get(0), out)).boxed()
}

/// Gradient of the mean over windows.
pub(crate) fn avg_pool_grad(step: &Step, pool: AvgPool) -> Box<dyn Kernel> {
    let shapes = [step.output.shape, step.inputs[0].shape];
    SliceKernel::new(0, move |x, out, _| scatter_evenly(&pool, shapes, x.get(0), out)).boxed()
}

/// Mean of each channel.
pub(crate) fn spatial_mean(step: &Step) -> Box<dyn Kernel> {
    let plane = step.inputs[0].shape.plane();
    SliceKernel::new(0, move |x, out, _| {
        for (out, channel) in out.iter_mut().zip(x.get(0).chunks_exact(plane)) {
            *out = channel.iter().sum::<f32>() / plane as f32;
        }
    })
    .boxed()
}

/// The rows or columns of the input under the window at `position`: first and end.
fn span(position: usize, kernel: usize, stride: usize, padding: usize, size: usize) -> (usize, usize) {
    let start = position * stride;
    (start.saturating_sub(padding), (start + kernel).saturating_sub(padding).min(size))
}

/// Calls `visit(channel, position, rows, columns)` for each window.
fn windows(
    window: &Window,
    input: Shape,
    output: Shape,
    mut visit: impl FnMut(usize, [usize; 2], (usize, usize), (usize, usize)),
) {
    let Window { kernel, stride, padding: [padding, _], .. } = *window;
    for channel in 0..output.c {
        for p in 0..output.h {
            let rows = span(p, kernel[0], stride[0], padding[0], input.h);
            for q in 0..output.w {
                let columns = span(q, kernel[1], stride[1], padding[1], input.w);
                visit(channel, [p, q], rows, columns);
            }
        }
    }
}

/// The index of the window's first maximum; NaN wins, as in PyTorch.
fn argmax_nan(x: &[f32], width: usize, rows: (usize, usize), columns: (usize, usize)) -> usize {
    let mut best = rows.0 * width + columns.0;
    for y in rows.0..rows.1 {
        for i in y * width + columns.0..y * width + columns.1 {
            if x[i] > x[best] || (x[i].is_nan() && !x[best].is_nan()) {
                best = i;
            }
        }
    }
    best
}

/// The larger of two floats; NaN wins, as in PyTorch.
fn max_nan(a: f32, b: f32) -> f32 {
    if a > b || a.is_nan() { a } else { b }
}

/// Maximum over windows of some channels. First over each window's rows, for a whole row at once, into
/// `scratch` (a row of the input); then over its columns.
fn max_over_windows(window: &Window, shapes: [Shape; 2], x: &[f32], out: &mut [f32], scratch: &mut [f32]) {
    let [input, output] = shapes;
    let Window { kernel, stride, padding: [padding, _], .. } = *window;
    let row_max = &mut scratch[..input.w];
    for (x, out) in x.chunks_exact(input.plane()).zip(out.chunks_exact_mut(output.plane())) {
        for (p, out) in out.chunks_exact_mut(output.w).enumerate() {
            let (top, bottom) = span(p, kernel[0], stride[0], padding[0], input.h);
            let mut rows = x[top * input.w..bottom * input.w].chunks_exact(input.w);
            row_max.copy_from_slice(rows.next().expect("a window covers a row of the image"));
            for row in rows {
                for (max, &x) in row_max.iter_mut().zip(row) {
                    *max = max_nan(*max, x);
                }
            }
            out.fill(f32::NEG_INFINITY);
            for column in 0..kernel[1] {
                let first = padding[1].saturating_sub(column).div_ceil(stride[1]).min(out.len());
                let from = (first * stride[1] + column).saturating_sub(padding[1]).min(input.w);
                // Whole strides have a constant length, so that the compiler can use vectors.
                let out = &mut out[first..];
                match stride[1] {
                    1 => out.iter_mut().zip(&row_max[from..]).for_each(|(max, &x)| *max = max_nan(*max, x)),
                    2 => {
                        let (pairs, rest) = row_max[from..].as_chunks::<2>();
                        out.iter_mut().zip(pairs).for_each(|(max, pair)| *max = max_nan(*max, pair[0]));
                        if let (Some(max), Some(&x)) = (out.get_mut(pairs.len()), rest.first()) {
                            *max = max_nan(*max, x);
                        }
                    }
                    step => {
                        let pixels = row_max[from..].iter().step_by(step);
                        out.iter_mut().zip(pixels).for_each(|(max, &x)| *max = max_nan(*max, x));
                    }
                }
            }
        }
    }
}

/// Adds each window's gradient to the pixel that is its maximum.
fn scatter_to_maximum(window: &Window, shapes: [Shape; 2], grad: &[f32], x: &[f32], out: &mut [f32]) {
    let [input, output] = shapes;
    out.fill(0.0);
    windows(window, input, output, |channel, [p, q], rows, columns| {
        let start = channel * input.plane();
        let maximum = argmax_nan(&x[start..][..input.plane()], input.w, rows, columns);
        out[start + maximum] += grad[channel * output.plane() + p * output.w + q];
    });
}

/// Mean over windows, from the first to the second of `shapes`.
pub(crate) fn mean_over_windows(pool: &AvgPool, shapes: [Shape; 2], x: &[f32], out: &mut [f32]) {
    let [input, output] = shapes;
    windows(&pool.window, input, output, |channel, [p, q], rows, columns| {
        let x = &x[channel * input.plane()..][..input.plane()];
        let sum: f32 = (rows.0..rows.1).flat_map(|y| &x[y * input.w..][columns.0..columns.1]).sum();
        out[channel * output.plane() + p * output.w + q] = sum * pool.share([p, q], input);
    });
}

/// Adds each window's gradient, divided by the number of its elements, to all its pixels; `shapes` are those of the result and of
/// the gradient.
pub(crate) fn scatter_evenly(pool: &AvgPool, shapes: [Shape; 2], grad: &[f32], out: &mut [f32]) {
    let [input, output] = shapes;
    out.fill(0.0);
    windows(&pool.window, input, output, |channel, [p, q], rows, columns| {
        let g = grad[channel * output.plane() + p * output.w + q] * pool.share([p, q], input);
        let out = &mut out[channel * input.plane()..][..input.plane()];
        for y in rows.0..rows.1 {
            for pixel in &mut out[y * input.w..][columns.0..columns.1] {
                *pixel += g;
            }
        }
    });
}
