//! Depthwise convolution and its gradient: each output channel reads one input channel.

use std::sync::Arc;

use crate::Shape;
use crate::engine::cpu::channel_windows::{ChannelWindows, Products};
use crate::engine::cpu::cost;
use crate::engine::cpu::elementwise::apply_relu_grad;
use crate::engine::cpu::gemm::bounds;
use crate::engine::cpu::kernel::{Kernel, SliceKernel};
use crate::engine::cpu::simd::Isa;
use crate::engine::graph::ops::{Conv2d, Conv2dGrad, Window};

/// The convolution `op`, whose groups are its input channels, with its (O, 1, KH, KW) weight and its bias; `None` where its
/// window is too large.
pub(crate) fn depthwise_conv2d(
    isa: Isa,
    op: &Conv2d,
    shapes: [Shape; 2],
    weight: Arc<[f32]>,
    bias: Option<Arc<[f32]>>,
) -> Option<Box<dyn Kernel>> {
    let windows = ChannelWindows::new::<Products>(isa, op.window, shapes)?;
    Some(Box::new(windows.with_products(weight, bias, bounds(op.relu))))
}

/// Gradient of a depthwise convolution, cut by input channel.
pub(crate) fn depthwise_conv2d_grad(op: &Conv2dGrad, grad: Shape, weight: Arc<[f32]>) -> Box<dyn Kernel> {
    let (window, input, relu, area) = (op.window, op.input, op.relu, op.window.area());
    let multiplier = op.out / op.input.c;
    let cost = cost::multiply_adds(4 * grad.len() * area);
    SliceKernel::new(cost, move |inputs, out, _| {
        // All channels of the gradient that belong to those of the tile.
        let (grads, first) = (inputs.get(0), inputs.first_channel());
        out.fill(0.0);
        for (o, g) in grads.chunks_exact(grad.plane()).enumerate() {
            let kernel = &weight[(first * multiplier + o) * area..][..area];
            let out = &mut out[o / multiplier * input.plane()..][..input.plane()];
            scatter(&window, kernel, input, g, grad.w, out);
        }
        if let Some(relu) = relu {
            apply_relu_grad(relu, inputs.get(1), out);
        }
    })
    .by_channel(input)
    .boxed()
}

/// Adds to each pixel of a channel the products of the taps of `kernel` with the gradients of the positions over it, whose
/// rows have `width` elements.
fn scatter(window: &Window, kernel: &[f32], input: Shape, grad: &[f32], width: usize, out: &mut [f32]) {
    let Window { kernel: [_, kw], stride: [sy, sx], padding: [[py, px], _], dilation: [dy, dx] } = *window;
    for (tap, &weight) in kernel.iter().enumerate() {
        let (down, right) = (tap / kw * dy, tap % kw * dx);
        for (p, row) in grad.chunks_exact(width).enumerate() {
            let y = (p * sy + down).wrapping_sub(py);
            if y >= input.h {
                continue;
            }
            let out = &mut out[y * input.w..][..input.w];
            for (q, &g) in row.iter().enumerate() {
                if let Some(pixel) = out.get_mut((q * sx + right).wrapping_sub(px)) {
                    *pixel += weight * g;
                }
            }
        }
    }
}
