//! Winograd's transforms in two dimensions, with the tiles side by side in the vectors: those of the input by rows of
//! pixels, then by columns of patches; those of the products by blocks.

use super::filtering::{F2, F4, Filtering, transform_kernel};
use crate::engine::cpu::conv::pack::BandLayout;
use crate::engine::cpu::cost;
use crate::engine::cpu::cost::QuarterCycles;
use crate::engine::cpu::gemm::OVERREAD;
use crate::engine::cpu::simd::{Isa, MAX_LANES, Simd, compiled};

/// Size of a block of output pixels, for which there is an algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Block {
    /// 2x2, from patches of 4x4.
    Two,
    /// 4x4, from patches of 6x6.
    Four,
}

impl Block {
    #[cfg(test)]
    pub(crate) const ALL: [Block; 2] = [Block::Two, Block::Four];

    /// Pixels of a side of the block.
    pub(crate) fn size(self) -> usize {
        match self {
            Block::Two => 2,
            Block::Four => 4,
        }
    }

    /// Elements of a patch.
    pub(crate) fn points(self) -> usize {
        (self.size() + 2).pow(2)
    }

    /// Estimated time of the transform of one vector of patches of one input channel.
    pub(crate) fn input_cost(self) -> QuarterCycles {
        match self {
            Block::Two => cost::WINOGRAD_INPUT_VECTOR_OF_2X2,
            Block::Four => cost::WINOGRAD_INPUT_VECTOR_OF_4X4,
        }
    }

    /// Estimated time of the transform of one vector of blocks of one output channel.
    pub(crate) fn output_cost(self) -> QuarterCycles {
        match self {
            Block::Two => cost::WINOGRAD_OUTPUT_VECTOR_OF_2X2,
            Block::Four => cost::WINOGRAD_OUTPUT_VECTOR_OF_4X4,
        }
    }

    /// Appends U = G g G^T of one 3x3 kernel, rounded once, to `out`.
    pub(crate) fn transform_kernel(self, kernel: &[f32], out: &mut Vec<f32>) {
        match self {
            Block::Two => transform_kernel::<F2, 2, 4>(kernel, out),
            Block::Four => transform_kernel::<F4, 4, 6>(kernel, out),
        }
    }
}

/// Operands of the transform of one channel's products.
pub(crate) struct Pixels {
    /// The channel's products of point 0; those of the next point are `stride` floats further.
    pub(crate) products: *const f32,
    pub(crate) stride: usize,
    /// Tiles in a row.
    pub(crate) width: usize,
    /// Rows of tiles.
    pub(crate) rows: usize,
    /// Added to each pixel.
    pub(crate) bias: f32,
    /// First pixel to write.
    pub(crate) out: *mut f32,
    /// Pixels of an output row.
    pub(crate) out_width: usize,
    /// Output rows that are inside the image.
    pub(crate) out_rows: usize,
    /// Lower and upper bound of the results.
    pub(crate) bounds: [f32; 2],
    /// Room for the pixels of every tile, `tiles_stride` floats apart.
    pub(crate) tiles: *mut f32,
    pub(crate) tiles_stride: usize,
}

/// The transforms compiled for one instruction set.
///
/// # Safety
/// For all functions: the CPU has that instruction set, and the pointers are valid for the call's sizes,
/// in whole vectors: at most one beyond the last tile. `input` is readable [`OVERREAD`] floats beyond both ends.
#[derive(Clone, Copy)]
pub(crate) struct Transforms {
    /// d B of the rows of the band that begins at row `first` of patches, of `channels` planes from `input` on, to the
    /// layout's places of the elements of d in `packed`.
    pub(crate) rows:
        unsafe fn(layout: &BandLayout, channels: usize, input: *const f32, first: usize, packed: *mut f32),
    /// V = B^T d B of `tiles` patches of which `packed` has d B: its element i is at `taps[i]`, point i of the
    /// transform at `i * stride` in `out`.
    pub(crate) patches:
        unsafe fn(packed: *const f32, taps: &[u32], tiles: usize, out: *mut f32, stride: usize),
    /// A^T m A of a channel's products m.
    pub(crate) pixels: unsafe fn(&Pixels),
}

/// The transforms of one instruction set for blocks of one size.
pub(crate) fn transforms(isa: Isa, block: Block) -> Transforms {
    macro_rules! transforms {
        ($filtering:ty, $m:literal, $p:literal) => {
            Transforms {
                rows: compiled!(isa, S => unsafe fn(
                    layout: &BandLayout,
                    channels: usize,
                    input: *const f32,
                    first: usize,
                    packed: *mut f32
                ) {
                    rows::<S, $filtering, $m, $p>(layout, channels, input, first, packed)
                }),
                patches: compiled!(isa, S => unsafe fn(
                    packed: *const f32,
                    taps: &[u32],
                    tiles: usize,
                    out: *mut f32,
                    stride: usize
                ) {
                    patches::<S, $filtering, $m, $p>(packed, taps, tiles, out, stride)
                }),
                pixels: compiled!(isa, S => unsafe fn(call: &Pixels) {
                    pixels::<S, $filtering, $m, $p>(call)
                }),
            }
        };
    }
    match block {
        Block::Two => transforms!(F2, 2, 4),
        Block::Four => transforms!(F4, 4, 6),
    }
}

/// Transforms rows of the input.
///
/// # Safety
/// As for [`Transforms`].
#[inline(always)]
unsafe fn rows<S: Simd, F: Filtering<M, P>, const M: usize, const P: usize>(
    layout: &BandLayout,
    channels: usize,
    input: *const f32,
    first: usize,
    packed: *mut f32,
) {
    let [[_, left], [_, right]] = layout.window.padding;
    // The columns reach beyond a row by the padding and less than M vectors and M pixels.
    let is_near = left.max(right) + M * (S::LANES + 1) <= OVERREAD;
    // SAFETY: the CPU has the instruction set.
    let indices = unsafe { short_indices::<S, P>(layout) };
    for channel in 0..channels {
        for remainder in 0..M {
            let inside = layout.rows_inside(first, remainder);
            // SAFETY: rows of the band, of which those inside the image are read. A row's last vector may extend beyond
            // its end with zeros, into a row that is zero too or is written later, or into the room after the
            // last row; reads may extend beyond both ends of a row of the image, which the caller allows.
            unsafe {
                let packed = packed.add(channel * layout.channel_len() + remainder * layout.run_len());
                let out = |row: usize, vector: usize| packed.add(row * layout.width + vector * S::LANES);
                for row in (0..inside.start).chain(inside.end..layout.rows) {
                    for vector in 0..layout.shifts[0].len() {
                        store::<S, M, P>(layout, [S::splat(0.0); P], vector, out(row, vector));
                    }
                }
                for row in inside {
                    let from =
                        input.add(channel * layout.input.plane() + layout.offset(first, remainder, row));
                    for vector in 0..layout.shifts[0].len() {
                        let columns = if layout.is_short() {
                            short_columns::<S, P>(&indices, from)
                        } else if is_near {
                            let from = from.add(vector * S::LANES * M).sub(left);
                            inside_columns::<S, P>(layout, vector, F::columns::<S>(from))
                        } else {
                            any_columns::<S, M, P>(layout, vector, from)
                        };
                        store::<S, M, P>(layout, F::patch::<S>(columns), vector, out(row, vector));
                    }
                }
            }
        }
    }
}

/// Stores vector `vector` of the columns of a row of patches from `out` on.
///
/// # Safety
/// As for [`Transforms`].
#[inline(always)]
unsafe fn store<S: Simd, const M: usize, const P: usize>(
    layout: &BandLayout,
    columns: [S::V; P],
    vector: usize,
    out: *mut f32,
) {
    let tiles = layout.width - vector * S::LANES;
    for (i, column) in columns.into_iter().enumerate() {
        // SAFETY: the caller promises that there is room for a vector.
        unsafe { S::store_at_least(out.add(i * M * layout.run_len()), column, tiles.min(S::LANES)) };
    }
}

/// The permutations that make the columns of a row of one vector.
///
/// # Safety
/// As for [`Transforms`].
#[inline(always)]
unsafe fn short_indices<S: Simd, const P: usize>(layout: &BandLayout) -> [S::Index; P] {
    // SAFETY: the CPU has the instruction set.
    unsafe {
        let first = &layout.shifts[0][0];
        let mut indices = [S::index(&first.index, first.mask); P];
        for (index, shifts) in indices.iter_mut().zip(&layout.shifts) {
            *index = S::index(&shifts[0].index, shifts[0].mask);
        }
        indices
    }
}

/// The columns of a row of one vector.
///
/// # Safety
/// As for [`Transforms`].
#[inline(always)]
unsafe fn short_columns<S: Simd, const P: usize>(indices: &[S::Index; P], from: *const f32) -> [S::V; P] {
    // SAFETY: the caller promises that a vector may be read.
    unsafe {
        let row = S::load(from);
        let mut columns = [row; P];
        for (column, &index) in columns.iter_mut().zip(indices) {
            *column = S::permute(row, index);
        }
        columns
    }
}

/// The columns with zeros where they are outside of the image.
///
/// # Safety
/// As for [`Transforms`].
#[inline(always)]
unsafe fn inside_columns<S: Simd, const P: usize>(
    layout: &BandLayout,
    vector: usize,
    mut columns: [S::V; P],
) -> [S::V; P] {
    for (column, shifts) in columns.iter_mut().zip(&layout.shifts) {
        // SAFETY: the CPU has the instruction set.
        *column = unsafe { S::keep(*column, shifts[vector].mask) };
    }
    columns
}

/// The columns of a row with any padding, one element at a time.
///
/// # Safety
/// As for [`Transforms`].
#[inline(always)]
unsafe fn any_columns<S: Simd, const M: usize, const P: usize>(
    layout: &BandLayout,
    vector: usize,
    from: *const f32,
) -> [S::V; P] {
    // SAFETY: pixels are read only inside the row.
    unsafe {
        let mut columns = [S::splat(0.0); P];
        for (j, column) in columns.iter_mut().enumerate() {
            let mut lanes = [0.0; MAX_LANES];
            for (lane, element) in lanes.iter_mut().enumerate().take(S::LANES) {
                let tile = vector * S::LANES + lane;
                let pixel = (tile * M + j).wrapping_sub(layout.window.padding[0][1]);
                if tile < layout.width && pixel < layout.input.w {
                    *element = *from.add(pixel);
                }
            }
            *column = S::load(lanes.as_ptr());
        }
        columns
    }
}

/// Transforms patches of the input by columns.
///
/// # Safety
/// As for [`Transforms`].
#[inline(always)]
unsafe fn patches<S: Simd, F: Filtering<M, P>, const M: usize, const P: usize>(
    packed: *const f32,
    taps: &[u32],
    tiles: usize,
    out: *mut f32,
    stride: usize,
) {
    let taps = &taps[..P * P];
    for first in (0..tiles).step_by(S::LANES) {
        for column in 0..P {
            // SAFETY: whole vectors at each element of the patches, as the caller promises.
            unsafe {
                let mut d = [S::splat(0.0); P];
                for (row, d) in d.iter_mut().enumerate() {
                    *d = S::load(packed.add(taps[P * row + column] as usize + first));
                }
                for (row, x) in F::patch::<S>(d).into_iter().enumerate() {
                    S::store(out.add((P * row + column) * stride + first), x);
                }
            }
        }
    }
}

/// Transforms products to output pixels.
///
/// # Safety
/// As for [`Transforms`].
#[inline(always)]
unsafe fn pixels<S: Simd, F: Filtering<M, P>, const M: usize, const P: usize>(call: &Pixels) {
    // SAFETY: whole vectors of the products and of the room for tiles, as the caller promises; of the output
    // only pixels inside the image.
    unsafe {
        let [low, high] = call.bounds.map(|bound| S::splat(bound));
        let bias = S::splat(call.bias);
        for first in (0..call.width * call.rows).step_by(S::LANES) {
            let mut half = [[S::splat(0.0); P]; M];
            for column in 0..P {
                let mut m = [S::splat(0.0); P];
                for (row, m) in m.iter_mut().enumerate() {
                    *m = S::load(call.products.add((P * row + column) * call.stride + first));
                }
                for (half, x) in half.iter_mut().zip(F::block::<S>(m)) {
                    half[column] = x;
                }
            }
            for (row, half) in half.into_iter().enumerate() {
                for (column, x) in F::block::<S>(half).into_iter().enumerate() {
                    // Propagates NaN: both return their second argument where either is NaN.
                    let pixels = S::min(high, S::max(low, S::add(x, bias)));
                    S::store(call.tiles.add((M * row + column) * call.tiles_stride + first), pixels);
                }
            }
        }
        for row in 0..call.out_rows {
            let tiles = call.tiles.add(row % M * M * call.tiles_stride + row / M * call.width);
            for first in (0..call.width).step_by(S::LANES) {
                let mut columns = [S::splat(0.0); M];
                for (column, pixels) in columns.iter_mut().enumerate() {
                    *pixels = S::load(tiles.add(column * call.tiles_stride + first));
                }
                for (part, pixels) in F::interleave::<S>(columns).into_iter().enumerate() {
                    let start = M * first + part * S::LANES;
                    if start < call.out_width {
                        let out = call.out.add(row * call.out_width + start);
                        S::store_first(out, pixels, S::LANES.min(call.out_width - start));
                    }
                }
            }
        }
    }
}
