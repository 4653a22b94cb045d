//! Vectors of `f32` on the three kinds of CPU that we serve. Kernels are written once over
//! [`Simd`] and compiled for each kind; the right one is chosen when the program starts.

/// A kind of CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isa {
    /// 16 numbers a vector, 32 registers.
    Avx512,
    /// 8 numbers a vector, 16 registers, fused multiply-add.
    Avx2,
    /// Whatever the compiler makes of eight numbers at a time.
    Portable,
}

impl Isa {
    /// The best kind that this machine has.
    pub fn detect() -> Isa {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") {
                return Isa::Avx512;
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Isa::Avx2;
            }
        }
        Isa::Portable
    }

    /// `avx512`, `avx2` or `portable`.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Avx512 => "avx512",
            Isa::Avx2 => "avx2",
            Isa::Portable => "portable",
        }
    }

    /// Numbers in a vector.
    pub(super) fn lanes(self) -> usize {
        if self == Isa::Avx512 { 16 } else { 8 }
    }

    /// The kinds that this machine can run, best first.
    pub fn available() -> Vec<Isa> {
        let best = Isa::detect();
        [Isa::Avx512, Isa::Avx2, Isa::Portable].into_iter().skip_while(|&isa| isa != best).collect()
    }
}

/// The most numbers in a vector.
pub(super) const MAX_LANES: usize = 16;

/// A vector of `LANES` numbers.
///
/// # Safety
/// Every function needs a CPU of the implementing kind; loads and stores need valid memory for
/// the numbers that they touch.
pub(super) trait Simd: Copy {
    type V: Copy;
    /// Where each number of a permutation comes from.
    type Index: Copy;
    const LANES: usize;
    unsafe fn splat(x: f32) -> Self::V;
    unsafe fn load(p: *const f32) -> Self::V;
    /// Asks for the cache line of `p`, which may be any address, to be brought into the second-level cache.
    unsafe fn prefetch(p: *const f32);
    /// The same into the first-level cache.
    unsafe fn prefetch_near(p: *const f32);
    unsafe fn store(p: *mut f32, v: Self::V);
    /// Stores the first `n` numbers, n <= LANES.
    unsafe fn store_first(p: *mut f32, v: Self::V, n: usize);
    /// Stores the first `n` numbers, n <= LANES, and perhaps more up to LANES: the shorter a store, the
    /// rarer it lies across two cache lines.
    unsafe fn store_at_least(p: *mut f32, v: Self::V, n: usize);
    /// a * b + c.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    /// The larger of each pair; `b` where either is NaN.
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    /// The numbers whose bit of `mask` is set, zero elsewhere.
    unsafe fn keep(v: Self::V, mask: u32) -> Self::V;
    /// Number `index[i]` at each place i whose bit of `mask` is set, zero elsewhere.
    unsafe fn index(index: &[u32; MAX_LANES], mask: u32) -> Self::Index;
    unsafe fn permute(v: Self::V, index: Self::Index) -> Self::V;
    /// Four vectors summed up to a four of numbers in each LANES / 4th part of a vector.
    unsafe fn sums_of_four(vectors: [Self::V; 4]) -> Self::V;
    /// The sums that the first LANES / 4 results of [`Simd::sums_of_four`] stand for, in order.
    unsafe fn sums_of_fours(fours: [Self::V; MAX_LANES / 4]) -> Self::V;
    /// Number j of vector i becomes number i of vector j, of the first LANES vectors.
    unsafe fn transpose(rows: &mut [Self::V; MAX_LANES]);
    /// The numbers of `a` and `b` in turn: the first half of the result, and the second.
    unsafe fn interleave(a: Self::V, b: Self::V) -> [Self::V; 2];
    /// Every second of the 2 * LANES numbers from `p`.
    unsafe fn load_even(p: *const f32) -> Self::V;
}

/// See [`Isa::Portable`].
#[derive(Clone, Copy)]
pub(super) struct Portable;

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
        unsafe { p.cast::<[f32; 8]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn prefetch(_: *const f32) {}
    #[inline(always)]
    unsafe fn prefetch_near(_: *const f32) {}
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: Self::V) {
        unsafe { p.cast::<[f32; 8]>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn store_first(p: *mut f32, v: Self::V, n: usize) {
        for (i, x) in v.into_iter().enumerate().take(n) {
            unsafe { p.add(i).write(x) }
        }
    }
    #[inline(always)]
    unsafe fn store_at_least(p: *mut f32, v: Self::V, _: usize) {
        unsafe { Self::store(p, v) }
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
        let number = |i: usize| [a, b][i % 2][i / 2];
        [std::array::from_fn(number), std::array::from_fn(|i| number(8 + i))]
    }
    #[inline(always)]
    unsafe fn load_even(p: *const f32) -> Self::V {
        std::array::from_fn(|i| unsafe { *p.add(2 * i) })
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{MAX_LANES, Simd};
    use std::arch::x86_64::*;

    /// See [`super::Isa::Avx2`].
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx2;

    impl Simd for Avx2 {
        type V = __m256;
        type Index = (__m256i, __m256);
        const LANES: usize = 8;
        #[inline(always)]
        unsafe fn splat(x: f32) -> Self::V {
            unsafe { _mm256_set1_ps(x) }
        }
        #[inline(always)]
        unsafe fn load(p: *const f32) -> Self::V {
            unsafe { _mm256_loadu_ps(p) }
        }
        #[inline(always)]
        unsafe fn prefetch(p: *const f32) {
            unsafe { _mm_prefetch::<_MM_HINT_T1>(p.cast()) }
        }
        #[inline(always)]
        unsafe fn prefetch_near(p: *const f32) {
            unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
        }
        #[inline(always)]
        unsafe fn store(p: *mut f32, v: Self::V) {
            unsafe { _mm256_storeu_ps(p, v) }
        }
        #[inline(always)]
        unsafe fn store_first(p: *mut f32, v: Self::V, n: usize) {
            // In pieces: AMD's CPUs take dozens of steps for a masked store of this kind.
            unsafe {
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
        }
        #[inline(always)]
        unsafe fn store_at_least(p: *mut f32, v: Self::V, n: usize) {
            unsafe {
                match n {
                    0..=4 => _mm_storeu_ps(p, _mm256_castps256_ps128(v)),
                    _ => _mm256_storeu_ps(p, v),
                }
            }
        }
        #[inline(always)]
        unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
            unsafe { _mm256_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
            unsafe { _mm256_max_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
            unsafe { _mm256_add_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
            unsafe { _mm256_sub_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn keep(v: Self::V, mask: u32) -> Self::V {
            unsafe {
                let bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
                let set = _mm256_and_si256(_mm256_set1_epi32(mask as i32), bits);
                _mm256_and_ps(v, _mm256_castsi256_ps(_mm256_cmpeq_epi32(set, bits)))
            }
        }
        #[inline(always)]
        unsafe fn index(index: &[u32; MAX_LANES], mask: u32) -> Self::Index {
            unsafe {
                let all = _mm256_castsi256_ps(_mm256_set1_epi32(-1));
                (_mm256_loadu_si256(index.as_ptr().cast()), Self::keep(all, mask))
            }
        }
        #[inline(always)]
        unsafe fn permute(v: Self::V, (index, kept): Self::Index) -> Self::V {
            unsafe { _mm256_and_ps(_mm256_permutevar8x32_ps(v, index), kept) }
        }
        #[inline(always)]
        unsafe fn sums_of_four([a, b, c, d]: [Self::V; 4]) -> Self::V {
            unsafe {
                let two = |a, b| _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
                let (ab, cd) = (two(a, b), two(c, d));
                let low = _mm256_shuffle_ps::<0b01_00_01_00>(ab, cd);
                _mm256_add_ps(low, _mm256_shuffle_ps::<0b11_10_11_10>(ab, cd))
            }
        }
        #[inline(always)]
        unsafe fn sums_of_fours([a, b, ..]: [Self::V; MAX_LANES / 4]) -> Self::V {
            unsafe {
                _mm256_add_ps(_mm256_permute2f128_ps::<0x20>(a, b), _mm256_permute2f128_ps::<0x31>(a, b))
            }
        }
        #[inline(always)]
        unsafe fn transpose(rows: &mut [Self::V; MAX_LANES]) {
            unsafe {
                let mut pairs = *rows;
                for i in [0, 2, 4, 6] {
                    pairs[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
                    pairs[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
                }
                let mut fours = pairs;
                for i in [0, 4] {
                    for j in 0..2 {
                        fours[i + 2 * j] = _mm256_shuffle_ps::<0b01_00_01_00>(pairs[i + j], pairs[i + j + 2]);
                        fours[i + 2 * j + 1] =
                            _mm256_shuffle_ps::<0b11_10_11_10>(pairs[i + j], pairs[i + j + 2]);
                    }
                }
                for i in 0..4 {
                    rows[i] = _mm256_permute2f128_ps::<0x20>(fours[i], fours[i + 4]);
                    rows[i + 4] = _mm256_permute2f128_ps::<0x31>(fours[i], fours[i + 4]);
                }
            }
        }
        #[inline(always)]
        unsafe fn interleave(a: Self::V, b: Self::V) -> [Self::V; 2] {
            unsafe {
                let (low, high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
                [_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high)]
            }
        }
        #[inline(always)]
        unsafe fn load_even(p: *const f32) -> Self::V {
            unsafe {
                let (a, b) = (_mm256_loadu_ps(p), _mm256_loadu_ps(p.add(8)));
                let pairs = _mm256_castps_pd(_mm256_shuffle_ps::<0b10_00_10_00>(a, b));
                _mm256_castpd_ps(_mm256_permute4x64_pd::<0b11_01_10_00>(pairs))
            }
        }
    }

    /// See [`super::Isa::Avx512`].
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx512;

    impl Simd for Avx512 {
        type V = __m512;
        type Index = (__m512i, __mmask16);
        const LANES: usize = 16;
        #[inline(always)]
        unsafe fn splat(x: f32) -> Self::V {
            unsafe { _mm512_set1_ps(x) }
        }
        #[inline(always)]
        unsafe fn load(p: *const f32) -> Self::V {
            unsafe { _mm512_loadu_ps(p) }
        }
        #[inline(always)]
        unsafe fn prefetch(p: *const f32) {
            unsafe { _mm_prefetch::<_MM_HINT_T1>(p.cast()) }
        }
        #[inline(always)]
        unsafe fn prefetch_near(p: *const f32) {
            unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
        }
        #[inline(always)]
        unsafe fn store(p: *mut f32, v: Self::V) {
            unsafe { _mm512_storeu_ps(p, v) }
        }
        #[inline(always)]
        unsafe fn store_first(p: *mut f32, v: Self::V, n: usize) {
            let mask = ((1_u32 << n) - 1) as __mmask16;
            unsafe { _mm512_mask_storeu_ps(p, mask, v) }
        }
        #[inline(always)]
        unsafe fn store_at_least(p: *mut f32, v: Self::V, n: usize) {
            unsafe {
                match n {
                    0..=4 => _mm_storeu_ps(p, _mm512_castps512_ps128(v)),
                    5..=8 => _mm256_storeu_ps(p, _mm512_castps512_ps256(v)),
                    _ => _mm512_storeu_ps(p, v),
                }
            }
        }
        #[inline(always)]
        unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
            unsafe { _mm512_max_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
            unsafe { _mm512_add_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
            unsafe { _mm512_sub_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn keep(v: Self::V, mask: u32) -> Self::V {
            unsafe { _mm512_maskz_mov_ps(mask as __mmask16, v) }
        }
        #[inline(always)]
        unsafe fn index(index: &[u32; MAX_LANES], mask: u32) -> Self::Index {
            unsafe { (_mm512_loadu_si512(index.as_ptr().cast()), mask as __mmask16) }
        }
        #[inline(always)]
        unsafe fn permute(v: Self::V, (index, mask): Self::Index) -> Self::V {
            unsafe { _mm512_maskz_permutexvar_ps(mask, index, v) }
        }
        #[inline(always)]
        unsafe fn sums_of_four([a, b, c, d]: [Self::V; 4]) -> Self::V {
            unsafe {
                let two = |a, b| _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
                let (ab, cd) = (two(a, b), two(c, d));
                let low = _mm512_shuffle_ps::<0b01_00_01_00>(ab, cd);
                _mm512_add_ps(low, _mm512_shuffle_ps::<0b11_10_11_10>(ab, cd))
            }
        }
        #[inline(always)]
        unsafe fn sums_of_fours([a, b, c, d]: [Self::V; MAX_LANES / 4]) -> Self::V {
            unsafe {
                let two = |a, b| {
                    let even = _mm512_shuffle_f32x4::<0b10_00_10_00>(a, b);
                    _mm512_add_ps(even, _mm512_shuffle_f32x4::<0b11_01_11_01>(a, b))
                };
                two(two(a, b), two(c, d))
            }
        }
        #[inline(always)]
        unsafe fn transpose(rows: &mut [Self::V; MAX_LANES]) {
            unsafe {
                let mut pairs = *rows;
                for i in [0, 2, 4, 6, 8, 10, 12, 14] {
                    pairs[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
                    pairs[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
                }
                // fours[4 q + c]: numbers c, c + 4, c + 8, c + 12 of vectors 4 q to 4 q + 3.
                let mut fours = pairs;
                for i in [0, 4, 8, 12] {
                    for j in 0..2 {
                        fours[i + 2 * j] = _mm512_shuffle_ps::<0b01_00_01_00>(pairs[i + j], pairs[i + j + 2]);
                        fours[i + 2 * j + 1] =
                            _mm512_shuffle_ps::<0b11_10_11_10>(pairs[i + j], pairs[i + j + 2]);
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
        }
        #[inline(always)]
        unsafe fn interleave(a: Self::V, b: Self::V) -> [Self::V; 2] {
            unsafe {
                let first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
                let second = _mm512_add_epi32(first, _mm512_set1_epi32(8));
                [_mm512_permutex2var_ps(a, first, b), _mm512_permutex2var_ps(a, second, b)]
            }
        }
        #[inline(always)]
        unsafe fn load_even(p: *const f32) -> Self::V {
            unsafe {
                let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
                _mm512_permutex2var_ps(_mm512_loadu_ps(p), even, _mm512_loadu_ps(p.add(16)))
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512};
