//! Pooled gradient of a convolution: the spatial mean of the gradient with respect to its input, without
//! that gradient.
//!
//! `weights[i] = sum over terms t and channels o of right[t, o] * weight[o, i, t]`. Where the positions fall
//! into fewer border classes than the window has taps, a term is a class: the kernel summed over the
//! class's valid taps times the gradient summed over its positions. Otherwise a term is a tap, and the
//! weight is the one that the forward convolution has packed: no copy, and often still in a cache.

use std::sync::Arc;

use super::cost;
use super::cost::QuarterCycles;
use super::gemm::{TransposedKernels, transposable_channels, transposed_kernels};
use super::kernel::{Kernel, Operands, Tile, channel_share};
use super::packed_weight::{PackedWeight, WeightSource};
use super::simd::Isa;
use super::weight_cache::WeightCache;
use crate::engine::graph::Param;
use crate::engine::graph::ops::{BorderClasses, PooledConv2dGrad};
use crate::{Result, Shape};

/// Positions from which on the sums run along them, not along the channels.
const MANY_POSITIONS: usize = 16;

/// The kernel of a pooled gradient; a tile's groups are channels of the tap.
pub(crate) struct PooledGrad {
    kernels: TransposedKernels,
    weight: Arc<PackedWeight>,
    classes: BorderClasses,
    /// The class of each position.
    class_of: Vec<usize>,
    /// Rows and columns of the window where terms are taps.
    taps: Option<[usize; 2]>,
    /// Factor of the sums: 1 / (H W), unless the weight includes it.
    scale: f32,
    cost: QuarterCycles,
}

/// (O, I, KH, KW) of the convolution of `op`.
fn dims(op: &PooledConv2dGrad, params: &[Param]) -> [usize; 4] {
    params[op.weight.index()].dims[..].try_into().expect("a convolution's weight has four dimensions")
}

impl PooledGrad {
    /// Whether the terms of `op` are classes, not taps.
    pub(crate) fn is_by_class(op: &PooledConv2dGrad, params: &[Param]) -> bool {
        let [_, _, rows, columns] = dims(op, params);
        op.classes.count() < rows * columns
    }

    /// The kernel of `op`, with this weight, with classes as terms; the sums are computed in `sums`.
    ///
    /// # Errors
    /// When the system has too little memory.
    pub(crate) fn by_class(
        (weights, sums): (&WeightCache, &mut Vec<f32>),
        isa: Isa,
        op: &PooledConv2dGrad,
        (params, weight): (&[Param], &[f32]),
        multiply_adds: u64,
    ) -> Result<Self> {
        let [channels, inputs, ..] = dims(op, params);
        let (sums, count) = (op.kernel_sums(dims(op, params), weight, sums)?, op.classes.count());
        let k = inputs * count;
        let at = |o: usize, i: usize| sums[o * k + i];
        let source = WeightSource { channels, k, at, bias: None };
        let weight = weights.pack(transposable_channels(isa), &source)?;
        Ok(PooledGrad::new(isa, op, weight, None, 1.0, multiply_adds))
    }

    /// The kernel of `op` with taps as terms; `weight` is its weight, packed.
    pub(crate) fn by_tap(
        isa: Isa,
        op: &PooledConv2dGrad,
        params: &[Param],
        weight: Arc<PackedWeight>,
        multiply_adds: u64,
    ) -> Self {
        let [_, _, rows, columns] = dims(op, params);
        PooledGrad::new(isa, op, weight, Some([rows, columns]), 1.0 / op.pixels as f32, multiply_adds)
    }

    fn new(
        isa: Isa,
        op: &PooledConv2dGrad,
        weight: Arc<PackedWeight>,
        taps: Option<[usize; 2]>,
        scale: f32,
        multiply_adds: u64,
    ) -> Self {
        let (kernels, classes) = (transposed_kernels(isa), op.classes.clone());
        let cost = cost::L3_WEIGHT * multiply_adds as usize;
        let width = classes.columns.len();
        let positions = 0..classes.rows.len() * width;
        let class_of = positions.map(|position| classes.class(position / width, position % width)).collect();
        PooledGrad { kernels, weight, classes, class_of, taps, scale, cost }
    }

    /// Channels of the tap.
    pub(crate) fn channels(&self) -> usize {
        self.weight.k / self.terms()
    }

    fn terms(&self) -> usize {
        self.taps.map_or(self.classes.count(), |[rows, columns]| rows * columns)
    }

    /// Writes the weights of `tile`'s channels, or of all, to `out`; `scratch` has
    /// [`Kernel::scratch_len`] floats.
    ///
    /// # Safety
    /// The CPU has the kernel's instruction set, and `out` is readable a vector beyond its end.
    pub(crate) unsafe fn compute(
        &self,
        tile: Option<&Tile>,
        grad: &[f32],
        out: &mut [f32],
        scratch: &mut [f32],
    ) {
        let channels = tile.map_or(0..self.channels(), |tile| tile.groups.clone());
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
        let mut call = self.weight.transposed(self.terms(), channels, right.as_ptr(), out.as_mut_ptr());
        if self.terms() == 1 {
            call.skip_zeros(&right[..self.weight.padded_channels()]);
        }
        assert!(
            right.len() >= self.terms() * self.weight.padded_channels(),
            "{} floats of sums",
            right.len()
        );
        // SAFETY: the assertions have checked that the right side has (terms, padded channels) floats and the output
        // one float a unit. The caller promises that the CPU has the instruction set and that the output is readable
        // a vector beyond its end.
        unsafe { (self.kernels.one)(&call) };
        out.iter_mut().for_each(|weight| *weight *= self.scale);
    }

    /// (classes, O): the gradient summed over each class's positions.
    fn class_sums(&self, grad: &[f32], class_sums: &mut [f32]) {
        let (row, positions) = (self.weight.padded_channels(), self.class_of.len());
        class_sums.fill(0.0);
        if positions > MANY_POSITIONS {
            for (o, grad) in grad.chunks_exact(positions).enumerate() {
                // The gradient of one of many classes' scores has few channels that are not zero.
                if !grad.iter().fold(false, |any, &g| any | (g != 0.0)) {
                    continue;
                }
                for (&class, g) in self.class_of.iter().zip(grad) {
                    class_sums[class * row + o] += g;
                }
            }
            return;
        }
        for (position, &class) in self.class_of.iter().enumerate() {
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

impl Kernel for PooledGrad {
    fn cost(&self, tile: Option<&Tile>) -> QuarterCycles {
        channel_share(self.cost, tile, self.channels())
    }

    fn scratch_len(&self) -> usize {
        let tap_sums = self.taps.map_or(0, |[rows, columns]| rows * columns);
        (self.classes.count() + tap_sums) * self.weight.padded_channels()
    }

    fn tiles(&self, max: usize) -> Vec<Tile> {
        Tile::by_channel(Shape::vector(self.channels()), max)
    }

    unsafe fn run(&self, tile: Option<&Tile>, operands: &Operands) {
        let channels = tile.map_or(0..self.channels(), |tile| tile.groups.clone());
        // SAFETY: by the contract of `Kernel::run`, the input is written, the scratch is this thread's,
        // and the output is readable beyond its end; the tile's channels do not overlap those of other
        // tiles.
        unsafe {
            let first = operands.output().add(channels.start);
            let out = std::slice::from_raw_parts_mut(first, channels.len());
            self.compute(tile, operands.input_slice(0), out, operands.scratch_slice(self.scratch_len()));
        }
    }
}
