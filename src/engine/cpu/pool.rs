//! Maximum and mean over windows, their gradients, and the mean over whole channels.

use crate::Shape;
use crate::engine::graph::ops::Window;

/// The pixels of row `y` or column `x` number `position` of the window: first and end.
fn span(position: usize, kernel: usize, stride: usize, padding: usize, size: usize) -> (usize, usize) {
    let start = position * stride;
    (start.saturating_sub(padding), (start + kernel).saturating_sub(padding).min(size))
}

/// Calls `visit(channel, output index in the channel, rows, columns)` for each window.
fn windows(
    window: &Window,
    input: Shape,
    output: Shape,
    mut visit: impl FnMut(usize, usize, (usize, usize), (usize, usize)),
) {
    let Window { kernel, stride, padding } = *window;
    for channel in 0..output.c {
        for p in 0..output.h {
            let rows = span(p, kernel[0], stride[0], padding[0], input.h);
            for q in 0..output.w {
                let columns = span(q, kernel[1], stride[1], padding[1], input.w);
                visit(channel, p * output.w + q, rows, columns);
            }
        }
    }
}

/// The index of the window's first maximum; NaN wins, as in PyTorch.
fn first_maximum(x: &[f32], width: usize, rows: (usize, usize), columns: (usize, usize)) -> usize {
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

/// The larger of two numbers; NaN wins, as in PyTorch.
fn larger(a: f32, b: f32) -> f32 {
    if a > b || a.is_nan() { a } else { b }
}

/// Pools some channels. First the maximum over each window's rows, for a whole row at once, into
/// `scratch` (a row of the input); then over its columns.
pub(super) fn max_pool(window: &Window, shapes: [Shape; 2], x: &[f32], out: &mut [f32], scratch: &mut [f32]) {
    let [input, output] = shapes;
    let Window { kernel, stride, padding } = *window;
    let tallest = &mut scratch[..input.w];
    for (x, out) in x.chunks_exact(input.plane()).zip(out.chunks_exact_mut(output.plane())) {
        for (p, out) in out.chunks_exact_mut(output.w).enumerate() {
            let (top, bottom) = span(p, kernel[0], stride[0], padding[0], input.h);
            let mut rows = x[top * input.w..bottom * input.w].chunks_exact(input.w);
            tallest.copy_from_slice(rows.next().expect("no window lies outside the image"));
            for row in rows {
                for (most, &x) in tallest.iter_mut().zip(row) {
                    *most = larger(*most, x);
                }
            }
            out.fill(f32::NEG_INFINITY);
            for column in 0..kernel[1] {
                let first = padding[1].saturating_sub(column).div_ceil(stride[1]).min(out.len());
                let from = (first * stride[1] + column).saturating_sub(padding[1]).min(input.w);
                // Whole strides have a constant length, so that the compiler can use vectors.
                let out = &mut out[first..];
                match stride[1] {
                    1 => out.iter_mut().zip(&tallest[from..]).for_each(|(most, &x)| *most = larger(*most, x)),
                    2 => {
                        let (pairs, rest) = tallest[from..].as_chunks::<2>();
                        out.iter_mut().zip(pairs).for_each(|(most, pair)| *most = larger(*most, pair[0]));
                        if let (Some(most), Some(&x)) = (out.get_mut(pairs.len()), rest.first()) {
                            *most = larger(*most, x);
                        }
                    }
                    step => {
                        let pixels = tallest[from..].iter().step_by(step);
                        out.iter_mut().zip(pixels).for_each(|(most, &x)| *most = larger(*most, x));
                    }
                }
            }
        }
    }
}

pub(super) fn max_pool_grad(window: &Window, shapes: [Shape; 2], grad: &[f32], x: &[f32], out: &mut [f32]) {
    let [input, output] = shapes;
    out.fill(0.0);
    windows(window, input, output, |channel, position, rows, columns| {
        let start = channel * input.plane();
        let winner = first_maximum(&x[start..][..input.plane()], input.w, rows, columns);
        out[start + winner] += grad[channel * output.plane() + position];
    });
}

pub(super) fn avg_pool(window: &Window, shapes: [Shape; 2], x: &[f32], out: &mut [f32]) {
    let [input, output] = shapes;
    let share = 1.0 / window.area() as f32;
    windows(window, input, output, |channel, position, rows, columns| {
        let x = &x[channel * input.plane()..][..input.plane()];
        let sum: f32 = (rows.0..rows.1).flat_map(|y| &x[y * input.w..][columns.0..columns.1]).sum();
        out[channel * output.plane() + position] = sum * share;
    });
}

pub(super) fn avg_pool_grad(window: &Window, shapes: [Shape; 2], grad: &[f32], out: &mut [f32]) {
    let [input, output] = shapes;
    let share = 1.0 / window.area() as f32;
    out.fill(0.0);
    windows(window, input, output, |channel, position, rows, columns| {
        let g = grad[channel * output.plane() + position] * share;
        let out = &mut out[channel * input.plane()..][..input.plane()];
        for y in rows.0..rows.1 {
            for pixel in &mut out[y * input.w..][columns.0..columns.1] {
                *pixel += g;
            }
        }
    });
}

pub(super) fn spatial_mean(plane: usize, x: &[f32], out: &mut [f32]) {
    for (out, channel) in out.iter_mut().zip(x.chunks_exact(plane)) {
        *out = channel.iter().sum::<f32>() / plane as f32;
    }
}
