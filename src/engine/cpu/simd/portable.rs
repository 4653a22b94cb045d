//! Vectors of eight floats for any CPU, as the compiler translates them.

#![allow(
    unsafe_op_in_unsafe_fn,
    reason = "each function is plain arithmetic or a memory access, whose requirements are those of the function: see `Simd`"
)]

use super::{MAX_LANES, Simd};

/// Eight floats without vector instructions of a certain CPU.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Simd for Portable {
    type V = [f32; 8];
    type Index = ([u32; MAX_LANES], u32);
    const LANES: usize = 8;
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::V {
        [x; 8]
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self::V {
        p.cast::<[f32; 8]>().read_unaligned()
    }
    #[inline(always)]
    unsafe fn prefetch(_: *const f32) {}
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: Self::V) {
        p.cast::<[f32; 8]>().write_unaligned(v)
    }
    #[inline(always)]
    unsafe fn store_first(p: *mut f32, v: Self::V, n: usize) {
        for (i, x) in v.into_iter().enumerate().take(n) {
            p.add(i).write(x)
        }
    }
    #[inline(always)]
    unsafe fn store_at_least(p: *mut f32, v: Self::V, _: usize) {
        Self::store(p, v)
    }
    #[inline(always)]
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    unsafe fn max_nan(a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| if a[i] > b[i] || a[i].is_nan() { a[i] } else { b[i] })
    }
    #[inline(always)]
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] - b[i])
    }
    #[inline(always)]
    unsafe fn keep(v: Self::V, mask: u32) -> Self::V {
        std::array::from_fn(|i| if mask >> i & 1 == 1 { v[i] } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn index(index: &[u32; MAX_LANES], mask: u32) -> Self::Index {
        (*index, mask)
    }
    #[inline(always)]
    unsafe fn permute(v: Self::V, (index, mask): Self::Index) -> Self::V {
        std::array::from_fn(|i| if mask >> i & 1 == 1 { v[index[i] as usize % 8] } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn sums_of_four(vectors: [Self::V; 4]) -> Self::V {
        std::array::from_fn(|i| vectors[i % 4][i / 4 * 4..][..4].iter().sum())
    }
    #[inline(always)]
    unsafe fn sums_of_fours(fours: [Self::V; MAX_LANES / 4]) -> Self::V {
        std::array::from_fn(|i| fours[i / 4][i % 4] + fours[i / 4][4 + i % 4])
    }
    #[inline(always)]
    unsafe fn transpose(rows: &mut [Self::V; MAX_LANES]) {
        let old = *rows;
        for (i, row) in rows.iter_mut().enumerate().take(8) {
            *row = std::array::from_fn(|j| old[j][i]);
        }
    }
    #[inline(always)]
    unsafe fn interleave(a: Self::V, b: Self::V) -> [Self::V; 2] {
        let element = |i: usize| [a, b][i % 2][i / 2];
        [std::array::from_fn(element), std::array::from_fn(|i| element(8 + i))]
    }
    #[inline(always)]
    unsafe fn even(a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| [a, b][i / 4][i % 4 * 2])
    }
    #[inline(always)]
    unsafe fn odd(a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| [a, b][i / 4][i % 4 * 2 + 1])
    }
}
