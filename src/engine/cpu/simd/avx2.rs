//! Vectors of eight floats in AVX2, with fused multiply-add.

#![allow(
    unsafe_op_in_unsafe_fn,
    reason = "each function is a few intrinsics, whose requirements are those of the function: see `Simd`"
)]

use std::arch::x86_64::*;

use super::{MAX_LANES, Simd};

/// Eight floats in a 256-bit register.
#[derive(Clone, Copy)]
pub(crate) struct Avx2;

impl Simd for Avx2 {
    type V = __m256;
    type Index = (__m256i, __m256);
    const LANES: usize = 8;
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::V {
        _mm256_set1_ps(x)
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self::V {
        _mm256_loadu_ps(p)
    }
    #[inline(always)]
    unsafe fn prefetch(p: *const f32) {
        _mm_prefetch::<_MM_HINT_T1>(p.cast())
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: Self::V) {
        _mm256_storeu_ps(p, v)
    }
    #[inline(always)]
    unsafe fn store_first(p: *mut f32, v: Self::V, n: usize) {
        // In pieces: a masked store takes dozens of micro-operations on AMD CPUs.
        if n == Self::LANES {
            return _mm256_storeu_ps(p, v);
        }
        let (mut p, mut left) = (p, _mm256_castps256_ps128(v));
        if n & 4 != 0 {
            _mm_storeu_ps(p, left);
            (p, left) = (p.add(4), _mm256_extractf128_ps::<1>(v));
        }
        if n & 2 != 0 {
            _mm_storel_pd(p.cast(), _mm_castps_pd(left));
            (p, left) = (p.add(2), _mm_movehl_ps(left, left));
        }
        if n & 1 != 0 {
            _mm_store_ss(p, left);
        }
    }
    #[inline(always)]
    unsafe fn store_at_least(p: *mut f32, v: Self::V, n: usize) {
        match n {
            0..=4 => _mm_storeu_ps(p, _mm256_castps256_ps128(v)),
            _ => _mm256_storeu_ps(p, v),
        }
    }
    #[inline(always)]
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        _mm256_fmadd_ps(a, b, c)
    }
    #[inline(always)]
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
        _mm256_max_ps(a, b)
    }
    #[inline(always)]
    unsafe fn max_nan(a: Self::V, b: Self::V) -> Self::V {
        let is_nan = _mm256_cmp_ps::<_CMP_UNORD_Q>(a, a);
        _mm256_blendv_ps(_mm256_max_ps(a, b), a, is_nan)
    }
    #[inline(always)]
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V {
        _mm256_min_ps(a, b)
    }
    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        _mm256_add_ps(a, b)
    }
    #[inline(always)]
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        _mm256_sub_ps(a, b)
    }
    #[inline(always)]
    unsafe fn keep(v: Self::V, mask: u32) -> Self::V {
        let bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
        let set = _mm256_and_si256(_mm256_set1_epi32(mask as i32), bits);
        _mm256_and_ps(v, _mm256_castsi256_ps(_mm256_cmpeq_epi32(set, bits)))
    }
    #[inline(always)]
    unsafe fn index(index: &[u32; MAX_LANES], mask: u32) -> Self::Index {
        let all = _mm256_castsi256_ps(_mm256_set1_epi32(-1));
        (_mm256_loadu_si256(index.as_ptr().cast()), Self::keep(all, mask))
    }
    #[inline(always)]
    unsafe fn permute(v: Self::V, (index, kept): Self::Index) -> Self::V {
        _mm256_and_ps(_mm256_permutevar8x32_ps(v, index), kept)
    }
    #[inline(always)]
    unsafe fn sums_of_four([a, b, c, d]: [Self::V; 4]) -> Self::V {
        let two = |a, b| _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
        let (ab, cd) = (two(a, b), two(c, d));
        let low = _mm256_shuffle_ps::<0b01_00_01_00>(ab, cd);
        _mm256_add_ps(low, _mm256_shuffle_ps::<0b11_10_11_10>(ab, cd))
    }
    #[inline(always)]
    unsafe fn sums_of_fours([a, b, ..]: [Self::V; MAX_LANES / 4]) -> Self::V {
        _mm256_add_ps(_mm256_permute2f128_ps::<0x20>(a, b), _mm256_permute2f128_ps::<0x31>(a, b))
    }
    #[inline(always)]
    unsafe fn transpose(rows: &mut [Self::V; MAX_LANES]) {
        let mut pairs = *rows;
        for i in [0, 2, 4, 6] {
            pairs[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
            pairs[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
        }
        let mut fours = pairs;
        for i in [0, 4] {
            for j in 0..2 {
                fours[i + 2 * j] = _mm256_shuffle_ps::<0b01_00_01_00>(pairs[i + j], pairs[i + j + 2]);
                fours[i + 2 * j + 1] = _mm256_shuffle_ps::<0b11_10_11_10>(pairs[i + j], pairs[i + j + 2]);
            }
        }
        for i in 0..4 {
            rows[i] = _mm256_permute2f128_ps::<0x20>(fours[i], fours[i + 4]);
            rows[i + 4] = _mm256_permute2f128_ps::<0x31>(fours[i], fours[i + 4]);
        }
    }
    #[inline(always)]
    unsafe fn interleave(a: Self::V, b: Self::V) -> [Self::V; 2] {
        let (low, high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
        [_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high)]
    }
    #[inline(always)]
    unsafe fn even(a: Self::V, b: Self::V) -> Self::V {
        let pairs = _mm256_castps_pd(_mm256_shuffle_ps::<0b10_00_10_00>(a, b));
        _mm256_castpd_ps(_mm256_permute4x64_pd::<0b11_01_10_00>(pairs))
    }
    #[inline(always)]
    unsafe fn odd(a: Self::V, b: Self::V) -> Self::V {
        let pairs = _mm256_castps_pd(_mm256_shuffle_ps::<0b11_01_11_01>(a, b));
        _mm256_castpd_ps(_mm256_permute4x64_pd::<0b11_01_10_00>(pairs))
    }
}
