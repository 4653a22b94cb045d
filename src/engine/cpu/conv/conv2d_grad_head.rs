//! Gradient of the convolution that ends the head of an MSD-Net: 3x3 of stride 2, from 4x4 to 2x2 pixels.
//!
//! As [`super::conv2d_grad_small`], it reads the weights as the forward convolution has packed them, with vectors along the
//! output channels. Here each pixel of the result has an accumulator of its own, so that a tap is multiplied only
//! with the pixels of the gradient that it joins, and the sums over a vector's lanes are made once a pixel, not
//! once for each tap of each pixel of the gradient.

use std::sync::Arc;

use super::conv2d_grad_small::gather_pixels;
use crate::Shape;
use crate::engine::cpu::aligned::CACHE_LINE_F32;
use crate::engine::cpu::cost;
use crate::engine::cpu::cost::QuarterCycles;
use crate::engine::cpu::elementwise::apply_relu_grad;
use crate::engine::cpu::gemm::{PREFETCH_DISTANCE, TransposedProduct};
use crate::engine::cpu::kernel::{Kernel, Operands, Tile, channel_share};
use crate::engine::cpu::packed_weight::PackedWeight;
use crate::engine::cpu::simd::{Isa, MAX_LANES, Simd, compiled};
use crate::engine::graph::ops::{Conv2dGrad, ReluGrad, Window};

/// Side of the result, in pixels.
const SIDE: usize = 4;
/// Side of the gradient that is read, in pixels.
const GRAD_SIDE: usize = 2;
/// Side of the window, in pixels.
const WINDOW: usize = 3;
const STRIDE: usize = 2;
const PADDING: usize = 1;

const TAPS: usize = WINDOW * WINDOW;
const PIXELS: usize = SIDE * SIDE;
const GRAD_PIXELS: usize = GRAD_SIDE * GRAD_SIDE;

/// The kernel; a tile's groups are input channels.
pub(crate) struct HeadConv2dGradKernel {
    /// # Safety
    /// The CPU has the kernel's instruction set, and the pointers are valid for the call's sizes.
    product: unsafe fn(&TransposedProduct),
    weight: Arc<PackedWeight>,
    input: Shape,
    relu: Option<ReluGrad>,
    cost: QuarterCycles,
}

impl HeadConv2dGradKernel {
    /// Whether `op`, which reads a gradient of shape `grad`, is of this form.
    pub(crate) fn is_of_head(op: &Conv2dGrad, grad: Shape) -> bool {
        op.window == Window::square(WINDOW, STRIDE, PADDING)
            && (op.input.h, op.input.w) == (SIDE, SIDE)
            && (grad.h, grad.w) == (GRAD_SIDE, GRAD_SIDE)
    }

    /// The kernel of `op`, with its packed weight.
    pub(crate) fn new(isa: Isa, op: &Conv2dGrad, weight: Arc<PackedWeight>) -> Self {
        HeadConv2dGradKernel {
            product: compiled!(isa, S => unsafe fn(call: &TransposedProduct) { product::<S>(call) }),
            cost: cost::L3_WEIGHT * weight.padded_channels() * weight.k,
            weight,
            input: op.input,
            relu: op.relu,
        }
    }
}

/// Computes the gradients of some input channels, the units of `call`, whose right side is the gradient that is read, (4,
/// groups * M), and whose result has (16) pixels a channel; group by group, so that the weights are read in one stream.
///
/// # Safety
/// As for [`HeadConv2dGradKernel::product`].
#[inline(always)]
unsafe fn product<S: Simd>(call: &TransposedProduct) {
    // Copies, which stores to `out` cannot change.
    let &TransposedProduct { weight, groups, group_len, group_channels, first, end, right, out, .. } = call;
    let row = groups * group_channels;
    for group in 0..groups {
        for channel in first..end {
            // SAFETY: the loops stay inside the groups, channels and pixels for which the caller promises that the
            // pointers are valid.
            unsafe {
                let weight = weight.add(group * group_len + channel * TAPS * group_channels);
                let grad = right.add(group * group_channels);
                let out = out.add((channel - first) * PIXELS);
                let store = |out: *mut f32, sums: S::V| {
                    S::store(out, if group > 0 { S::add(S::load(out), sums) } else { sums });
                };
                store(out, pixels::<S, 0>(weight, grad, row, group_channels));
                if S::LANES < PIXELS {
                    store(out.add(S::LANES), pixels::<S, 1>(weight, grad, row, group_channels));
                }
            }
        }
    }
}

/// The sums over a group's output channels of one input channel, of vector V of its pixels.
///
/// # Safety
/// As for [`HeadConv2dGradKernel::product`]: `weight` has TAPS * `channels` floats, and `grad` `channels` in each
/// of its rows.
#[inline(always)]
unsafe fn pixels<S: Simd, const V: usize>(
    weight: *const f32,
    grad: *const f32,
    row: usize,
    channels: usize,
) -> S::V {
    // SAFETY: loads stay inside the weights and the gradient; addresses to prefetch may be invalid.
    unsafe {
        let mut sums = [S::splat(0.0); MAX_LANES];
        for channel in (0..channels).step_by(S::LANES) {
            let mut g = [S::splat(0.0); GRAD_PIXELS];
            for (pixel, g) in g.iter_mut().enumerate() {
                *g = S::load(grad.add(pixel * row + channel));
            }
            for tap in 0..TAPS {
                let w = weight.add(tap * channels + channel);
                if V == 0 && channel.is_multiple_of(CACHE_LINE_F32) {
                    S::prefetch(w.wrapping_add(PREFETCH_DISTANCE));
                }
                let w = S::load(w);
                for (pixel, &g) in g.iter().enumerate() {
                    let y = (pixel / GRAD_SIDE * STRIDE + tap / WINDOW).wrapping_sub(PADDING);
                    let x = (pixel % GRAD_SIDE * STRIDE + tap % WINDOW).wrapping_sub(PADDING);
                    let to = (y * SIDE + x).wrapping_sub(V * S::LANES);
                    if y < SIDE && x < SIDE && to < S::LANES {
                        sums[to] = S::fma(w, g, sums[to]);
                    }
                }
            }
        }
        let mut fours = [S::splat(0.0); MAX_LANES / 4];
        for (i, four) in fours[..S::LANES / 4].iter_mut().enumerate() {
            *four = S::sums_of_four([sums[4 * i], sums[4 * i + 1], sums[4 * i + 2], sums[4 * i + 3]]);
        }
        S::sums_of_fours(fours)
    }
}

impl Kernel for HeadConv2dGradKernel {
    fn cost(&self, tile: Option<&Tile>) -> QuarterCycles {
        channel_share(self.cost, tile, self.input.c)
    }

    /// The gradient's pixels, each with all output channels.
    fn scratch_len(&self) -> usize {
        GRAD_PIXELS * self.weight.padded_channels()
    }

    fn tiles(&self, max: usize) -> Vec<Tile> {
        Tile::by_channel(self.input, max)
    }

    unsafe fn run(&self, tile: Option<&Tile>, operands: &Operands) {
        let channels = tile.map_or(0..self.input.c, |tile| tile.groups.clone());
        // SAFETY: the scratch has `scratch_len` floats; the gradient has four elements for each output channel; the
        // tile's channels are inside the output and its gate, and no other thread touches them.
        unsafe {
            let row = self.weight.padded_channels();
            let columns = std::slice::from_raw_parts_mut(operands.scratch, GRAD_PIXELS * row);
            let grad = std::slice::from_raw_parts(operands.input(0), self.weight.channels * GRAD_PIXELS);
            gather_pixels(grad, GRAD_PIXELS, 0..GRAD_PIXELS, columns, row);
            let out = operands.output().add(channels.start * PIXELS);
            (self.product)(&self.weight.transposed(TAPS, channels.clone(), columns.as_ptr(), out));
            if let (Some(relu), Some(gate)) = (self.relu, operands.optional_input(1)) {
                let out = std::slice::from_raw_parts_mut(out, channels.len() * PIXELS);
                let gate = std::slice::from_raw_parts(gate.add(channels.start * PIXELS), out.len());
                apply_relu_grad(relu, gate, out);
            }
        }
    }
}
