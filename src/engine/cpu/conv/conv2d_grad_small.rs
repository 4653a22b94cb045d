//! Gradient of a convolution whose output has fewer pixels than half a vector has lanes: vectors of pixels
//! would be mostly empty. The transposed product computes the taps of each pixel from the weights as the
//! forward convolution has packed them.

use std::ops::Range;
use std::sync::Arc;

use crate::Shape;
use crate::engine::cpu::cost;
use crate::engine::cpu::cost::QuarterCycles;
use crate::engine::cpu::elementwise::apply_relu_grad;
use crate::engine::cpu::gemm::{COLUMNS, TransposedKernels, transposed_kernels};
use crate::engine::cpu::kernel::{Kernel, Operands, Tile, channel_share};
use crate::engine::cpu::packed_weight::PackedWeight;
use crate::engine::cpu::simd::Isa;
use crate::engine::graph::ops::{Conv2dGrad, ReluGrad, Window};

/// For one output pixel: (tap of the window, input pixel under it).
type Taps = Vec<(u32, u32)>;

/// The taps of every output pixel that are inside the input.
fn taps(window: &Window, input: Shape, output: Shape) -> Vec<Taps> {
    let Window { kernel: [kh, kw], stride: [sy, sx], padding: [[py, px], _], dilation: [dy, dx] } = *window;
    let pixel = |p: usize| {
        let (row, column) = (p / output.w * sy, p % output.w * sx);
        let inside = (0..kh * kw).filter_map(|tap| {
            let y = (row + tap / kw * dy).wrapping_sub(py);
            let x = (column + tap % kw * dx).wrapping_sub(px);
            (y < input.h && x < input.w).then(|| (tap as u32, (y * input.w + x) as u32))
        });
        inside.collect()
    };
    (0..output.plane()).map(pixel).collect()
}

/// Writes the `pixels` of a gradient of planes of `plane` pixels to `columns`: a row of `row` floats for each pixel, with
/// all channels side by side, and zeros elsewhere.
pub(super) fn gather_pixels(
    grad: &[f32],
    plane: usize,
    pixels: Range<usize>,
    columns: &mut [f32],
    row: usize,
) {
    columns.fill(0.0);
    for (pixel, column) in pixels.zip(columns.chunks_exact_mut(row)) {
        for (to, from) in column.iter_mut().zip(grad.chunks_exact(plane)) {
            *to = from[pixel];
        }
    }
}

/// The kernel for small outputs; a tile's groups are input channels.
pub(crate) struct SmallConv2dGradKernel {
    kernels: TransposedKernels,
    weight: Arc<PackedWeight>,
    taps: Vec<Taps>,
    area: usize,
    input: Shape,
    relu: Option<ReluGrad>,
    cost: QuarterCycles,
}

impl SmallConv2dGradKernel {
    /// Whether a gradient of shape `grad` is so small.
    pub(crate) fn is_small(isa: Isa, grad: Shape) -> bool {
        2 * grad.plane() <= isa.lanes()
    }

    /// The kernel of `op`, which reads a gradient of shape `grad`, with its packed weight.
    pub(crate) fn new(
        isa: Isa,
        op: &Conv2dGrad,
        grad: Shape,
        weight: Arc<PackedWeight>,
        multiply_adds: u64,
    ) -> Self {
        SmallConv2dGradKernel {
            kernels: transposed_kernels(isa),
            weight,
            taps: taps(&op.window, op.input, grad),
            area: op.window.area(),
            input: op.input,
            relu: op.relu,
            // Each weight that is read serves that many columns.
            cost: cost::L3_WEIGHT * multiply_adds as usize / COLUMNS,
        }
    }
}

impl Kernel for SmallConv2dGradKernel {
    fn cost(&self, tile: Option<&Tile>) -> QuarterCycles {
        channel_share(self.cost, tile, self.input.c)
    }

    /// The gradients of some pixels side by side, and the taps of those pixels.
    fn scratch_len(&self) -> usize {
        COLUMNS * (self.weight.padded_channels() + self.weight.k)
    }

    fn tiles(&self, max: usize) -> Vec<Tile> {
        Tile::by_channel(self.input, max)
    }

    unsafe fn run(&self, tile: Option<&Tile>, operands: &Operands) {
        let channels = tile.map_or(0..self.input.c, |tile| tile.groups.clone());
        let (plane, size) = (self.taps.len(), self.input.plane());
        let scratch = operands.scratch;
        // SAFETY: the scratch has `scratch_len` floats; the gradient has `plane` elements for each output
        // channel; the tile's channels are inside the output and its gate, and no other thread touches them.
        unsafe {
            let (right_len, taps_len) = (COLUMNS * self.weight.padded_channels(), COLUMNS * self.weight.k);
            let right = std::slice::from_raw_parts_mut(scratch, right_len);
            let products = std::slice::from_raw_parts_mut(scratch.add(right_len), taps_len);
            let grad = std::slice::from_raw_parts(operands.input(0), self.weight.channels * plane);
            let first = operands.output().add(channels.start * size);
            let out = std::slice::from_raw_parts_mut(first, channels.len() * size);
            out.fill(0.0);
            for (first, taps) in (0..plane).step_by(COLUMNS).zip(self.taps.chunks(COLUMNS)) {
                gather_pixels(grad, plane, first..first + taps.len(), right, right_len / COLUMNS);
                let units = channels.start * self.area..channels.end * self.area;
                let call = self.weight.transposed(1, units, right.as_ptr(), products.as_mut_ptr());
                (self.kernels.four)(&call);
                let products = products.chunks_exact(COLUMNS * self.area);
                for (out, products) in out.chunks_exact_mut(size).zip(products) {
                    for (p, taps) in taps.iter().enumerate() {
                        for &(tap, to) in taps {
                            out[to as usize] += products[tap as usize * COLUMNS + p];
                        }
                    }
                }
            }
            if let (Some(relu), Some(gate)) = (self.relu, operands.optional_input(1)) {
                let gate = std::slice::from_raw_parts(gate.add(channels.start * size), out.len());
                apply_relu_grad(relu, gate, out);
            }
        }
    }
}
