//! Depthwise convolution and its gradient: each output channel reads one input channel.
//!
//! A band of the input channel is packed with its padding, rows and columns sorted by their remainders modulo the
//! stride. All rows have one length, so that a tap of the window is a fixed offset from a position to a pixel, and the
//! positions of a band are one row, the ends of whose rows are computed in vain: 2 of 9 columns of a 7x7 map, where
//! vectors of 16 along each row would leave 9 of 16 lanes idle.

use std::sync::Arc;

use crate::Shape;
use crate::engine::cpu::cost;
use crate::engine::cpu::cost::QuarterCycles;
use crate::engine::cpu::elementwise::apply_relu_grad;
use crate::engine::cpu::gemm::bounds;
use crate::engine::cpu::kernel::{Kernel, Operands, SliceKernel, Tile, channel_share};
use crate::engine::cpu::simd::{Isa, MAX_LANES, Simd, compiled};
use crate::engine::graph::ops::{Conv2d, Conv2dGrad, Window};

/// Vectors of positions that are summed together.
const VECTORS: usize = 6;
/// Floats of the largest packed band, so that it stays in the L1 cache beside its results.
const MAX_BAND_LEN: usize = 4 * 1024;

/// Depthwise convolution; a tile's groups are output channels.
pub(crate) struct DepthwiseConv2dKernel {
    /// (O, 1, KH, KW).
    weight: Arc<[f32]>,
    bias: Option<Arc<[f32]>>,
    window: Window,
    input: Shape,
    output: Shape,
    /// Output rows of a band.
    band: usize,
    /// Floats of a packed row of one remainder.
    run: usize,
    /// Packed rows of one remainder.
    rows: usize,
    /// Offset of each tap.
    offsets: Vec<u32>,
    /// Bounds of the results.
    bounds: [f32; 2],
    sums: unsafe fn(&TapSums),
    cost: QuarterCycles,
}

impl DepthwiseConv2dKernel {
    /// The kernel of `op`, whose groups are its input channels, with its weight and its bias.
    pub(crate) fn new(
        isa: Isa,
        op: &Conv2d,
        [input, output]: [Shape; 2],
        weight: Arc<[f32]>,
        bias: Option<Arc<[f32]>>,
    ) -> Self {
        let Window { kernel, stride, dilation, .. } = op.window;
        // Packed rows or columns beyond those of the positions.
        let behind = [0, 1].map(|axis| (op.window.extent()[axis] - 1) / stride[axis]);
        let run = output.w + behind[1];
        let remainders = stride[0] * stride[1];
        let fitting = (MAX_BAND_LEN / (remainders * run)).saturating_sub(behind[0]);
        let band = output.h.div_ceil(output.h.div_ceil(fitting.clamp(1, output.h)));
        let rows = band + behind[0];
        let taps =
            (0..kernel[0]).flat_map(|u| (0..kernel[1]).map(move |v| [u * dilation[0], v * dilation[1]]));
        let offsets = taps.map(|[down, right]| {
            let plane = (down % stride[0] * stride[1] + right % stride[1]) * rows * run;
            (plane + down / stride[0] * run + right / stride[1]) as u32
        });
        DepthwiseConv2dKernel {
            offsets: offsets.collect(),
            weight,
            bias,
            window: op.window,
            input,
            output,
            band,
            run,
            rows,
            bounds: bounds(op.relu),
            sums: compiled!(isa, S => unsafe fn(call: &TapSums) { tap_sums::<S>(call) }),
            cost: cost::depthwise(output.c * output.h * run * op.window.area())
                + output.c * remainders * (output.h + behind[0]) * run,
        }
    }

    /// Floats of a packed band, with those that are read beyond it.
    fn packed_len(&self) -> usize {
        self.window.stride[0] * self.window.stride[1] * self.rows * self.run + VECTORS * MAX_LANES
    }

    /// Floats of the sums of a band.
    fn sums_len(&self) -> usize {
        (self.band * self.run).next_multiple_of(VECTORS * MAX_LANES)
    }

    /// Packs what the output rows from `first` on read of channel `x`.
    fn pack(&self, x: &[f32], first: usize, packed: &mut [f32]) {
        let Window { stride: [sy, sx], padding: [[py, px], _], .. } = self.window;
        for (index, row) in packed.chunks_exact_mut(self.run).take(sy * sx * self.rows).enumerate() {
            let (plane, j) = (index / self.rows, index % self.rows);
            let (down, right) = (plane / sx, plane % sx);
            let y = ((first + j) * sy + down).wrapping_sub(py);
            if y >= self.input.h {
                row.fill(0.0);
                continue;
            }
            let line = &x[y * self.input.w..][..self.input.w];
            // Columns j of the packed row with 0 <= j * sx + right - px < width.
            let begin = px.saturating_sub(right).div_ceil(sx).min(self.run);
            let end = (self.input.w + px).saturating_sub(right).div_ceil(sx).clamp(begin, self.run);
            row[..begin].fill(0.0);
            row[end..].fill(0.0);
            if begin == end {
                continue;
            }
            let (inside, line) = (&mut row[begin..end], &line[begin * sx + right - px..]);
            match sx {
                1 => inside.copy_from_slice(&line[..inside.len()]),
                2 => {
                    let (pairs, rest) = line.as_chunks::<2>();
                    inside.iter_mut().zip(pairs).for_each(|(to, pair)| *to = pair[0]);
                    if let (Some(to), Some(&x)) = (inside.get_mut(pairs.len()), rest.first()) {
                        *to = x;
                    }
                }
                step => inside.iter_mut().zip(line.iter().step_by(step)).for_each(|(to, &x)| *to = x),
            }
        }
    }
}

impl Kernel for DepthwiseConv2dKernel {
    fn cost(&self, tile: Option<&Tile>) -> QuarterCycles {
        channel_share(self.cost, tile, self.output.c)
    }

    fn elements(&self, tile: Option<&Tile>, all: usize) -> usize {
        channel_share(all, tile, self.output.c)
    }

    fn scratch_len(&self) -> usize {
        self.packed_len() + self.sums_len()
    }

    fn tiles(&self, max: usize) -> Vec<Tile> {
        Tile::by_channel(self.output, max)
    }

    unsafe fn run(&self, tile: Option<&Tile>, operands: &Operands) {
        let channels = tile.map_or(0..self.output.c, |tile| tile.groups.clone());
        let (taps, multiplier) = (self.offsets.len(), self.output.c / self.input.c);
        let (width, plane) = (self.output.w, self.output.plane());
        // SAFETY: the scratch has this length and is this thread's; the input has been written, and no other thread
        // touches the tile's channels of the output.
        let (input, output, scratch) = unsafe {
            let first = operands.output().add(channels.start * plane);
            let output = std::slice::from_raw_parts_mut(first, channels.len() * plane);
            (operands.input_slice(0), output, operands.scratch_slice(self.scratch_len()))
        };
        let (packed, sums) = scratch.split_at_mut(self.packed_len());
        // What is read beyond the band takes part in sums that nobody reads; it is a number all the same.
        packed.fill(0.0);
        for (channel, out) in channels.zip(output.chunks_exact_mut(plane)) {
            let x = &input[channel / multiplier * self.input.plane()..][..self.input.plane()];
            for (band, out) in out.chunks_mut(self.band * width).enumerate() {
                let rows = out.len() / width;
                self.pack(x, band * self.band, packed);
                let call = TapSums {
                    x: packed.as_ptr(),
                    weight: self.weight[channel * taps..][..taps].as_ptr(),
                    offsets: self.offsets.as_ptr(),
                    taps,
                    bias: self.bias.as_ref().map_or(0.0, |bias| bias[channel]),
                    bounds: self.bounds,
                    out: sums.as_mut_ptr(),
                    positions: rows * self.run,
                };
                debug_assert!(call.positions <= sums.len());
                // SAFETY: the CPU has the instruction set. The furthest tap of the last position is inside the packed
                // band, which is readable a block of vectors further, and the sums have whole blocks.
                unsafe { (self.sums)(&call) };
                for (out, sums) in out.chunks_exact_mut(width).zip(sums.chunks_exact(self.run)) {
                    out.copy_from_slice(&sums[..width]);
                }
            }
        }
    }
}

/// Operands of [`tap_sums`].
struct TapSums {
    /// Pixel of the first tap of position 0, if its offset is 0.
    x: *const f32,
    /// A weight for each tap.
    weight: *const f32,
    /// Offset of each tap.
    offsets: *const u32,
    taps: usize,
    bias: f32,
    bounds: [f32; 2],
    /// The sums, one after another.
    out: *mut f32,
    positions: usize,
}

/// out[i] = bias + sum over taps of weight[tap] * x[offset[tap] + i], between the bounds.
///
/// # Safety
/// The CPU has the instruction set of `S`. `x` is readable from every offset on for the positions, rounded up to whole
/// blocks of vectors, and `out` writable for as many.
#[inline(always)]
unsafe fn tap_sums<S: Simd>(call: &TapSums) {
    // SAFETY: as the caller promises.
    unsafe {
        let [low, high] = call.bounds.map(|bound| S::splat(bound));
        for first in (0..call.positions).step_by(VECTORS * S::LANES) {
            let mut sums = [S::splat(call.bias); VECTORS];
            for tap in 0..call.taps {
                let weight = S::splat(*call.weight.add(tap));
                let x = call.x.add(*call.offsets.add(tap) as usize + first);
                for (v, sum) in sums.iter_mut().enumerate() {
                    *sum = S::fma(weight, S::load(x.add(v * S::LANES)), *sum);
                }
            }
            for (v, &sum) in sums.iter().enumerate() {
                // Both propagate NaN, as their second argument.
                S::store(call.out.add(first + v * S::LANES), S::min(high, S::max(low, sum)));
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
