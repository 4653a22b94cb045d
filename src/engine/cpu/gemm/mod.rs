//! Micro-kernels of matrix multiplication: a tile of output channels by pixels stays in registers while
//! the sum over k runs. `out[m, p] = bias[m] + sum over k of weight[k, m] * x[offset[k] + p]`.
//!
//! Through the offsets one micro-kernel serves every convolution: k runs over (input channel, window row,
//! window column), and the offset of k is where the input, packed or not, has that tap's first pixel.
//! The sum over k has one order for every tile, so results do not depend on how work is divided.

mod channels;
mod pixels;
mod transposed;

pub(crate) use transposed::{COLUMNS, TransposedKernels, TransposedProduct, kernels as transposed_kernels};

use super::cost;
use super::cost::QuarterCycles;
#[cfg(target_arch = "x86_64")]
use super::simd::{Avx2, Avx512};
use super::simd::{Isa, MAX_LANES, Portable, Simd};
use crate::engine::graph::ops::Relu;

/// Floats that a micro-kernel may read beyond the last one that it needs.
pub(crate) const OVERREAD: usize = 96;

/// How far ahead weights are prefetched, in floats: 4 KiB.
pub(crate) const PREFETCH_DISTANCE: usize = 1024;

/// Operands of one call of a micro-kernel of M output channels by V vectors.
pub(crate) struct MicroTile {
    /// (k, M) weights.
    pub(crate) weight: *const f32,
    /// First pixel of the tile; readable up to [`OVERREAD`] floats beyond the last.
    pub(crate) x: *const f32,
    /// k offsets into `x`.
    pub(crate) offsets: *const u32,
    /// Terms of the sum.
    pub(crate) k: usize,
    /// M floats.
    pub(crate) bias: *const f32,
    /// First pixel of the tile in output channel 0.
    pub(crate) out: *mut f32,
    /// Floats from one output channel to the next.
    pub(crate) out_stride: usize,
    /// Output channels to store, 1 to M.
    pub(crate) channels: usize,
    /// Pixels to store, 1 to V vectors.
    pub(crate) pixels: usize,
    /// The lowest and the highest result, to which others are set.
    pub(crate) bounds: [f32; 2],
}

/// Bounds of results that stay as they are.
pub(crate) const UNBOUNDED: [f32; 2] = [f32::NEG_INFINITY, f32::INFINITY];

/// Bounds of results behind which there is a ReLU, or none.
pub(crate) fn bounds(relu: Option<Relu>) -> [f32; 2] {
    relu.map_or(UNBOUNDED, |relu| [0.0, relu.max])
}

/// A compiled micro-kernel of M output channels, for each tile width up to its largest.
#[derive(Clone, Copy)]
pub(crate) struct MicroKernel {
    /// Output channels, M.
    pub(crate) channels: usize,
    /// Pixels by which tiles grow.
    pub(crate) step: usize,
    /// Floats in a vector.
    lanes: usize,
    /// The function for tiles of s steps, at s - 1.
    ///
    /// # Safety
    /// The CPU has the micro-kernel's instruction set. `weight`, `bias` and `offsets` hold (k, M), M and k
    /// elements; `x` is readable at each offset for the tile's pixels and [`OVERREAD`] floats beyond;
    /// `out` is writable for `pixels` floats in each of `channels` channels.
    run: &'static [unsafe fn(&MicroTile)],
}

impl MicroKernel {
    /// Pixels of the largest tile.
    pub(crate) fn pixels(&self) -> usize {
        self.run.len() * self.step
    }

    /// Computes a tile of any size up to the largest.
    ///
    /// # Safety
    /// As for the functions in `run`.
    pub(crate) unsafe fn run(&self, tile: &MicroTile) {
        debug_assert!(
            (1..=self.pixels()).contains(&tile.pixels) && (1..=self.channels).contains(&tile.channels)
        );
        // SAFETY: the tile is at most as wide as the function at this index computes, and its pointers are valid for
        // M channels and that width, which the caller promises.
        unsafe { self.run[(tile.pixels - 1) / self.step](tile) }
    }

    /// Estimated time of `groups` groups of channels of `pixels` pixels, for sums of `k` terms. A term
    /// broadcasts some elements and loads some vectors, mostly hidden behind its multiply-adds. A tile
    /// along the channels reads its group's weights again, from the cache that holds them.
    pub(crate) fn cost(&self, k: usize, groups: usize, pixels: usize) -> QuarterCycles {
        let weight_load = match groups * self.channels * k > cost::L2_FLOATS {
            true => cost::VECTOR_LOAD_BEYOND_L2,
            false if self.lanes < MAX_LANES => cost::VECTOR_LOAD_OF_FEW_SUMS,
            false => cost::VECTOR_LOAD,
        };
        let tile = |steps: usize| {
            let (broadcasts, vectors, load, store) = match self.along_channels() {
                true => {
                    let vectors = self.channels / self.lanes;
                    (steps * self.step, vectors, weight_load, cost::VECTOR_STORE_TRANSPOSED)
                }
                false => (self.channels * steps.min(1), steps, cost::VECTOR_LOAD, cost::VECTOR_STORE),
            };
            let sums = broadcasts * vectors;
            let term = cost::VECTOR_FMA * sums + cost::BROADCAST * broadcasts + load * vectors;
            if sums == 0 { 0 } else { k * term + store * sums }
        };
        let (full, rest) = (pixels / self.pixels(), pixels % self.pixels());
        groups * (full * tile(self.run.len()) + tile(rest.div_ceil(self.step)))
    }

    /// Whether vectors run along the channels, not the pixels.
    pub(crate) fn along_channels(&self) -> bool {
        self.step != self.lanes
    }
}

/// The cheapest micro-kernel for `channels` output channels of `pixels` pixels; padding counts as work.
pub(crate) fn choose_kernel(isa: Isa, k: usize, channels: usize, pixels: usize) -> MicroKernel {
    let cost = |kernel: &&MicroKernel| kernel.cost(k, channels.div_ceil(kernel.channels), pixels);
    *kernels(isa).iter().min_by_key(cost).expect("every instruction set has a micro-kernel")
}

/// Output channels of a group in weights that are packed for the transposed product alone.
pub(crate) fn transposable_channels(isa: Isa) -> usize {
    let kernel = kernels(isa).iter().find(|kernel| kernel.along_channels());
    kernel.expect("every instruction set has a micro-kernel along the channels").channels
}

/// The micro-kernels of one instruction set, widest first.
fn kernels(isa: Isa) -> &'static [MicroKernel] {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => &AVX512,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => &AVX2,
        _ => &PORTABLE,
    }
}

/// A micro-kernel compiled for one instruction set: of M channels by V vectors of pixels, or of V
/// vectors of channels by P pixels.
macro_rules! kernel {
    ($vectors:ident, Avx512, $a:literal x $b:literal) => {
        kernel!($vectors, Avx512, $a x $b, #[target_feature(enable = "avx512f,avx512vl")])
    };
    ($vectors:ident, Avx2, $a:literal x $b:literal) => {
        kernel!($vectors, Avx2, $a x $b, #[target_feature(enable = "avx2,fma")])
    };
    ($vectors:ident, Portable, $a:literal x $b:literal) => {
        kernel!($vectors, Portable, $a x $b, #[inline])
    };
    ($vectors:ident, $simd:ident, $a:literal x $b:literal, #[$feature:meta]) => {{
        /// # Safety
        /// As for the functions in [`MicroKernel`].
        #[$feature]
        unsafe fn compiled(t: &MicroTile) {
            // SAFETY: this function is enabled for the instruction set of `$simd`, which the CPU has, and M, V and P
            // are those of the tile, for which the caller promises that the pointers are valid.
            unsafe { $vectors::tile::<$simd, $a, $b>(t) }
        }
        compiled
    }};
}

macro_rules! along_pixels {
    ($simd:ident: $m:literal x $($v:literal)*) => {
        MicroKernel {
            channels: $m,
            step: $simd::LANES,
            lanes: $simd::LANES,
            run: &[$(kernel!(pixels, $simd, $m x $v)),*],
        }
    };
}

macro_rules! along_channels {
    ($simd:ident: $v:literal x $step:literal $($p:literal)*) => {
        MicroKernel {
            channels: $v * $simd::LANES,
            step: $step,
            lanes: $simd::LANES,
            run: &[kernel!(channels, $simd, $v x $step), $(kernel!(channels, $simd, $v x $p)),*],
        }
    };
}

#[cfg(target_arch = "x86_64")]
static AVX512: [MicroKernel; 7] = [
    along_pixels!(Avx512: 6 x 1 2 3 4),
    along_pixels!(Avx512: 8 x 1 2 3),
    along_pixels!(Avx512: 12 x 1 2),
    along_pixels!(Avx512: 16 x 1),
    along_channels!(Avx512: 1 x 4 8 12 16 20 24 28),
    along_channels!(Avx512: 2 x 2 4 6 8 10 12 14),
    along_channels!(Avx512: 4 x 1 2 3 4 5 6),
];
#[cfg(target_arch = "x86_64")]
static AVX2: [MicroKernel; 4] = [
    along_pixels!(Avx2: 6 x 1 2),
    along_pixels!(Avx2: 12 x 1),
    along_channels!(Avx2: 2 x 2 4 6),
    along_channels!(Avx2: 3 x 1 2 3 4),
];
static PORTABLE: [MicroKernel; 2] = [along_pixels!(Portable: 6 x 1), along_channels!(Portable: 1 x 1 2 3 4)];
