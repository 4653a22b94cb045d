//! Windows over single channels, as depthwise convolutions and poolings have them.
//!
//! Vectors run along a row of results; some rows are computed together, since a row of the channel has taps in several of
//! them. The channel is read in place where the stride is 1, and otherwise from a packed copy.

mod in_place;
mod packed;

use std::ops::Range;
use std::sync::Arc;

use super::cost;
use super::cost::QuarterCycles;
use super::gemm::UNBOUNDED;
use super::kernel::{Kernel, Operands, Tile, channel_share};
use super::simd::{Isa, Simd};
use crate::Shape;
use crate::engine::graph::ops::Window;
use in_place::InPlace;
use packed::Packed;

/// Rows of results that are computed together.
const ROWS: usize = 4;

/// The kernel of windows over each channel; a tile's groups are channels of the results.
pub(crate) struct ChannelWindows {
    input: Shape,
    output: Shape,
    source: Source,
    /// Estimated time of a channel of the results.
    cost: QuarterCycles,
    /// The value of results to which nothing else is added.
    padding: f32,
    /// A weight for each channel of the results and each tap, row by row, of products; otherwise empty.
    weight: Arc<[f32]>,
    /// Added to the products of each channel.
    bias: Option<Arc<[f32]>>,
    /// The lowest and the highest result.
    bounds: [f32; 2],
    /// What each result of a channel is multiplied by at last.
    shares: Option<Vec<f32>>,
}

/// Where the taps of a window are read.
enum Source {
    InPlace(InPlace),
    Packed(Packed),
}

impl ChannelWindows {
    /// Windows over channels of `input`, which give channels of `output`; `None` where a window is too large to be packed.
    pub(crate) fn new<J: Joining>(isa: Isa, window: Window, shapes: [Shape; 2]) -> Option<Self> {
        let [input, output] = shapes;
        // Half of a longer vector would be idle.
        let isa = if isa == Isa::Avx512 && output.w <= Isa::Avx2.lanes() { Isa::Avx2 } else { isa };
        let (source, packing) = match InPlace::new::<J>(isa, &window, shapes) {
            Some(in_place) => (Source::InPlace(in_place), 0),
            None => (Source::Packed(Packed::new::<J>(isa, window, shapes)?), packed::cost(isa, input)),
        };
        let vectors = output.h.next_multiple_of(ROWS) * output.w.div_ceil(isa.lanes());
        let cost = cost::VECTOR_FMA * vectors * (window.area() + 4) + packing;
        Some(ChannelWindows {
            input,
            output,
            source,
            cost,
            padding: J::PADDING,
            weight: Arc::default(),
            bias: None,
            bounds: UNBOUNDED,
            shares: None,
        })
    }

    /// The same with the weight of each channel of the results, (O, KH, KW), what is added to its products, and the lowest
    /// and the highest result.
    pub(crate) fn with_products(
        self,
        weight: Arc<[f32]>,
        bias: Option<Arc<[f32]>>,
        bounds: [f32; 2],
    ) -> ChannelWindows {
        debug_assert!(weight.len().is_multiple_of(self.output.c));
        ChannelWindows { weight, bias, bounds, ..self }
    }

    /// The same with what each result of a channel is multiplied by.
    pub(crate) fn with_shares(self, shares: Vec<f32>) -> ChannelWindows {
        debug_assert_eq!(shares.len(), self.output.plane());
        ChannelWindows { shares: Some(shares), ..self }
    }

    /// Computes `channel` of the results.
    ///
    /// # Safety
    /// As for [`Kernel::run`]; the scratch was filled with the padding.
    unsafe fn apply(&self, channel: usize, operands: &Operands) {
        let multiplier = self.output.c / self.input.c;
        let taps = self.weight.len() / self.output.c;
        // SAFETY: the channels are inside the input, which is readable beyond both ends, and inside the output.
        unsafe {
            let x = operands.input(0).add(channel / multiplier * self.input.plane());
            let out = operands.output().add(channel * self.output.plane());
            let results = |rows: Range<usize>| Results {
                weight: &self.weight[channel * taps..][..taps],
                bias: self.bias.as_ref().map_or(self.padding, |bias| bias[channel]),
                bounds: self.bounds,
                out: out.add(rows.start * self.output.w),
                width: self.output.w,
                rows: rows.len(),
            };
            match &self.source {
                Source::InPlace(in_place) => in_place.join(x, &results(0..self.output.h)),
                Source::Packed(packed) => {
                    for rows in packed.bands() {
                        packed.join(x, rows.start, operands.scratch, &results(rows));
                    }
                }
            }
            if let Some(shares) = &self.shares {
                let out = std::slice::from_raw_parts_mut(out, shares.len());
                out.iter_mut().zip(shares).for_each(|(out, share)| *out *= share);
            }
        }
    }
}

impl Kernel for ChannelWindows {
    fn cost(&self, tile: Option<&Tile>) -> QuarterCycles {
        channel_share(self.output.c * self.cost, tile, self.output.c)
    }

    fn elements(&self, tile: Option<&Tile>, all: usize) -> usize {
        channel_share(all, tile, self.output.c)
    }

    fn scratch_len(&self) -> usize {
        match &self.source {
            Source::InPlace(_) => 0,
            Source::Packed(packed) => packed.scratch_len(),
        }
    }

    fn tiles(&self, max: usize) -> Vec<Tile> {
        Tile::by_channel(self.output, max)
    }

    unsafe fn run(&self, tile: Option<&Tile>, operands: &Operands) {
        // SAFETY: the scratch has this length and is this thread's.
        unsafe { operands.scratch_slice(self.scratch_len()) }.fill(self.padding);
        for channel in tile.map_or(0..self.output.c, |tile| tile.groups.clone()) {
            // SAFETY: the channel is inside the output, and no other thread touches it; the scratch was filled.
            unsafe { self.apply(channel, operands) };
        }
    }
}

/// Rows of results of a channel, and what they are made of beside pixels.
struct Results<'a> {
    /// A weight for each tap of products.
    weight: &'a [f32],
    /// What the first pixel is joined with.
    bias: f32,
    bounds: [f32; 2],
    /// The first result.
    out: *mut f32,
    /// Results in a row.
    width: usize,
    rows: usize,
}

/// What becomes of the pixels under a window.
pub(crate) trait Joining {
    /// Whether there are weights.
    const WEIGHTED: bool;
    /// The value of the padding, which joined with a pixel is that pixel's.
    const PADDING: f32;

    /// `x`, times `weight` if there are weights, joined with what was joined `before`.
    ///
    /// # Safety
    /// The CPU has the instruction set of `S`.
    unsafe fn join<S: Simd>(weight: S::V, x: S::V, before: S::V) -> S::V;
}

/// The sum of their products with weights.
pub(crate) struct Products;
/// Their sum.
pub(crate) struct Sum;
/// Their maximum; NaN if one of them is.
pub(crate) struct Maximum;

impl Joining for Products {
    const WEIGHTED: bool = true;
    const PADDING: f32 = 0.0;

    #[inline(always)]
    unsafe fn join<S: Simd>(weight: S::V, x: S::V, before: S::V) -> S::V {
        // SAFETY: the CPU has the instruction set.
        unsafe { S::fma(weight, x, before) }
    }
}

impl Joining for Sum {
    const WEIGHTED: bool = false;
    const PADDING: f32 = 0.0;

    #[inline(always)]
    unsafe fn join<S: Simd>(_: S::V, x: S::V, before: S::V) -> S::V {
        // SAFETY: the CPU has the instruction set.
        unsafe { S::add(before, x) }
    }
}

impl Joining for Maximum {
    const WEIGHTED: bool = false;
    const PADDING: f32 = f32::NEG_INFINITY;

    #[inline(always)]
    unsafe fn join<S: Simd>(_: S::V, x: S::V, before: S::V) -> S::V {
        // SAFETY: the CPU has the instruction set.
        unsafe { S::max_nan(before, x) }
    }
}

/// A function of a channel that is read by `T`, for any instruction set.
trait Join<T> {
    /// Computes the results of the channel, or of its packed band, at `x`.
    ///
    /// # Safety
    /// The CPU has the instruction set of `S`; the results' taps are readable as `T` says, and the results are writable.
    unsafe fn join<S: Simd>(source: &T, x: *const f32, to: &Results);
}

/// A [`Join`] compiled for one instruction set.
type JoinKernel<T> = unsafe fn(source: &T, x: *const f32, to: &Results);

/// [`Join`] for the instruction set `isa`.
fn join_kernel<T, J: Join<T>>(isa: Isa) -> JoinKernel<T> {
    /// # Safety
    /// As for [`Join::join`].
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512vl")]
    unsafe fn avx512<T, J: Join<T>>(source: &T, x: *const f32, to: &Results) {
        // SAFETY: as the caller promises.
        unsafe { J::join::<super::simd::Avx512>(source, x, to) }
    }
    /// # Safety
    /// As for [`Join::join`].
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn avx2<T, J: Join<T>>(source: &T, x: *const f32, to: &Results) {
        // SAFETY: as the caller promises.
        unsafe { J::join::<super::simd::Avx2>(source, x, to) }
    }
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => avx512::<T, J>,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2::<T, J>,
        _ => J::join::<super::simd::Portable>,
    }
}

/// The weights of a window of `K` by `K` taps, row by row.
///
/// # Safety
/// The CPU has the instruction set of `S`.
#[inline(always)]
unsafe fn weights<S: Simd, J: Joining, const K: usize>(results: &Results) -> [[S::V; K]; K] {
    assert!(!J::WEIGHTED || results.weight.len() == K * K, "a weight for each tap");
    // SAFETY: the CPU has the instruction set, and there is a weight for each tap.
    let weight =
        |tap: usize| unsafe { S::splat(if J::WEIGHTED { *results.weight.get_unchecked(tap) } else { 1.0 }) };
    std::array::from_fn(|u| std::array::from_fn(|v| weight(u * K + v)))
}

/// The first column of each vector of `lanes` in a row of `width`: the last vector ends with the row, unless the row is
/// shorter.
fn vectors(width: usize, lanes: usize) -> impl Iterator<Item = usize> {
    (0..width).step_by(lanes).map(move |column| column.min(width.saturating_sub(lanes)))
}

/// Stores a block of rows of results from the row `first` and `column` on, between the bounds.
///
/// # Safety
/// The CPU has the instruction set of `S`, and `to` has these rows and columns.
#[inline(always)]
unsafe fn store<S: Simd>(to: &Results, [first, column]: [usize; 2], results: [S::V; ROWS]) {
    // SAFETY: only results are written, or what the rows below write again.
    unsafe {
        let [low, high] = to.bounds.map(|bound| S::splat(bound));
        // Both propagate NaN, as their second argument.
        let results = results.map(|result| S::min(high, S::max(low, result)));
        let out = to.out.add(first * to.width + column);
        let rows = to.rows - first;
        // What a whole vector writes beyond its row.
        let beyond = S::LANES.saturating_sub(to.width);
        // All results are computed before this branch: if one were computed for its store alone, which may not happen, the
        // compiler would compute one after the other, each as one long chain of sums.
        if rows * to.width >= ROWS * to.width + beyond {
            for (r, &result) in results.iter().enumerate() {
                S::store(out.add(r * to.width), result);
            }
        } else {
            for (r, &result) in results.iter().enumerate().take(rows) {
                match (rows - r) * to.width >= to.width + beyond {
                    true => S::store(out.add(r * to.width), result),
                    false => S::store_first(out.add(r * to.width), result, to.width),
                }
            }
        }
    }
}
