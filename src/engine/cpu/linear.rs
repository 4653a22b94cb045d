//! Fully connected layers. Forward is a 1x1 convolution of one pixel.

use crate::Shape;
use crate::engine::graph::ops::{Conv2d, Linear, Window};

/// The convolution that does the same, from and to vectors.
pub(super) fn as_conv2d(op: &Linear, [input, output]: [Shape; 2]) -> Conv2d {
    Conv2d {
        weight: op.weight,
        bias: Some(op.bias),
        out: output.c,
        channels: input.c,
        window: Window::square(1, 1, 0),
        relu: false,
    }
}

/// out = sum of the weight's rows, each times its gradient; of a one-hot gradient, one row is read.
pub(super) fn linear_grad(weight: &[f32], grad: &[f32], out: &mut [f32]) {
    out.fill(0.0);
    for (row, &g) in weight.chunks_exact(out.len()).zip(grad).filter(|&(_, &g)| g != 0.0) {
        for (out, w) in out.iter_mut().zip(row) {
            *out += g * w;
        }
    }
}
