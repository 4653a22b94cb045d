//! Winograd's transforms of F(2x2, 3x3), with the tiles side by side in the vectors:
//!
//! G^T = 1 1/2 1/2 0    B^T = 1 0 -1 0    A^T = 1 1  1  0
//!       0 1/2 -1/2 0         0 1  1 0          0 1 -1 -1
//!       0 1/2 1/2 1          0 -1 1 0
//!                            0 1  0 -1

use super::POINTS;
use crate::engine::cpu::simd::{Isa, Simd, compiled};

/// U = G g G^T of one 3x3 kernel, rounded once.
pub(crate) fn kernel_transform(kernel: &[f32]) -> [f32; POINTS] {
    let once = |[a, b, c]: [f64; 3]| [a, (a + b + c) / 2.0, (a - b + c) / 2.0, c];
    let rows: [[f64; 4]; 3] =
        std::array::from_fn(|row| once(std::array::from_fn(|column| f64::from(kernel[3 * row + column]))));
    let columns: [[f64; 4]; 4] = std::array::from_fn(|column| once(rows.map(|row| row[column])));
    std::array::from_fn(|point| columns[point % 4][point / 4] as f32)
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
    /// First pixel to write.
    pub(crate) out: *mut f32,
    /// Pixels of an output row.
    pub(crate) out_width: usize,
    /// Output rows that are inside the image.
    pub(crate) out_rows: usize,
    /// Whether negative results become zero.
    pub(crate) bounds: [f32; 2],
    /// Room for the four pixels of every tile, `tiles_stride` floats apart.
    pub(crate) tiles: *mut f32,
    pub(crate) tiles_stride: usize,
}

/// The transforms compiled for one instruction set.
///
/// # Safety
/// For both functions: the CPU has that instruction set, and the pointers are valid for the call's sizes,
/// in whole vectors: at most one beyond the last tile.
#[derive(Clone, Copy)]
pub(crate) struct Transforms {
    /// V = B^T d B of `tiles` patches: element i of a patch is at `taps[i]` in `packed`, point i of its
    /// transform at `i * stride` in `out`.
    pub(crate) patches:
        unsafe fn(packed: *const f32, taps: &[u32; POINTS], tiles: usize, out: *mut f32, stride: usize),
    /// A^T m A of a channel's products m.
    pub(crate) pixels: unsafe fn(&Pixels),
}

/// The transforms of one instruction set.
pub(crate) fn transforms(isa: Isa) -> Transforms {
    Transforms {
        patches: compiled!(isa, S => unsafe fn(
            packed: *const f32,
            taps: &[u32; POINTS],
            tiles: usize,
            out: *mut f32,
            stride: usize
        ) {
            patches::<S>(packed, taps, tiles, out, stride)
        }),
        pixels: compiled!(isa, S => unsafe fn(call: &Pixels) { pixels::<S>(call) }),
    }
}

/// Transforms patches of the input.
///
/// # Safety
/// As for [`Transforms`].
#[inline(always)]
unsafe fn patches<S: Simd>(
    packed: *const f32,
    taps: &[u32; POINTS],
    tiles: usize,
    out: *mut f32,
    stride: usize,
) {
    for first in (0..tiles).step_by(S::LANES) {
        // SAFETY: whole vectors at each element of the patches, as the caller promises.
        unsafe {
            let mut half = [S::splat(0.0); POINTS];
            for column in 0..4 {
                let d: [S::V; 4] =
                    std::array::from_fn(|row| S::load(packed.add(taps[4 * row + column] as usize + first)));
                for (row, x) in input_side::<S>(d).into_iter().enumerate() {
                    half[4 * row + column] = x;
                }
            }
            for row in 0..4 {
                let d = std::array::from_fn(|column| half[4 * row + column]);
                for (column, x) in input_side::<S>(d).into_iter().enumerate() {
                    S::store(out.add((4 * row + column) * stride + first), x);
                }
            }
        }
    }
}

/// B^T d.
///
/// # Safety
/// The CPU has the instruction set of `S`.
#[inline(always)]
unsafe fn input_side<S: Simd>(d: [S::V; 4]) -> [S::V; 4] {
    // SAFETY: the CPU has the instruction set.
    unsafe { [S::sub(d[0], d[2]), S::add(d[1], d[2]), S::sub(d[2], d[1]), S::sub(d[1], d[3])] }
}

/// A^T m.
///
/// # Safety
/// The CPU has the instruction set of `S`.
#[inline(always)]
unsafe fn output_side<S: Simd>(m: [S::V; 4]) -> [S::V; 2] {
    // SAFETY: the CPU has the instruction set.
    unsafe { [S::add(S::add(m[0], m[1]), m[2]), S::sub(S::sub(m[1], m[2]), m[3])] }
}

/// Transforms products to output pixels.
///
/// # Safety
/// As for [`Transforms`].
#[inline(always)]
unsafe fn pixels<S: Simd>(call: &Pixels) {
    // SAFETY: whole vectors of the products and of the room for tiles, as the caller promises; of the output
    // only pixels inside the image.
    unsafe {
        let [low, high] = call.bounds.map(|bound| S::splat(bound));
        for first in (0..call.width * call.rows).step_by(S::LANES) {
            let mut half = [[S::splat(0.0); 2]; 4];
            for (column, half) in half.iter_mut().enumerate() {
                let product = |row: usize| call.products.add((4 * row + column) * call.stride + first);
                *half = output_side::<S>(std::array::from_fn(|row| S::load(product(row))));
            }
            for row in 0..2 {
                let m = half.map(|column| column[row]);
                for (column, pixels) in output_side::<S>(m).into_iter().enumerate() {
                    // Propagates NaN: both return their second argument where either is NaN.
                    let pixels = S::min(high, S::max(low, pixels));
                    S::store(call.tiles.add((2 * row + column) * call.tiles_stride + first), pixels);
                }
            }
        }
        for row in 0..call.out_rows {
            let even = call.tiles.add(row % 2 * 2 * call.tiles_stride + row / 2 * call.width);
            for first in (0..call.width).step_by(S::LANES) {
                let tiles = [0, call.tiles_stride].map(|odd| S::load(even.add(odd + first)));
                for (half, pixels) in S::interleave(tiles[0], tiles[1]).into_iter().enumerate() {
                    let start = 2 * first + half * S::LANES;
                    if start < call.out_width {
                        let out = call.out.add(row * call.out_width + start);
                        S::store_first(out, pixels, S::LANES.min(call.out_width - start));
                    }
                }
            }
        }
    }
}
