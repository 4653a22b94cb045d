//! Maximum and mean over windows, their gradients, and the mean over whole channels.

use super::channel_windows::{ChannelWindows, Maximum, Sum};
use super::cost;
use super::kernel::{Kernel, SliceKernel};
use super::simd::Isa;
use crate::Shape;
use crate::engine::graph::ops::{AvgPool, Window};
use crate::engine::plan::Step;

/// Maximum over windows.
pub(crate) fn max_pool(isa: Isa, step: &Step, window: Window) -> Box<dyn Kernel> {
    let shapes = [step.inputs[0].shape, step.output.shape];
    if let Some(windows) = ChannelWindows::new::<Maximum>(isa, window, shapes) {
        return Box::new(windows);
    }
    let [input, output] = shapes;
    SliceKernel::new(0, move |x, out, _| {
        let (x, channels) = (x.get(0), out.len() / output.plane());
        windows(&window, input, output, channels, |channel, [p, q], rows, columns| {
            let x = &x[channel * input.plane()..][..input.plane()];
            out[channel * output.plane() + p * output.w + q] = x[argmax_nan(x, input.w, rows, columns)];
        });
    })
    .by_channel(output)
    .boxed()
}

/// Gradient of the maximum over windows, of the gradient and the pooling's input.
pub(crate) fn max_pool_grad(step: &Step, window: Window) -> Box<dyn Kernel> {
    let shapes = [step.output.shape, step.inputs[0].shape];
    let work = cost::multiply_adds(32 * shapes[1].len() * window.area());
    SliceKernel::new(work, move |x, out, _| scatter_to_maximum(&window, shapes, x.get(0), x.get(1), out))
        .by_channel(shapes[0])
        .boxed()
}

/// Mean over windows.
pub(crate) fn avg_pool(isa: Isa, step: &Step, pool: AvgPool) -> Box<dyn Kernel> {
    let shapes = [step.inputs[0].shape, step.output.shape];
    let means = Means::new(pool, shapes);
    if step.output.shape.plane() > 1
        && let Some(windows) = ChannelWindows::new::<Sum>(isa, pool.window, shapes)
    {
        return Box::new(windows.with_shares(means.shares));
    }
    SliceKernel::new(0, move |x, out, _| means.apply(x.get(0), out)).by_channel(step.output.shape).boxed()
}

/// Gradient of the mean over windows.
pub(crate) fn avg_pool_grad(step: &Step, pool: AvgPool) -> Box<dyn Kernel> {
    let means = Means::new(pool, [step.output.shape, step.inputs[0].shape]);
    let work = cost::multiply_adds(16 * step.inputs[0].shape.len() * pool.window.area());
    SliceKernel::new(work, move |x, out, _| means.scatter(x.get(0), out))
        .by_channel(step.output.shape)
        .boxed()
}

/// Mean of each channel.
pub(crate) fn spatial_mean(step: &Step) -> Box<dyn Kernel> {
    let plane = step.inputs[0].shape.plane();
    SliceKernel::new(0, move |x, out, _| {
        for (out, channel) in out.iter_mut().zip(x.get(0).chunks_exact(plane)) {
            *out = sum_of(channel) / plane as f32;
        }
    })
    .by_channel(step.output.shape)
    .boxed()
}

/// Means over the windows of some channels.
pub(crate) struct Means {
    pool: AvgPool,
    /// Shapes of what is pooled and of the means.
    shapes: [Shape; 2],
    /// One over the number of elements of each window.
    shares: Vec<f32>,
}

impl Means {
    /// Means from the first to the second of `shapes`.
    pub(crate) fn new(pool: AvgPool, shapes: [Shape; 2]) -> Means {
        let [input, output] = shapes;
        let positions = (0..output.h).flat_map(|p| (0..output.w).map(move |q| [p, q]));
        Means { pool, shapes, shares: positions.map(|position| pool.share(position, input)).collect() }
    }

    /// The means of the channels of `x`.
    pub(crate) fn apply(&self, x: &[f32], out: &mut [f32]) {
        let [input, output] = self.shapes;
        let channels = out.len() / output.plane();
        windows(&self.pool.window, input, output, channels, |channel, [p, q], rows, columns| {
            let x = &x[channel * input.plane()..][rows.0 * input.w..rows.1 * input.w];
            let sum = match columns == (0, input.w) {
                true => sum_of(x),
                false => x.chunks_exact(input.w).flat_map(|row| &row[columns.0..columns.1]).sum(),
            };
            let position = p * output.w + q;
            out[channel * output.plane() + position] = sum * self.shares[position];
        });
    }

    /// Adds each window's gradient, divided by the number of its elements, to all its pixels, from zero on.
    pub(crate) fn scatter(&self, grad: &[f32], out: &mut [f32]) {
        let [input, output] = self.shapes;
        out.fill(0.0);
        windows(
            &self.pool.window,
            input,
            output,
            grad.len() / output.plane(),
            |channel, [p, q], rows, columns| {
                let position = p * output.w + q;
                let g = grad[channel * output.plane() + position] * self.shares[position];
                let out = &mut out[channel * input.plane()..][..input.plane()];
                for y in rows.0..rows.1 {
                    for pixel in &mut out[y * input.w..][columns.0..columns.1] {
                        *pixel += g;
                    }
                }
            },
        );
    }
}

/// The rows or columns of the input under the window at `position`: first and end.
fn span(position: usize, kernel: usize, stride: usize, padding: usize, size: usize) -> (usize, usize) {
    let start = position * stride;
    (start.saturating_sub(padding), (start + kernel).saturating_sub(padding).min(size))
}

/// Calls `visit(channel, position, rows, columns)` for each window of so many channels.
fn windows(
    window: &Window,
    input: Shape,
    output: Shape,
    channels: usize,
    mut visit: impl FnMut(usize, [usize; 2], (usize, usize), (usize, usize)),
) {
    let Window { kernel, stride, padding: [padding, _], .. } = *window;
    for channel in 0..channels {
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

/// Elements from which on a sum has several parts.
const LONG_SUM: usize = 32;
/// Parts of a long sum.
const PARTS: usize = 16;

/// The sum of `x`: element by element, or, if it is long, of every 16th element, and of the parts.
#[inline(always)]
fn sum_of(x: &[f32]) -> f32 {
    if x.len() < LONG_SUM {
        return x.iter().sum();
    }
    let (chunks, rest) = x.as_chunks::<PARTS>();
    let mut parts = [0.0; PARTS];
    for chunk in chunks {
        parts.iter_mut().zip(chunk).for_each(|(part, x)| *part += x);
    }
    parts.iter_mut().zip(rest).for_each(|(part, x)| *part += x);
    parts.iter().sum()
}

/// Adds each window's gradient to the pixel that is its maximum.
fn scatter_to_maximum(window: &Window, shapes: [Shape; 2], grad: &[f32], x: &[f32], out: &mut [f32]) {
    let [input, output] = shapes;
    out.fill(0.0);
    windows(window, input, output, grad.len() / output.plane(), |channel, [p, q], rows, columns| {
        let start = channel * input.plane();
        let maximum = argmax_nan(&x[start..][..input.plane()], input.w, rows, columns);
        out[start + maximum] += grad[channel * output.plane() + p * output.w + q];
    });
}
