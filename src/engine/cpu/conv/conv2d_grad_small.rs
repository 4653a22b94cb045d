//! Gradient of a convolution whose result has only a few pixels, fewer than a vector: there vectors
//! of pixels would be mostly empty. The transposed product gives the taps of each pixel from the
//! weights as the forward convolution has packed them.

use std::sync::Arc;

use super::{PackedWeight, Part};
use crate::Shape;
use crate::engine::cpu::elementwise;
use crate::engine::cpu::gemm::{COLUMNS, TransposedKernels};
use crate::engine::graph::ops::{Conv2dGrad, ReluRule, Window};

/// For one output pixel: which tap of the window lies on which input pixel.
type Taps = Vec<(u32, u32)>;

/// The taps of every output pixel that lie inside the input.
fn taps(window: &Window, input: Shape, output: Shape) -> Vec<Taps> {
    let Window { kernel: [kh, kw], stride: [sy, sx], padding: [py, px] } = *window;
    let pixel = |p: usize| {
        let (row, column) = (p / output.w * sy, p % output.w * sx);
        let inside = (0..kh * kw).filter_map(|tap| {
            let (y, x) = ((row + tap / kw).wrapping_sub(py), (column + tap % kw).wrapping_sub(px));
            (y < input.h && x < input.w).then(|| (tap as u32, (y * input.w + x) as u32))
        });
        inside.collect()
    };
    (0..output.plane()).map(pixel).collect()
}

/// See the module's documentation.
pub(in crate::engine::cpu) struct FewPixelConv2dGrad {
    kernels: TransposedKernels,
    weight: Arc<PackedWeight>,
    taps: Vec<Taps>,
    area: usize,
    input: Shape,
    relu: Option<ReluRule>,
    whole: Part,
}

impl FewPixelConv2dGrad {
    /// Prepares `op`, which reads a gradient of shape `grad` and whose weight is `weight`.
    pub(in crate::engine::cpu) fn new(
        kernels: TransposedKernels,
        op: &Conv2dGrad,
        grad: Shape,
        weight: Arc<PackedWeight>,
    ) -> Self {
        FewPixelConv2dGrad {
            kernels,
            weight,
            taps: taps(&op.window, op.input, grad),
            area: op.window.area(),
            input: op.input,
            relu: op.relu,
            whole: Part { groups: 0..op.input.c, pixels: 0..op.input.plane() },
        }
    }

    /// The one part that is everything.
    pub(in crate::engine::cpu) fn whole(&self) -> &Part {
        &self.whole
    }

    /// Scratch numbers that [`FewPixelConv2dGrad::run`] needs: some pixels' gradients side by side,
    /// and the taps of those pixels.
    pub(in crate::engine::cpu) fn scratch_len(&self) -> usize {
        COLUMNS * (self.weight.padded_channels() + self.weight.k)
    }

    /// At most `parts` parts that make up the whole; their groups are input channels.
    pub(in crate::engine::cpu) fn parts(&self, parts: usize) -> Vec<Part> {
        Part::by_channel(self.input, parts)
    }

    /// Computes one part for one image; `gate` is the value whose ReLU gates the result.
    ///
    /// # Safety
    /// `grad`, `gate` and `output` are the step's slots; `scratch` has `scratch_len()` numbers; nobody
    /// else writes the part.
    pub(in crate::engine::cpu) unsafe fn run(
        &self,
        part: &Part,
        grad: *const f32,
        gate: Option<*const f32>,
        output: *mut f32,
        scratch: *mut f32,
    ) {
        let (plane, size) = (self.taps.len(), self.input.plane());
        let channels = part.groups.clone();
        // SAFETY: the scratch is as long as said; the gradient has `plane` numbers for each output
        // channel; the output and its gate have the part's channels.
        unsafe {
            let (right_len, taps_len) = (COLUMNS * self.weight.padded_channels(), COLUMNS * self.weight.k);
            let right = std::slice::from_raw_parts_mut(scratch, right_len);
            let products = std::slice::from_raw_parts_mut(scratch.add(right_len), taps_len);
            let grad = std::slice::from_raw_parts(grad, self.weight.channels * plane);
            let first = output.add(channels.start * size);
            let out = std::slice::from_raw_parts_mut(first, channels.len() * size);
            out.fill(0.0);
            for (first, taps) in (0..plane).step_by(COLUMNS).zip(self.taps.chunks(COLUMNS)) {
                right.fill(0.0);
                for (p, row) in right.chunks_exact_mut(right_len / COLUMNS).enumerate().take(taps.len()) {
                    for (to, from) in row.iter_mut().zip(grad.chunks_exact(plane)) {
                        *to = from[first + p];
                    }
                }
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
            if let (Some(rule), Some(gate)) = (self.relu, gate) {
                let gate = std::slice::from_raw_parts(gate.add(channels.start * size), out.len());
                elementwise::relu_grad(rule, gate, out);
            }
        }
    }
}
