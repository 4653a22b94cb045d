//! Gradient of a convolution with respect to its input. First the product of the transposed
//! weights with the gradient: for every (input channel, window row, window column) a small map
//! over the output positions. Then each input pixel gathers its share, in a fixed order.

use super::Part;
use super::weight::{PackedWeight, choose_kernel};
use crate::Shape;
use crate::engine::cpu::aligned::Arena;
use crate::engine::cpu::gemm::{OVERREAD, Tile, TileKernel};
use crate::engine::cpu::simd::Isa;
use crate::engine::cpu::{elementwise, gemm};
use crate::engine::graph::ops::{Conv2dGrad, ReluRule, Window};

/// A convolution's gradient with its weights packed for one kind of CPU.
pub(in crate::engine::cpu) struct PackedConv2dGrad {
    weight: PackedWeight,
    kernel: TileKernel,
    offsets: Vec<u32>,
    window: Window,
    input: Shape,
    grad: Shape,
    relu: Option<ReluRule>,
    whole: Part,
}

impl PackedConv2dGrad {
    /// Packs `op`, which reads a gradient of shape `grad`.
    pub(in crate::engine::cpu) fn new(
        arena: &mut Arena,
        isa: Isa,
        op: &Conv2dGrad,
        grad: Shape,
        weight: &[f32],
    ) -> Self {
        let taps = op.input.c * op.window.area();
        let kernel = choose_kernel(gemm::kernels(isa), op.out, taps, grad.plane());
        PackedConv2dGrad {
            weight: PackedWeight::new(arena, &kernel, taps, op.out, |tap, o| weight[o * taps + tap], None),
            kernel,
            offsets: (0..op.out).map(|o| (o * grad.plane()) as u32).collect(),
            window: op.window,
            input: op.input,
            grad,
            relu: op.relu,
            whole: Part { groups: 0..op.input.c, pixels: 0..op.input.plane() },
        }
    }

    /// The one part that is everything.
    pub(in crate::engine::cpu) fn whole(&self) -> &Part {
        &self.whole
    }

    /// Scratch numbers that [`PackedConv2dGrad::run`] needs.
    pub(in crate::engine::cpu) fn scratch_len(&self) -> usize {
        let most = self.weight.channels + 2 * self.weight.group_channels();
        most * self.grad.plane() + OVERREAD
    }

    /// At most `parts` parts that make up the whole; their groups are input channels.
    pub(in crate::engine::cpu) fn parts(&self, parts: usize) -> Vec<Part> {
        Part::by_channel(self.input, parts)
    }

    /// Computes one part for one image; `gate` is the value whose ReLU gates the result.
    ///
    /// # Safety
    /// `grad`, `gate` and `output` are the step's slots, with [`OVERREAD`] readable numbers
    /// around the gradient; `scratch` has `scratch_len()` numbers; nobody else writes the part.
    pub(in crate::engine::cpu) unsafe fn run(
        &self,
        part: &Part,
        grad: *const f32,
        gate: Option<*const f32>,
        output: *mut f32,
        scratch: *mut f32,
    ) {
        let area = self.window.area();
        let size = self.weight.group_channels();
        let first = part.groups.start * area / size;
        let end = (part.groups.end * area).div_ceil(size);
        let plane = self.grad.plane();
        for group in first..end {
            let (weight, bias, channels) = self.weight.group(group);
            for pixel in (0..plane).step_by(self.kernel.pixels()) {
                // SAFETY: the tile lies in the scratch, its terms in the gradient.
                unsafe {
                    let tile = Tile {
                        weight: weight.as_ptr(),
                        x: grad.add(pixel),
                        offsets: self.offsets.as_ptr(),
                        k: self.weight.k,
                        bias: bias.as_ptr(),
                        out: scratch.add((group - first) * size * plane + pixel),
                        out_stride: plane,
                        channels,
                        pixels: self.kernel.pixels().min(plane - pixel),
                        relu: false,
                    };
                    self.kernel.run(&tile);
                }
            }
        }
        for channel in part.groups.clone() {
            // SAFETY: the products of this channel's taps, its pixels and its gate.
            unsafe {
                let taps = std::slice::from_raw_parts(
                    scratch.add((channel * area - first * size) * plane),
                    area * plane,
                );
                let out = std::slice::from_raw_parts_mut(
                    output.add(channel * self.input.plane()),
                    self.input.plane(),
                );
                self.gather(taps, out);
                if let (Some(rule), Some(gate)) = (self.relu, gate) {
                    let gate = std::slice::from_raw_parts(gate.add(channel * out.len()), out.len());
                    elementwise::relu_grad(rule, gate, out);
                }
            }
        }
    }

    /// Sums, for each input pixel, the products that reach it.
    fn gather(&self, taps: &[f32], out: &mut [f32]) {
        let Window { kernel: [_, kw], stride: [sy, sx], padding: [py, px] } = self.window;
        out.fill(0.0);
        for (tap, products) in taps.chunks_exact(self.grad.plane()).enumerate() {
            let (u, v) = (tap / kw, tap % kw);
            for (p, row) in products.chunks_exact(self.grad.w).enumerate() {
                let y = (p * sy + u).wrapping_sub(py);
                if y >= self.input.h {
                    continue;
                }
                let out = &mut out[y * self.input.w..][..self.input.w];
                for (q, &product) in row.iter().enumerate() {
                    if let Some(pixel) = out.get_mut((q * sx + v).wrapping_sub(px)) {
                        *pixel += product;
                    }
                }
            }
        }
    }
}
