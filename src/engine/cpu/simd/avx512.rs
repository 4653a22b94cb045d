//! Vectors of sixteen floats in AVX-512.

#![allow(
    unsafe_op_in_unsafe_fn,
    reason = "each function is a few intrinsics, whose requirements are those of the function: see `Simd`"
)]

use std::arch::x86_64::*;

use super::{MAX_LANES, Simd};

/// Sixteen floats in a 512-bit register.
#[derive(Clone, Copy)]
pub(crate) struct Avx512;

impl Simd for Avx512 {
    type V = __m512;
    type Index = (__m512i, __mmask16);
    const LANES: usize = 16;
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::V {
        _mm512_set1_ps(x)
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self::V {
        _mm512_loadu_ps(p)
    }
    #[inline(always)]
    unsafe fn prefetch(p: *const f32) {
        _mm_prefetch::<_MM_HINT_T1>(p.cast())
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: Self::V) {
        _mm512_storeu_ps(p, v)
    }
    #[inline(always)]
    unsafe fn store_first(p: *mut f32, v: Self::V, n: usize) {
        let mask = ((1_u32 << n) - 1) as __mmask16;
        _mm512_mask_storeu_ps(p, mask, v)
    }
    #[inline(always)]
    unsafe fn store_at_least(p: *mut f32, v: Self::V, n: usize) {
        match n {
            0..=4 => _mm_storeu_ps(p, _mm512_castps512_ps128(v)),
            5..=8 => _mm256_storeu_ps(p, _mm512_castps512_ps256(v)),
            _ => _mm512_storeu_ps(p, v),
        }
    }
    #[inline(always)]
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        _mm512_fmadd_ps(a, b, c)
    }
    #[inline(always)]
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
        _mm512_max_ps(a, b)
    }
    #[inline(always)]
    unsafe fn max_nan(a: Self::V, b: Self::V) -> Self::V {
        let is_nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, a);
        _mm512_mask_mov_ps(_mm512_max_ps(a, b), is_nan, a)
    }
    #[inline(always)]
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V {
        _mm512_min_ps(a, b)
    }
    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        _mm512_add_ps(a, b)
    }
    #[inline(always)]
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        _mm512_sub_ps(a, b)
    }
    #[inline(always)]
    unsafe fn keep(v: Self::V, mask: u32) -> Self::V {
        _mm512_maskz_mov_ps(mask as __mmask16, v)
    }
    #[inline(always)]
    unsafe fn index(index: &[u32; MAX_LANES], mask: u32) -> Self::Index {
        (_mm512_loadu_si512(index.as_ptr().cast()), mask as __mmask16)
    }
    #[inline(always)]
    unsafe fn permute(v: Self::V, (index, mask): Self::Index) -> Self::V {
        _mm512_maskz_permutexvar_ps(mask, index, v)
    }
    #[inline(always)]
    unsafe fn sums_of_four([a, b, c, d]: [Self::V; 4]) -> Self::V {
        let two = |a, b| _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
        let (ab, cd) = (two(a, b), two(c, d));
        let low = _mm512_shuffle_ps::<0b01_00_01_00>(ab, cd);
        _mm512_add_ps(low, _mm512_shuffle_ps::<0b11_10_11_10>(ab, cd))
    }
    #[inline(always)]
    unsafe fn sums_of_fours([a, b, c, d]: [Self::V; MAX_LANES / 4]) -> Self::V {
        let two = |a, b| {
            let even = _mm512_shuffle_f32x4::<0b10_00_10_00>(a, b);
            _mm512_add_ps(even, _mm512_shuffle_f32x4::<0b11_01_11_01>(a, b))
        };
        two(two(a, b), two(c, d))
    }
    #[inline(always)]
    unsafe fn transpose(rows: &mut [Self::V; MAX_LANES]) {
        let mut pairs = *rows;
        for i in [0, 2, 4, 6, 8, 10, 12, 14] {
            pairs[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
            pairs[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
        }
        // fours[4 q + c] holds the elements c, c + 4, c + 8 and c + 12 of vectors 4 q to 4 q + 3.
        let mut fours = pairs;
        for i in [0, 4, 8, 12] {
            for j in 0..2 {
                fours[i + 2 * j] = _mm512_shuffle_ps::<0b01_00_01_00>(pairs[i + j], pairs[i + j + 2]);
                fours[i + 2 * j + 1] = _mm512_shuffle_ps::<0b11_10_11_10>(pairs[i + j], pairs[i + j + 2]);
            }
        }
        for c in 0..4 {
            let low = _mm512_shuffle_f32x4::<0b10_00_10_00>(fours[c], fours[4 + c]);
            let odd = _mm512_shuffle_f32x4::<0b11_01_11_01>(fours[c], fours[4 + c]);
            let low2 = _mm512_shuffle_f32x4::<0b10_00_10_00>(fours[8 + c], fours[12 + c]);
            let odd2 = _mm512_shuffle_f32x4::<0b11_01_11_01>(fours[8 + c], fours[12 + c]);
            rows[c] = _mm512_shuffle_f32x4::<0b10_00_10_00>(low, low2);
            rows[8 + c] = _mm512_shuffle_f32x4::<0b11_01_11_01>(low, low2);
            rows[4 + c] = _mm512_shuffle_f32x4::<0b10_00_10_00>(odd, odd2);
            rows[12 + c] = _mm512_shuffle_f32x4::<0b11_01_11_01>(odd, odd2);
        }
    }
    #[inline(always)]
    unsafe fn interleave(a: Self::V, b: Self::V) -> [Self::V; 2] {
        let first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        let second = _mm512_add_epi32(first, _mm512_set1_epi32(8));
        [_mm512_permutex2var_ps(a, first, b), _mm512_permutex2var_ps(a, second, b)]
    }
    #[inline(always)]
    unsafe fn even(a: Self::V, b: Self::V) -> Self::V {
        let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
        _mm512_permutex2var_ps(a, even, b)
    }
    #[inline(always)]
    unsafe fn odd(a: Self::V, b: Self::V) -> Self::V {
        let odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
        _mm512_permutex2var_ps(a, odd, b)
    }
}
