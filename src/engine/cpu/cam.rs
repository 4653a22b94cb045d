//! Class activation maps: the weighted sum of a tap's channels, its range, and both fused with the pooled
//! gradient that gives the weights.

use std::sync::atomic::Ordering;

use super::cost;
use super::cost::QuarterCycles;
use super::elementwise::clipped;
use super::gemv;
use super::gemv::{RowSum, RowSumKernel};
use super::kernel::{Kernel, Operands, SliceKernel, Tile};
use super::pooled_grad::PooledGrad;
use super::simd::Isa;
use crate::Shape;
use crate::engine::plan::Step;

/// Pooled gradient, weighted sum and range in one step. Tiles share the channels; the last to end makes
/// the map.
pub(crate) struct Cam {
    pooled: PooledGrad,
    row_sum: RowSumKernel,
    relu: bool,
    tap: Shape,
}

impl Cam {
    /// The kernel for a tap of shape `tap`, whose channel weights `pooled` computes.
    pub(crate) fn new(isa: Isa, pooled: PooledGrad, relu: bool, tap: Shape) -> Self {
        Cam { pooled, row_sum: gemv::kernel(isa), relu, tap }
    }
}

impl Kernel for Cam {
    fn cost(&self, tile: Option<&Tile>) -> QuarterCycles {
        self.pooled.cost(tile)
    }

    fn scratch_len(&self) -> usize {
        self.pooled.scratch_len()
    }

    fn tiles(&self, max: usize) -> Vec<Tile> {
        self.pooled.tiles(max)
    }

    unsafe fn run(&self, tile: Option<&Tile>, operands: &Operands) {
        let channels = self.tap.c;
        let own = tile.map_or(0..channels, |tile| tile.groups.clone());
        let record = operands.output();
        // SAFETY: by the contract of `Kernel::run`, the inputs are written, the scratch is this thread's, and
        // the output is readable beyond its end; no other tile touches the weights of these channels.
        unsafe {
            let weights = std::slice::from_raw_parts_mut(record.add(own.start), own.len());
            let scratch = operands.scratch_slice(self.scratch_len());
            self.pooled.compute(tile, operands.input_slice(0), weights, scratch);
        }
        if tile.is_some() {
            let done = operands.channels_done.fetch_add(own.len(), Ordering::AcqRel) + own.len();
            if done < channels {
                return;
            }
            operands.channels_done.store(0, Ordering::Relaxed);
        }
        // SAFETY: every tile has written its weights and touches the record no more, except this one.
        let record = unsafe { std::slice::from_raw_parts_mut(record, channels + self.tap.plane() + 2) };
        let (weights, rest) = record.split_at_mut(channels);
        let (map, limits) = rest.split_at_mut(self.tap.plane());
        // SAFETY: by the contract of `Kernel::run`, the tap is written and readable beyond its end, and
        // the CPU has the instruction set.
        unsafe { sum_channels(self.row_sum, self.relu, weights, operands.input_slice(1), map) };
        min_max(map, limits);
    }
}

/// The sum of the channels of input 1, each times its weight in input 0.
pub(crate) fn weighted_sum(isa: Isa, relu: bool, step: &Step) -> Box<dyn Kernel> {
    let row_sum = gemv::kernel(isa);
    let cost = cost::multiply_adds(step.multiply_adds() as usize);
    SliceKernel::new(cost, move |x, out, _| {
        // SAFETY: by the contract of `Kernel::run`, inputs are readable beyond their end, and the CPU has the
        // instruction set.
        unsafe { sum_channels(row_sum, relu, x.get(0), x.get(1), out) }
    })
    .boxed()
}

/// Minimum and maximum of all elements.
pub(crate) fn range() -> Box<dyn Kernel> {
    SliceKernel::new(0, |x, out, _| min_max(x.get(0), out)).boxed()
}

/// `out` = the sum of the channels of `x`, each times its weight.
///
/// # Safety
/// The CPU has the kernel's instruction set, and `x` is readable a vector beyond its end.
unsafe fn sum_channels(kernel: RowSumKernel, relu: bool, weights: &[f32], x: &[f32], out: &mut [f32]) {
    assert_eq!(x.len(), weights.len() * out.len());
    // SAFETY: the slices have the sizes of the call, which the assertion has checked. The caller promises that the CPU
    // has the instruction set and that `x` is readable a vector beyond its end.
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
            *out = clipped(*out, f32::INFINITY);
        }
    }
}

/// Writes (minimum, maximum) of `x` to `out`; both are NaN where an element is NaN. In lanes, so that the
/// compiler can use vectors.
pub(crate) fn min_max(x: &[f32], out: &mut [f32]) {
    const LANES: usize = 16;
    let (mut min, mut max, mut nan) = ([x[0]; LANES], [x[0]; LANES], [false; LANES]);
    for chunk in x.chunks(LANES) {
        for (i, &x) in chunk.iter().enumerate() {
            min[i] = if x < min[i] { x } else { min[i] };
            max[i] = if x > max[i] { x } else { max[i] };
            nan[i] |= x.is_nan();
        }
    }
    let reduce = |better: fn(f32, f32) -> f32, lanes: [f32; LANES]| {
        if nan.contains(&true) { f32::NAN } else { lanes.into_iter().reduce(better).unwrap_or(x[0]) }
    };
    out[0] = reduce(f32::min, min);
    out[1] = reduce(f32::max, max);
}
