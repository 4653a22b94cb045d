//! Depthwise convolution and its gradient: each output channel reads one input channel.
//!
//! A band of the input channel is packed with its padding, rows and columns sorted by their remainders modulo the
//! stride, so that every tap of the window reads consecutive pixels. Vectors run along a row; some rows are computed
//! together, since a row of the input has taps in several rows of the result.

use std::sync::Arc;

use crate::Shape;
use crate::engine::cpu::cost;
use crate::engine::cpu::cost::QuarterCycles;
use crate::engine::cpu::elementwise::apply_relu_grad;
use crate::engine::cpu::gemm::bounds;
use crate::engine::cpu::kernel::{Kernel, Operands, SliceKernel, Tile, channel_share};
use crate::engine::cpu::simd::{Isa, MAX_LANES, Simd, compiled};
use crate::engine::graph::ops::{Conv2d, Conv2dGrad, Window};

/// Output rows that are computed together.
const ROWS: usize = 4;
/// Floats of the largest packed band, so that it stays in the L1 cache.
const MAX_BAND_LEN: usize = 4 * 1024;

/// Depthwise convolution; a tile's groups are output channels.
pub(crate) struct DepthwiseConv2dKernel {
    /// (O, 1, KH, KW).
    weight: Arc<[f32]>,
    bias: Option<Arc<[f32]>>,
    output: Shape,
    layout: Layout,
    /// Bounds of the results.
    bounds: [f32; 2],
    pack: unsafe fn(&Layout, *const f32, usize, *mut f32),
    sums: unsafe fn(&Sums),
    cost: QuarterCycles,
}

/// How a band of a channel is packed.
struct Layout {
    window: Window,
    input: Shape,
    /// Output rows of a band.
    band: usize,
    /// Floats of a packed row of one remainder.
    run: usize,
    /// Packed rows of one remainder, with those that are read in vain where a band's rows are no multiple of [`ROWS`].
    rows: usize,
    /// Whether all rows are in one band: then what is beside the image stays zero.
    is_whole: bool,
}

impl Layout {
    fn new(window: Window, input: Shape, output: Shape) -> Layout {
        // Packed rows or columns beyond those of the positions.
        let behind = [0, 1].map(|axis| (window.extent()[axis] - 1) / window.stride[axis]);
        let run = output.w + behind[1];
        let remainders = window.stride[0] * window.stride[1];
        let fitting = (MAX_BAND_LEN / (remainders * run)).saturating_sub(behind[0]).max(ROWS);
        let band = output.h.div_ceil(output.h.div_ceil(fitting.min(output.h))).next_multiple_of(ROWS);
        let is_whole = band >= output.h;
        Layout { window, input, band, run, rows: band + behind[0], is_whole }
    }

    /// Floats of the rows of one remainder of rows and one of columns.
    fn plane_len(&self) -> usize {
        self.rows * self.run
    }

    /// Floats of a packed band, with those that the last vectors read beyond it.
    fn len(&self) -> usize {
        self.window.stride[0] * self.window.stride[1] * self.plane_len() + MAX_LANES
    }

    /// Offset of each tap in a packed band.
    fn offsets(&self) -> Vec<u32> {
        let Window { kernel, stride, dilation, .. } = self.window;
        let taps =
            (0..kernel[0]).flat_map(|u| (0..kernel[1]).map(move |v| [u * dilation[0], v * dilation[1]]));
        let offset = |[down, right]: [usize; 2]| {
            let plane = (down % stride[0] * stride[1] + right % stride[1]) * self.plane_len();
            (plane + down / stride[0] * self.run + right / stride[1]) as u32
        };
        taps.map(offset).collect()
    }
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
        // Half of a longer vector would be idle.
        let isa = if isa == Isa::Avx512 && output.w <= Isa::Avx2.lanes() { Isa::Avx2 } else { isa };
        let layout = Layout::new(op.window, input, output);
        let vectors = output.c * output.h.next_multiple_of(ROWS) * output.w.div_ceil(isa.lanes());
        let packed = output.c * layout.input.plane() * 2 / isa.lanes();
        DepthwiseConv2dKernel {
            weight,
            bias,
            output,
            bounds: bounds(op.relu),
            pack: compiled!(isa, S => unsafe fn(layout: &Layout, x: *const f32, first: usize, packed: *mut f32) {
                pack::<S>(layout, x, first, packed)
            }),
            sums: sums_of(isa, &op.window),
            cost: cost::VECTOR_FMA * vectors * (op.window.area() + 4) + cost::PACKED_VECTOR * packed,
            layout,
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
        self.layout.len()
    }

    fn tiles(&self, max: usize) -> Vec<Tile> {
        Tile::by_channel(self.output, max)
    }

    unsafe fn run(&self, tile: Option<&Tile>, operands: &Operands) {
        let channels = tile.map_or(0..self.output.c, |tile| tile.groups.clone());
        let Layout { window, input, band, .. } = self.layout;
        let (area, multiplier) = (window.area(), self.output.c / input.c);
        let offsets = self.layout.offsets();
        // SAFETY: the scratch has this length and is this thread's.
        unsafe { operands.scratch_slice(self.layout.len()) }.fill(0.0);
        for channel in channels {
            for first in (0..self.output.h).step_by(band) {
                // SAFETY: the channels are inside the input, which is readable beyond its end, and inside the output, of
                // which no other thread touches them; the scratch holds a packed band.
                unsafe {
                    let x = operands.input(0).add(channel / multiplier * input.plane());
                    (self.pack)(&self.layout, x, first, operands.scratch);
                    (self.sums)(&Sums {
                        x: operands.scratch,
                        run: self.layout.run,
                        plane: self.layout.plane_len(),
                        weight: self.weight[channel * area..][..area].as_ptr(),
                        offsets: &offsets,
                        bias: self.bias.as_ref().map_or(0.0, |bias| bias[channel]),
                        bounds: self.bounds,
                        out: operands.output().add(channel * self.output.plane() + first * self.output.w),
                        width: self.output.w,
                        rows: band.min(self.output.h - first),
                    });
                }
            }
        }
    }
}

/// Packs what the output rows from `first` on read of channel `x`. What is beside the image in rows of it is zero before.
///
/// # Safety
/// The CPU has the instruction set of `S`. `x` is valid for the channel and readable two vectors beyond it, and `packed`
/// has room for a band.
#[inline(always)]
unsafe fn pack<S: Simd>(layout: &Layout, x: *const f32, first: usize, packed: *mut f32) {
    let &Layout { window, input, run, rows, is_whole, .. } = layout;
    let Window { stride: [sy, sx], padding: [[py, px], _], .. } = window;
    for plane in 0..sy * sx {
        let (down, right) = (plane / sx, plane % sx);
        // Columns j of the packed row with 0 <= j * sx + right - px < width.
        let begin = px.saturating_sub(right).div_ceil(sx).min(run);
        let end = (input.w + px).saturating_sub(right).div_ceil(sx).clamp(begin, run);
        for j in 0..rows {
            let y = ((first + j) * sy + down).wrapping_sub(py);
            // SAFETY: the rows and columns are inside of the band and of the channel. Whole vectors are read, which may end
            // beyond the row, and the columns written.
            unsafe {
                let row = packed.add((plane * rows + j) * run);
                if y >= input.h {
                    if !is_whole {
                        std::slice::from_raw_parts_mut(row, run).fill(0.0);
                    }
                    continue;
                }
                if begin == end {
                    continue;
                }
                let line = x.add(y * input.w + begin * sx + right - px);
                for i in (0..end - begin).step_by(S::LANES) {
                    let pixels = match sx {
                        1 => S::load(line.add(i)),
                        2 => S::load_even(line.add(2 * i)),
                        _ => {
                            let mut pixels = [0.0; MAX_LANES];
                            for (lane, pixel) in
                                pixels.iter_mut().enumerate().take(S::LANES.min(end - begin - i))
                            {
                                *pixel = *line.add((i + lane) * sx);
                            }
                            S::load(pixels.as_ptr())
                        }
                    };
                    S::store_first(row.add(begin + i), pixels, S::LANES.min(end - begin - i));
                }
            }
        }
    }
}

/// Operands of the sums of a band's rows.
struct Sums<'a> {
    /// The packed band.
    x: *const f32,
    /// Floats of a packed row.
    run: usize,
    /// Floats of one remainder's rows.
    plane: usize,
    /// (KH, KW).
    weight: *const f32,
    /// Offset of each tap.
    offsets: &'a [u32],
    bias: f32,
    bounds: [f32; 2],
    /// First pixel of the band in the output channel.
    out: *mut f32,
    /// Pixels of an output row.
    width: usize,
    /// Output rows.
    rows: usize,
}

/// The sums for windows of `window`'s kind: of the usual sizes, or of any.
fn sums_of(isa: Isa, window: &Window) -> unsafe fn(&Sums) {
    match (window.kernel, window.stride, window.dilation) {
        ([3, 3], [1, 1], [1, 1]) => {
            compiled!(isa, S => unsafe fn(call: &Sums) { square_sums::<S, 3, 1>(call) })
        }
        ([3, 3], [2, 2], [1, 1]) => {
            compiled!(isa, S => unsafe fn(call: &Sums) { square_sums::<S, 3, 2>(call) })
        }
        ([5, 5], [1, 1], [1, 1]) => {
            compiled!(isa, S => unsafe fn(call: &Sums) { square_sums::<S, 5, 1>(call) })
        }
        ([5, 5], [2, 2], [1, 1]) => {
            compiled!(isa, S => unsafe fn(call: &Sums) { square_sums::<S, 5, 2>(call) })
        }
        _ => compiled!(isa, S => unsafe fn(call: &Sums) { any_sums::<S>(call) }),
    }
}

/// Sums over windows of `K` by `K` taps with the stride `STRIDE`, row by row of the window.
///
/// # Safety
/// The CPU has the instruction set of `S`; the pointers are valid for a band.
#[inline(always)]
unsafe fn square_sums<S: Simd, const K: usize, const STRIDE: usize>(call: &Sums) {
    // SAFETY: as the caller promises: every tap of every position is in the packed band, which has rows for whole blocks and
    // is readable a vector further; only pixels of the output are written.
    unsafe {
        let mut weight = [[S::splat(0.0); K]; K];
        for (u, row) in weight.iter_mut().enumerate() {
            for (v, weight) in row.iter_mut().enumerate() {
                *weight = S::splat(*call.weight.add(u * K + v));
            }
        }
        for first in (0..call.rows).step_by(ROWS) {
            for column in (0..call.width).step_by(S::LANES) {
                let x = call.x.add(first * call.run + column);
                let mut sums = [S::splat(call.bias); ROWS];
                for y in 0..(ROWS - 1) * STRIDE + K {
                    let row = x.add(y % STRIDE * STRIDE * call.plane + y / STRIDE * call.run);
                    for v in 0..K {
                        let pixels = S::load(row.add(v % STRIDE * call.plane + v / STRIDE));
                        for (r, sum) in sums.iter_mut().enumerate() {
                            if let Some(weight) = y.checked_sub(r * STRIDE).and_then(|u| weight.get(u)) {
                                *sum = S::fma(weight[v], pixels, *sum);
                            }
                        }
                    }
                }
                store::<S>(call, [first, column], &sums);
            }
        }
    }
}

/// Sums over windows of any kind.
///
/// # Safety
/// As for [`square_sums`].
#[inline(always)]
unsafe fn any_sums<S: Simd>(call: &Sums) {
    // SAFETY: as for `square_sums`.
    unsafe {
        for first in (0..call.rows).step_by(ROWS) {
            for column in (0..call.width).step_by(S::LANES) {
                let x = call.x.add(first * call.run + column);
                let mut sums = [S::splat(call.bias); ROWS];
                for (tap, &offset) in call.offsets.iter().enumerate() {
                    let weight = S::splat(*call.weight.add(tap));
                    for (r, sum) in sums.iter_mut().enumerate() {
                        *sum = S::fma(weight, S::load(x.add(offset as usize + r * call.run)), *sum);
                    }
                }
                store::<S>(call, [first, column], &sums);
            }
        }
    }
}

/// Stores the sums of a block of rows from the output row `first` and `column` on, between the bounds.
///
/// # Safety
/// As for [`square_sums`].
#[inline(always)]
unsafe fn store<S: Simd>(call: &Sums, [first, column]: [usize; 2], sums: &[S::V; ROWS]) {
    // SAFETY: as for `square_sums`.
    unsafe {
        let [low, high] = call.bounds.map(|bound| S::splat(bound));
        let pixels = S::LANES.min(call.width - column);
        for (r, &sum) in sums.iter().enumerate().take(call.rows - first) {
            // Both propagate NaN, as their second argument.
            let value = S::min(high, S::max(low, sum));
            let out = call.out.add((first + r) * call.width + column);
            if pixels == S::LANES {
                S::store(out, value);
            } else {
                S::store_first(out, value, pixels);
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
