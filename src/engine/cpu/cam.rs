//! From the gradient of a head's first convolution to a heat map.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::aligned::Arena;
use super::conv::{PackedWeight, Part};
use super::elementwise;
use super::gemm::{TransposedKernels, transposed_kernels};
use super::gemv::{RowSum, RowSumKernel};
use super::simd::Isa;
use crate::Shape;
use crate::engine::bilinear::bilinear_into;
use crate::engine::graph::Param;
use crate::engine::graph::ops::{BorderClasses, PooledConv2dGrad};

/// The pooled gradient: weights[i] = sum over terms t and channels o of right[t, o] * weight[o, i, t].
///
/// Where the positions fall into fewer classes than the window has taps, a term is a class: the sums of
/// the kernel over its valid taps times the gradient's over its positions. Else a term is a tap, and
/// the weights are the kernel as the forward convolution has packed it: no copy, and often still in a
/// cache.
pub(super) struct PooledGrad {
    kernels: TransposedKernels,
    weight: Arc<PackedWeight>,
    classes: BorderClasses,
    /// Rows and columns of the window where terms are taps.
    taps: Option<[usize; 2]>,
    /// By what the sums are multiplied: 1 / (H W), unless the kernel's sums have it.
    share: f32,
}

/// (O, I, KH, KW) of the convolution of `op`.
fn dims(op: &PooledConv2dGrad, params: &[Param]) -> [usize; 4] {
    params[op.weight.index()].dims[..].try_into().expect("a convolution's weight has four dimensions")
}

impl PooledGrad {
    /// Whether the terms of `op` are classes, not taps.
    pub(super) fn is_by_class(op: &PooledConv2dGrad, params: &[Param]) -> bool {
        let [_, _, rows, columns] = dims(op, params);
        op.classes.count() < rows * columns
    }

    /// Prepares `op` with classes as terms.
    pub(super) fn by_class(arena: &mut Arena, isa: Isa, op: &PooledConv2dGrad, params: &[Param]) -> Self {
        let [outputs, inputs, ..] = dims(op, params);
        let (sums, count) = (op.kernel_sums(params), op.classes.count());
        let at = |o: usize, i: usize| sums[(i % count * outputs + o) * inputs + i / count];
        let weight = PackedWeight::for_transposed(arena, isa, outputs, inputs * count, at);
        let (kernels, classes) = (transposed_kernels(isa), op.classes.clone());
        PooledGrad { kernels, weight, classes, taps: None, share: 1.0 }
    }

    /// Prepares `op` with taps as terms; `weight` is its weight as the forward pass has packed it.
    pub(super) fn by_tap(
        isa: Isa,
        op: &PooledConv2dGrad,
        params: &[Param],
        weight: Arc<PackedWeight>,
    ) -> Self {
        let [_, _, rows, columns] = dims(op, params);
        let (kernels, classes) = (transposed_kernels(isa), op.classes.clone());
        PooledGrad { kernels, weight, classes, taps: Some([rows, columns]), share: 1.0 / op.pixels as f32 }
    }

    /// Channels of the tap.
    fn channels(&self) -> usize {
        self.weight.k / self.terms()
    }

    fn terms(&self) -> usize {
        self.taps.map_or(self.classes.count(), |[rows, columns]| rows * columns)
    }

    /// Scratch numbers that [`PooledGrad::run`] needs.
    pub(super) fn scratch_len(&self) -> usize {
        let tap_sums = self.taps.map_or(0, |[rows, columns]| rows * columns);
        (self.classes.count() + tap_sums) * self.weight.padded_channels()
    }

    /// At most `parts` parts that make up the whole; their groups are channels of the tap.
    pub(super) fn parts(&self, parts: usize) -> Vec<Part> {
        Part::by_channel(Shape::vector(self.channels()), parts)
    }

    /// The weights of the tap's channels in `part`, or of all.
    pub(super) fn run(&self, part: Option<&Part>, grad: &[f32], out: &mut [f32], scratch: &mut [f32]) {
        let channels = part.map_or(0..self.channels(), |part| part.groups.clone());
        let (class_sums, tap_sums) =
            scratch.split_at_mut(self.classes.count() * self.weight.padded_channels());
        self.class_sums(grad, class_sums);
        let right = match self.taps {
            Some(window) => {
                self.tap_sums(window, class_sums, tap_sums);
                tap_sums
            }
            None => class_sums,
        };
        assert!(out.len() == channels.len() && channels.end <= self.channels());
        let call = self.weight.transposed(self.terms(), channels, right.as_ptr(), out.as_mut_ptr());
        // SAFETY: sizes were checked, and the weight is packed for kernels of this kind.
        unsafe { (self.kernels.one)(&call) };
        out.iter_mut().for_each(|weight| *weight *= self.share);
    }

    /// (classes, O): the gradient summed over each class's positions.
    fn class_sums(&self, grad: &[f32], class_sums: &mut [f32]) {
        let (row, classes) = (self.weight.padded_channels(), &self.classes);
        let (positions, width) = (classes.rows.len() * classes.columns.len(), classes.columns.len());
        class_sums.fill(0.0);
        for position in 0..positions {
            let class = classes.class(position / width, position % width);
            let sums = &mut class_sums[class * row..][..row];
            for (sum, grad) in sums.iter_mut().zip(grad.chunks_exact(positions)) {
                *sum += grad[position];
            }
        }
    }

    /// (taps, O): the gradient summed over the positions at which each tap is valid.
    fn tap_sums(&self, window: [usize; 2], class_sums: &[f32], tap_sums: &mut [f32]) {
        let (row, classes) = (self.weight.padded_channels(), &self.classes);
        let tap_sums = &mut tap_sums[..self.terms() * row];
        tap_sums.fill(0.0);
        let valid = |(first, end): (usize, usize), tap: usize| (first..end).contains(&tap);
        for (tap, taps) in tap_sums.chunks_exact_mut(row).enumerate() {
            let (u, v) = (tap / window[1], tap % window[1]);
            for (class, sums) in class_sums.chunks_exact(row).enumerate() {
                let (r, c) = (class / classes.valid_columns.len(), class % classes.valid_columns.len());
                if valid(classes.valid_rows[r], u) && valid(classes.valid_columns[c], v) {
                    taps.iter_mut().zip(sums).for_each(|(tap, sum)| *tap += sum);
                }
            }
        }
    }
}

/// Pooled gradient, weighted sum and range in one step. Threads share the channels; the last to
/// end makes the map.
pub(super) struct CamStep {
    pub(super) pooled: PooledGrad,
    row_sum: RowSumKernel,
    relu: bool,
    tap: Shape,
    /// Channels whose weights the parts of a run have made.
    done: AtomicUsize,
}

impl CamStep {
    /// The step for a tap of shape `tap`; see [`super::gemv`] for the kernel.
    pub(super) fn new(pooled: PooledGrad, row_sum: RowSumKernel, relu: bool, tap: Shape) -> Self {
        CamStep { pooled, row_sum, relu, tap, done: AtomicUsize::new(0) }
    }

    /// Computes one part, or all: channel weights, map and range, one after another in `record`.
    ///
    /// # Safety
    /// `grad` is the gradient; `tap` the tap, readable a vector beyond its end; `record` the step's
    /// result. The parts of one run make up the whole, and no part of another begins before they end.
    pub(super) unsafe fn run(
        &self,
        part: Option<&Part>,
        grad: &[f32],
        tap: &[f32],
        record: *mut f32,
        scratch: &mut [f32],
    ) {
        let Shape { c: channels, .. } = self.tap;
        let own = part.map_or(0..channels, |part| part.groups.clone());
        // SAFETY: nobody else writes these weights.
        let weights = unsafe { std::slice::from_raw_parts_mut(record.add(own.start), own.len()) };
        self.pooled.run(part, grad, weights, scratch);
        if part.is_some() {
            let done = self.done.fetch_add(own.len(), Ordering::AcqRel) + own.len();
            if done < channels {
                return;
            }
            self.done.store(0, Ordering::Relaxed);
        }
        // SAFETY: every part has ended, so that the whole record is this thread's.
        let record = unsafe { std::slice::from_raw_parts_mut(record, channels + self.tap.plane() + 2) };
        let (weights, rest) = record.split_at_mut(channels);
        let (map, limits) = rest.split_at_mut(self.tap.plane());
        weighted_sum(self.row_sum, self.relu, weights, tap, map);
        range(map, limits);
    }
}

/// Sum of the channels of `x`, each times its weight.
pub(super) fn weighted_sum(kernel: RowSumKernel, relu: bool, weights: &[f32], x: &[f32], out: &mut [f32]) {
    assert_eq!(x.len(), weights.len() * out.len());
    // SAFETY: sizes were checked; a step's input may be read beyond its end.
    unsafe {
        kernel(&RowSum {
            matrix: x.as_ptr(),
            rows: weights.len(),
            columns: out.len(),
            scales: weights.as_ptr(),
            out: out.as_mut_ptr(),
        });
    }
    if relu {
        for out in out {
            *out = elementwise::positive(*out);
        }
    }
}

/// (minimum, maximum); NaN where a number is NaN. Side by side, so that the compiler can use vectors.
pub(super) fn range(x: &[f32], out: &mut [f32]) {
    const SIDE: usize = 16;
    let (mut least, mut most, mut nan) = ([x[0]; SIDE], [x[0]; SIDE], [false; SIDE]);
    for chunk in x.chunks(SIDE) {
        for (i, &x) in chunk.iter().enumerate() {
            least[i] = if x < least[i] { x } else { least[i] };
            most[i] = if x > most[i] { x } else { most[i] };
            nan[i] |= x.is_nan();
        }
    }
    let any = |better: fn(f32, f32) -> f32, numbers: [f32; SIDE]| {
        if nan.contains(&true) { f32::NAN } else { numbers.into_iter().reduce(better).unwrap_or(x[0]) }
    };
    out[0] = any(f32::min, least);
    out[1] = any(f32::max, most);
}

/// Resizes the map, subtracts its minimum and divides by its maximum.
pub(super) fn heat(from: Shape, to: Shape, map: &[f32], out: &mut [f32], scratch: &mut [f32]) {
    bilinear_into(map, (from.h, from.w), (to.h, to.w), out, &mut scratch[..from.h * to.w]);
    let mut limits = [0.0; 2];
    range(out, &mut limits);
    let [min, max] = limits;
    // A division each: the reciprocal of a tiny range would be infinite.
    let range = if max > min { max - min } else { 1.0 };
    for x in out {
        *x = (*x - min) / range;
    }
}
