//! The micro-kernel: a tile of M output channels by V vectors of pixels stays in registers while
//! the sum over k runs. out[m, p] = bias[m] + sum over k of weight[k, m] * x[offset[k] + p].
//!
//! Through `offset` one kernel serves every convolution: k runs over (channel, window row, window
//! column), and the offset of k is where the input, packed or not, has that tap's first pixel.
//! The sum over k has one order whatever the tile, so results do not depend on how work is split.

#[cfg(target_arch = "x86_64")]
use super::simd::{Avx2, Avx512};
use super::simd::{Isa, Portable, Simd};

/// How far a kernel may read behind the last number that it needs, in numbers.
pub(super) const OVERREAD: usize = 64;

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
    /// Pixels of a vector.
    pub(super) lanes: usize,
    /// The kernel of v vectors, at v - 1.
    ///
    /// # Safety
    /// The CPU is of the kernel's kind and the tile's pointers are good for its sizes.
    run: &'static [unsafe fn(&Tile)],
}

impl TileKernel {
    /// Pixels of the largest tile.
    pub(super) fn pixels(&self) -> usize {
        self.run.len() * self.lanes
    }

    /// Computes a tile of any size up to the largest.
    ///
    /// # Safety
    /// As the kernels themselves.
    pub(super) unsafe fn run(&self, tile: &Tile) {
        // SAFETY: the caller's promise.
        unsafe { self.run[(tile.pixels - 1) / self.lanes](tile) }
    }

    /// What one term of the sum costs for `groups` groups of channels and `pixels` pixels, in
    /// quarters of a cycle. A step's loads, one for each channel and each vector of pixels, go
    /// only half unseen beside its multiply-adds.
    pub(super) fn cost(&self, groups: usize, pixels: usize) -> usize {
        let tile = |vectors: usize| match vectors {
            0 => 0,
            _ => 2 * self.channels * vectors + self.channels + vectors,
        };
        let (full, rest) = (pixels / self.pixels(), pixels % self.pixels());
        groups * (full * tile(self.run.len()) + tile(rest.div_ceil(self.lanes)))
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

/// The micro-kernel of M channels by V vectors, compiled for one kind of CPU.
macro_rules! kernel {
    ($simd:ty, $m:literal x $v:literal $(, $feature:literal)?) => {{
        $(#[target_feature(enable = $feature)])?
        unsafe fn compiled(t: &Tile) {
            // SAFETY: the caller's promise, passed on.
            unsafe { tile::<$simd, $m, $v>(t) }
        }
        compiled
    }};
}

#[cfg(target_arch = "x86_64")]
macro_rules! avx512 {
    ($m:literal x $($v:literal)*) => {
        TileKernel {
            channels: $m,
            lanes: Avx512::LANES,
            run: &[$(kernel!(Avx512, $m x $v, "avx512f,avx512vl")),*],
        }
    };
}

#[cfg(target_arch = "x86_64")]
macro_rules! avx2 {
    ($m:literal x $($v:literal)*) => {
        TileKernel { channels: $m, lanes: Avx2::LANES, run: &[$(kernel!(Avx2, $m x $v, "avx2,fma")),*] }
    };
}

#[cfg(target_arch = "x86_64")]
static AVX512: [TileKernel; 4] =
    [avx512!(6 x 1 2 3 4), avx512!(8 x 1 2 3), avx512!(12 x 1 2), avx512!(16 x 1)];
#[cfg(target_arch = "x86_64")]
static AVX2: [TileKernel; 2] = [avx2!(6 x 1 2), avx2!(12 x 1)];
static PORTABLE: [TileKernel; 1] =
    [TileKernel { channels: 6, lanes: Portable::LANES, run: &[kernel!(Portable, 6 x 1)] }];

/// # Safety
/// As [`TileKernel`]'s kernels.
#[inline(always)]
unsafe fn tile<S: Simd, const M: usize, const V: usize>(t: &Tile) {
    // SAFETY: `weight` has k * M numbers, `bias` M, `offsets` k; `x` may be read V vectors from
    // each offset; `out` may be written `pixels` numbers in each of `channels` channels.
    unsafe {
        let mut acc = [[S::splat(0.0); V]; M];
        for (m, row) in acc.iter_mut().enumerate() {
            *row = [S::splat(*t.bias.add(m)); V];
        }
        let mut weight = t.weight;
        for k in 0..t.k {
            let x = t.x.add(*t.offsets.add(k) as usize);
            let mut pixels = [S::splat(0.0); V];
            for (v, vector) in pixels.iter_mut().enumerate() {
                *vector = S::load(x.add(v * S::LANES));
            }
            for (m, row) in acc.iter_mut().enumerate() {
                let w = S::splat(*weight.add(m));
                for (sum, &vector) in row.iter_mut().zip(&pixels) {
                    *sum = S::fma(w, vector, *sum);
                }
            }
            weight = weight.add(M);
        }
        let floor = S::splat(if t.relu { 0.0 } else { f32::NEG_INFINITY });
        for (m, row) in acc.iter().enumerate().take(t.channels) {
            let out = t.out.add(m * t.out_stride);
            for (v, &sum) in row.iter().enumerate() {
                // NaN passes: max gives its second argument where either is NaN.
                let (start, value) = (v * S::LANES, S::max(floor, sum));
                if start + S::LANES <= t.pixels {
                    S::store(out.add(start), value);
                } else if start < t.pixels {
                    S::store_first(out.add(start), value, t.pixels - start);
                }
            }
        }
    }
}
