//! Convolutions whose output has only a few pixels, fewer than a vector: there the vectors run
//! along the weights. Forward, each output is a dot product of a weight row with the taps of its
//! pixel; backward, the taps of each pixel are a sum of weight rows. Both read the weights as
//! they are stored, so they share one copy.

use super::{Part, cut};
use crate::Shape;
use crate::cpu::elementwise;
use crate::cpu::rows::{COLUMNS, Dots, RowKernels, RowList, Rows, Sums, padded};
use crate::graph::ops::{Conv2d, Conv2dGrad, ReluRule, Window};

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

/// Forward; see the module's documentation.
pub(in super::super) struct FewPixelConv2d {
    kernels: RowKernels,
    weight: Rows,
    bias: Vec<f32>,
    taps: Vec<Taps>,
    area: usize,
    input: Shape,
    relu: bool,
    whole: Part,
}

impl FewPixelConv2d {
    /// Prepares `op`, whose weight is `weight`: a row for each output channel.
    pub(in super::super) fn new(
        kernels: RowKernels,
        op: &Conv2d,
        [input, output]: [Shape; 2],
        weight: Rows,
        bias: Option<&[f32]>,
    ) -> Self {
        FewPixelConv2d {
            kernels,
            weight,
            bias: bias.map_or_else(|| vec![0.0; op.out], <[f32]>::to_vec),
            taps: taps(&op.window, input, output),
            area: op.window.area(),
            input,
            relu: op.relu,
            whole: Part { groups: 0..op.out, pixels: 0..output.plane() },
        }
    }

    /// The one part that is everything.
    pub(in super::super) fn whole(&self) -> &Part {
        &self.whole
    }

    /// Scratch numbers that [`FewPixelConv2d::run`] needs.
    pub(in super::super) fn scratch_len(&self) -> usize {
        self.taps.len() * padded(self.weight.columns())
    }

    /// At most `parts` parts that make up the whole.
    pub(in super::super) fn parts(&self, parts: usize) -> Vec<Part> {
        let pixels = self.whole.pixels.clone();
        cut(self.weight.rows(), 1, parts)
            .into_iter()
            .map(|groups| Part { groups, pixels: pixels.clone() })
            .collect()
    }

    /// Computes one part for one image.
    ///
    /// # Safety
    /// `input` and `output` are the step's slots; `scratch` has `scratch_len()` numbers; nobody
    /// else writes the part.
    pub(in super::super) unsafe fn run(
        &self,
        part: &Part,
        input: *const f32,
        output: *mut f32,
        scratch: *mut f32,
    ) {
        let stride = padded(self.weight.columns());
        // SAFETY: sizes as promised.
        let input = unsafe { std::slice::from_raw_parts(input, self.input.len()) };
        // SAFETY: as above.
        let gathered = unsafe { std::slice::from_raw_parts_mut(scratch, self.scratch_len()) };
        gathered.fill(0.0);
        for (row, taps) in gathered.chunks_exact_mut(stride).zip(&self.taps) {
            let channels = row.chunks_exact_mut(self.area).zip(input.chunks_exact(self.input.plane()));
            for (row, plane) in channels {
                for &(tap, pixel) in taps {
                    row[tap as usize] = plane[pixel as usize];
                }
            }
        }
        let plane = self.taps.len();
        for first in (0..plane).step_by(COLUMNS) {
            // SAFETY: a row of taps for each pixel; the part's channels lie in the output.
            unsafe {
                (self.kernels.dots)(&Dots {
                    matrix: self.weight.matrix(),
                    columns: self.weight.columns(),
                    first: part.groups.start,
                    end: part.groups.end,
                    x: scratch.add(first * stride),
                    x_stride: stride,
                    vectors: COLUMNS.min(plane - first),
                    out: output.add(first),
                    out_row: plane,
                    out_column: 1,
                });
            }
        }
        for channel in part.groups.clone() {
            // SAFETY: a channel of the part.
            let out = unsafe { std::slice::from_raw_parts_mut(output.add(channel * plane), plane) };
            for x in out {
                *x += self.bias[channel];
                *x = if self.relu { elementwise::positive(*x) } else { *x };
            }
        }
    }
}

/// Backward; see the module's documentation.
pub(in super::super) struct FewPixelConv2dGrad {
    kernels: RowKernels,
    weight: Rows,
    taps: Vec<Taps>,
    area: usize,
    input: Shape,
    relu: Option<ReluRule>,
    whole: Part,
}

impl FewPixelConv2dGrad {
    /// Prepares `op`, which reads a gradient of shape `grad`; `weight` has a row for each of its channels.
    pub(in super::super) fn new(kernels: RowKernels, op: &Conv2dGrad, grad: Shape, weight: Rows) -> Self {
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
    pub(in super::super) fn whole(&self) -> &Part {
        &self.whole
    }

    /// Scratch numbers that [`FewPixelConv2dGrad::run`] needs: the taps of each pixel, and the
    /// list of rows that count.
    pub(in super::super) fn scratch_len(&self) -> usize {
        self.taps.len() * padded(self.weight.columns()) + self.weight.rows()
    }

    /// At most `parts` parts that make up the whole; their groups are input channels.
    pub(in super::super) fn parts(&self, parts: usize) -> Vec<Part> {
        Part::by_channel(self.input, parts)
    }

    /// Computes one part for one image; `gate` is the value whose ReLU gates the result.
    ///
    /// # Safety
    /// As [`FewPixelConv2d::run`]; the gradient is readable [`COLUMNS`] numbers beyond its end.
    pub(in super::super) unsafe fn run(
        &self,
        part: &Part,
        grad: *const f32,
        gate: Option<*const f32>,
        output: *mut f32,
        scratch: *mut f32,
    ) {
        let (plane, stride) = (self.taps.len(), padded(self.weight.columns()));
        // SAFETY: the scratch ends with one number for each row; any bits are a u32.
        let rows = unsafe {
            std::slice::from_raw_parts_mut(scratch.add(plane * stride).cast::<u32>(), self.weight.rows())
        };
        // SAFETY: the gradient has `plane` numbers a row.
        let grads = unsafe { std::slice::from_raw_parts(grad, rows.len() * plane) };
        // A ReLU lets little through: many rows count for nothing.
        let mut count = 0;
        for (row, grad) in grads.chunks_exact(plane).enumerate() {
            rows[count] = row as u32;
            count += usize::from(grad.iter().any(|&g| g != 0.0));
        }
        for first in (0..plane).step_by(COLUMNS) {
            // SAFETY: the part's columns of each pixel's taps lie in the scratch.
            unsafe {
                (self.kernels.sums)(&Sums {
                    matrix: self.weight.matrix(),
                    rows: RowList::Some(&rows[..count]),
                    scales: grad.add(first),
                    scale_stride: plane,
                    first: part.groups.start * self.area / 16 * 16,
                    end: part.groups.end * self.area,
                    vectors: COLUMNS.min(plane - first),
                    out: scratch.add(first * stride),
                    out_stride: stride,
                });
            }
        }
        for channel in part.groups.clone() {
            // SAFETY: a channel of the part, its gate, and its taps of each pixel.
            unsafe {
                let size = self.input.plane();
                let out = std::slice::from_raw_parts_mut(output.add(channel * size), size);
                out.fill(0.0);
                for (pixel, taps) in self.taps.iter().enumerate() {
                    let from = scratch.add(pixel * stride + channel * self.area);
                    for &(tap, to) in taps {
                        out[to as usize] += *from.add(tap as usize);
                    }
                }
                if let (Some(rule), Some(gate)) = (self.relu, gate) {
                    let gate = std::slice::from_raw_parts(gate.add(channel * size), size);
                    elementwise::relu_grad(rule, gate, out);
                }
            }
        }
    }
}
