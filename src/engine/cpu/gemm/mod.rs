//! The micro-kernel: a tile of M output channels by V vectors of pixels stays in registers while
//! the sum over k runs. out[m, p] = bias[m] + sum over k of weight[k, m] * x[offset[k] + p].
//!
//! Through `offset` one kernel serves every convolution: k runs over (channel, window row, window
//! column), and the offset of k is where the input, packed or not, has that tap's first pixel.
//! The sum over k has one order whatever the tile, so results do not depend on how work is split.

mod channels;
mod pixels;
mod transposed;

pub(super) use transposed::{COLUMNS, Transposed, TransposedKernels, kernels as transposed_kernels};

#[cfg(target_arch = "x86_64")]
use super::simd::{Avx2, Avx512};
use super::simd::{Isa, Portable, Simd};

/// How far a kernel may read behind the last number that it needs, in numbers.
pub(super) const OVERREAD: usize = 64;

/// Weights that the second-level cache holds beside all else, in numbers.
const SECOND_LEVEL: usize = 256 * 1024;

/// How far ahead the weights that serve few pixels are asked for, in numbers.
const AHEAD: usize = 1024;

/// One call of the micro-kernel.
pub(super) struct Tile {
    /// (k, M) numbers.
    pub(super) weight: *const f32,
    /// First pixel of the tile; readable up to [`OVERREAD`] numbers beyond the last.
    pub(super) x: *const f32,
    /// k offsets into `x`.
    pub(super) offsets: *const u32,
    /// Terms of the sum.
    pub(super) k: usize,
    /// M numbers.
    pub(super) bias: *const f32,
    /// First pixel of the tile in output channel 0.
    pub(super) out: *mut f32,
    /// Numbers between two output channels.
    pub(super) out_stride: usize,
    /// Output channels to store, 1 to M.
    pub(super) channels: usize,
    /// Pixels to store, 1 to V vectors.
    pub(super) pixels: usize,
    /// Whether negative results become zero.
    pub(super) relu: bool,
}

/// A compiled micro-kernel of M output channels, for each number of vectors up to its largest.
#[derive(Clone, Copy)]
pub(super) struct TileKernel {
    /// Output channels, M.
    pub(super) channels: usize,
    /// Pixels by which tiles grow.
    pub(super) step: usize,
    /// Numbers in a vector.
    lanes: usize,
    /// The kernel of s steps, at s - 1.
    ///
    /// # Safety
    /// The CPU is of the kernel's kind and the tile's pointers are good for its sizes.
    run: &'static [unsafe fn(&Tile)],
}

impl TileKernel {
    /// Pixels of the largest tile.
    pub(super) fn pixels(&self) -> usize {
        self.run.len() * self.step
    }

    /// Computes a tile of any size up to the largest.
    ///
    /// # Safety
    /// As the kernels themselves.
    pub(super) unsafe fn run(&self, tile: &Tile) {
        // SAFETY: the caller's promise.
        unsafe { self.run[(tile.pixels - 1) / self.step](tile) }
    }

    /// What `groups` groups of channels of `pixels` pixels cost, in quarters of a cycle, for sums of
    /// `k` terms. A step broadcasts some numbers and loads some vectors, most of which go half unseen
    /// beside its multiply-adds. Each tile along the channels reads its group's weights anew, from
    /// wherever they fit.
    pub(super) fn cost(&self, k: usize, groups: usize, pixels: usize) -> usize {
        let load = if groups * self.channels * k > SECOND_LEVEL { 9 } else { 3 };
        let tile = |steps: usize| {
            let (broadcasts, vectors, load, store) = match self.along_channels() {
                true => (steps * self.step, self.channels / self.lanes, load, 22),
                false => (self.channels * steps.min(1), steps, 3, 6),
            };
            let sums = broadcasts * vectors;
            if sums == 0 { 0 } else { k * (2 * sums + broadcasts + load * vectors) + store * sums }
        };
        let (full, rest) = (pixels / self.pixels(), pixels % self.pixels());
        groups * (full * tile(self.run.len()) + tile(rest.div_ceil(self.step)))
    }

    /// Whether vectors run along the channels, not the pixels.
    pub(super) fn along_channels(&self) -> bool {
        self.step != self.lanes
    }
}

/// The kernels of one kind of CPU, widest first.
pub(super) fn kernels(isa: Isa) -> &'static [TileKernel] {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => &AVX512,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => &AVX2,
        _ => &PORTABLE,
    }
}

/// A kernel whose packed weights the transposed product can read.
pub(super) fn transposable(isa: Isa) -> &'static TileKernel {
    kernels(isa).iter().find(|kernel| kernel.along_channels()).expect("every kind of CPU has one")
}

/// A micro-kernel compiled for one kind of CPU: of M channels by V vectors of pixels, or of V
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
        #[$feature]
        unsafe fn compiled(t: &Tile) {
            // SAFETY: the caller's promise, passed on.
            unsafe { $vectors::tile::<$simd, $a, $b>(t) }
        }
        compiled
    }};
}

macro_rules! along_pixels {
    ($simd:ident: $m:literal x $($v:literal)*) => {
        TileKernel {
            channels: $m,
            step: $simd::LANES,
            lanes: $simd::LANES,
            run: &[$(kernel!(pixels, $simd, $m x $v)),*],
        }
    };
}

macro_rules! along_channels {
    ($simd:ident: $v:literal x $step:literal $($p:literal)*) => {
        TileKernel {
            channels: $v * $simd::LANES,
            step: $step,
            lanes: $simd::LANES,
            run: &[kernel!(channels, $simd, $v x $step), $(kernel!(channels, $simd, $v x $p)),*],
        }
    };
}

#[cfg(target_arch = "x86_64")]
static AVX512: [TileKernel; 7] = [
    along_pixels!(Avx512: 6 x 1 2 3 4),
    along_pixels!(Avx512: 8 x 1 2 3),
    along_pixels!(Avx512: 12 x 1 2),
    along_pixels!(Avx512: 16 x 1),
    along_channels!(Avx512: 1 x 4 8 12 16 20 24 28),
    along_channels!(Avx512: 2 x 2 4 6 8 10 12 14),
    along_channels!(Avx512: 4 x 1 2 3 4 5 6),
];
#[cfg(target_arch = "x86_64")]
static AVX2: [TileKernel; 4] = [
    along_pixels!(Avx2: 6 x 1 2),
    along_pixels!(Avx2: 12 x 1),
    along_channels!(Avx2: 2 x 2 4 6),
    along_channels!(Avx2: 3 x 1 2 3 4),
];
static PORTABLE: [TileKernel; 2] = [along_pixels!(Portable: 6 x 1), along_channels!(Portable: 1 x 1 2 3 4)];
