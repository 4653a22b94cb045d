//! Depthwise convolution and its gradient: each output channel reads one input channel.

use std::sync::Arc;

use crate::Shape;
use crate::engine::cpu::channel_windows::{ChannelWindows, Finish, Join};
use crate::engine::cpu::cost;
use crate::engine::cpu::cost::QuarterCycles;
use crate::engine::cpu::elementwise::apply_relu_grad;
use crate::engine::cpu::gemm::bounds;
use crate::engine::cpu::kernel::{Kernel, Operands, SliceKernel, Tile, channel_share};
use crate::engine::cpu::simd::Isa;
use crate::engine::graph::ops::{Conv2d, Conv2dGrad, Window};

/// Depthwise convolution; a tile's groups are output channels.
pub(crate) struct DepthwiseConv2dKernel {
    windows: ChannelWindows,
    /// (O, 1, KH, KW).
    weight: Arc<[f32]>,
    bias: Option<Arc<[f32]>>,
    /// Shapes of the input and of the output.
    shapes: [Shape; 2],
    area: usize,
    /// Bounds of the results.
    bounds: [f32; 2],
}

impl DepthwiseConv2dKernel {
    /// The kernel of `op`, whose groups are its input channels, with its weight and its bias.
    pub(crate) fn new(
        isa: Isa,
        op: &Conv2d,
        shapes: [Shape; 2],
        weight: Arc<[f32]>,
        bias: Option<Arc<[f32]>>,
    ) -> Self {
        let windows = ChannelWindows::new(isa, Join::Products, op.window, shapes);
        DepthwiseConv2dKernel {
            windows,
            weight,
            bias,
            shapes,
            area: op.window.area(),
            bounds: bounds(op.relu),
        }
    }
}

impl Kernel for DepthwiseConv2dKernel {
    fn cost(&self, tile: Option<&Tile>) -> QuarterCycles {
        let channels = self.shapes[1].c;
        channel_share(channels * self.windows.cost(), tile, channels)
    }

    fn elements(&self, tile: Option<&Tile>, all: usize) -> usize {
        channel_share(all, tile, self.shapes[1].c)
    }

    fn scratch_len(&self) -> usize {
        self.windows.scratch_len()
    }

    fn tiles(&self, max: usize) -> Vec<Tile> {
        Tile::by_channel(self.shapes[1], max)
    }

    unsafe fn run(&self, tile: Option<&Tile>, operands: &Operands) {
        let [input, output] = self.shapes;
        let multiplier = output.c / input.c;
        // SAFETY: the scratch has this length and is this thread's.
        self.windows.begin(unsafe { operands.scratch_slice(self.scratch_len()) });
        for channel in tile.map_or(0..output.c, |tile| tile.groups.clone()) {
            let finish = Finish {
                weight: &self.weight[channel * self.area..][..self.area],
                bias: self.bias.as_ref().map_or(0.0, |bias| bias[channel]),
                bounds: self.bounds,
            };
            // SAFETY: the channels are inside the input, which is readable beyond its end, and inside the output, of which
            // no other thread touches them; the scratch was prepared.
            unsafe {
                let x = operands.input(0).add(channel / multiplier * input.plane());
                let out = operands.output().add(channel * output.plane());
                self.windows.apply(x, finish, out, operands.scratch);
            }
        }
    }
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
