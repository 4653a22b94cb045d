//! Gradient of a convolution with respect to its input. First the product of the transposed weights with
//! the gradient: for each (input channel, window row, window column) a map over the output positions.
//! Then each input pixel sums the products that reach it, in a fixed order.

use std::sync::Arc;

use crate::engine::cpu::cost;
use crate::engine::cpu::cost::QuarterCycles;
use crate::engine::cpu::elementwise::apply_relu_grad;
use crate::engine::cpu::gemm::{MicroKernel, MicroTile, OVERREAD, UNBOUNDED, choose_kernel};
use crate::engine::cpu::kernel::{Kernel, Operands, Tile, channel_share};
use crate::engine::cpu::packed_weight::{PackedWeight, WeightSource};
use crate::engine::cpu::simd::Isa;
use crate::engine::cpu::weight_cache::WeightCache;
use crate::engine::graph::ops::{Conv2dGrad, ReluGrad, Window};
use crate::{Result, Shape};

/// The kernel of a convolution's gradient; a tile's groups are input channels.
pub(crate) struct Conv2dGradKernel {
    weight: Arc<PackedWeight>,
    kernel: MicroKernel,
    offsets: Vec<u32>,
    window: Window,
    input: Shape,
    grad: Shape,
    relu: Option<ReluGrad>,
    cost: QuarterCycles,
}

impl Conv2dGradKernel {
    /// The kernel of `op`, which reads a gradient of shape `grad`, with its (O, I, KH, KW) weight.
    ///
    /// # Errors
    /// When the system has too little memory.
    pub(crate) fn new(
        weights: &WeightCache,
        isa: Isa,
        op: &Conv2dGrad,
        grad: Shape,
        weight: &[f32],
        multiply_adds: u64,
    ) -> Result<Self> {
        let taps = op.input.c * op.window.area();
        let kernel = choose_kernel(isa, op.out, taps, grad.plane());
        let at = |tap: usize, o: usize| weight[o * taps + tap];
        let source = WeightSource { channels: taps, k: op.out, at, bias: None };
        Ok(Conv2dGradKernel {
            weight: weights.pack(kernel.channels, &source)?,
            kernel,
            offsets: (0..op.out).map(|o| (o * grad.plane()) as u32).collect(),
            window: op.window,
            input: op.input,
            grad,
            relu: op.relu,
            cost: cost::multiply_adds(multiply_adds as usize),
        })
    }

    /// Sums, for each pixel of one input channel, the products of its taps that reach it.
    fn gather(&self, taps: &[f32], out: &mut [f32]) {
        let Window { kernel: [_, kw], stride: [sy, sx], padding: [[py, px], _], dilation: [dy, dx] } =
            self.window;
        out.fill(0.0);
        for (tap, products) in taps.chunks_exact(self.grad.plane()).enumerate() {
            let (down, right) = (tap / kw * dy, tap % kw * dx);
            for (p, row) in products.chunks_exact(self.grad.w).enumerate() {
                let y = (p * sy + down).wrapping_sub(py);
                if y >= self.input.h {
                    continue;
                }
                let out = &mut out[y * self.input.w..][..self.input.w];
                for (q, &product) in row.iter().enumerate() {
                    if let Some(pixel) = out.get_mut((q * sx + right).wrapping_sub(px)) {
                        *pixel += product;
                    }
                }
            }
        }
    }
}

impl Kernel for Conv2dGradKernel {
    fn cost(&self, tile: Option<&Tile>) -> QuarterCycles {
        channel_share(self.cost, tile, self.input.c)
    }

    fn scratch_len(&self) -> usize {
        let max_channels = self.weight.channels + 2 * self.weight.group_channels;
        max_channels * self.grad.plane() + OVERREAD
    }

    fn tiles(&self, max: usize) -> Vec<Tile> {
        Tile::by_channel(self.input, max)
    }

    unsafe fn run(&self, tile: Option<&Tile>, operands: &Operands) {
        let input_channels = tile.map_or(0..self.input.c, |tile| tile.groups.clone());
        let (grad, gate, scratch) = (operands.input(0), operands.optional_input(1), operands.scratch);
        let area = self.window.area();
        let size = self.weight.group_channels;
        let first = input_channels.start * area / size;
        let end = (input_channels.end * area).div_ceil(size);
        let plane = self.grad.plane();
        debug_assert!(
            (end - first) * size * plane + OVERREAD <= self.scratch_len() && end <= self.weight.groups()
        );
        debug_assert!(self.offsets.len() == self.weight.k && self.weight.k * plane == self.grad.len());
        for group in first..end {
            let (weight, bias, channels) = self.weight.group(group);
            for pixel in (0..plane).step_by(self.kernel.pixels()) {
                // SAFETY: the results are inside the scratch, which has room for a group more at both
                // ends of the tile's taps; the terms are inside the gradient.
                unsafe {
                    let micro_tile = MicroTile {
                        weight: weight.as_ptr(),
                        x: grad.add(pixel),
                        offsets: self.offsets.as_ptr(),
                        k: self.weight.k,
                        bias: bias.as_ptr(),
                        out: scratch.add((group - first) * size * plane + pixel),
                        out_stride: plane,
                        channels,
                        pixels: self.kernel.pixels().min(plane - pixel),
                        bounds: UNBOUNDED,
                    };
                    self.kernel.run(&micro_tile);
                }
            }
        }
        for channel in input_channels {
            // SAFETY: the products of this channel's taps have been written above; its pixels and those
            // of its gate are inside their slots, and no other thread touches the tile's pixels.
            unsafe {
                let taps = std::slice::from_raw_parts(
                    scratch.add((channel * area - first * size) * plane),
                    area * plane,
                );
                let out = std::slice::from_raw_parts_mut(
                    operands.output().add(channel * self.input.plane()),
                    self.input.plane(),
                );
                self.gather(taps, out);
                if let (Some(relu), Some(gate)) = (self.relu, gate) {
                    let gate = std::slice::from_raw_parts(gate.add(channel * out.len()), out.len());
                    apply_relu_grad(relu, gate, out);
                }
            }
        }
    }
}
