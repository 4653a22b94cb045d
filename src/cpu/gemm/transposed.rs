//! The transposed product: packed weights times gradients, read in the order of the forward pass,
//! so that backward needs no copy of its own and finds them where forward has left them.
//!
//! A unit is some terms k of the forward sum that follow each other: out[unit, p] = sum over the
//! unit's terms t and the output channels o of weight[o, unit * terms + t] * right[t, p, o]. Every unit
//! has one order of summing, whatever the call's range.

use super::AHEAD;
#[cfg(target_arch = "x86_64")]
use crate::cpu::simd::{Avx2, Avx512};
use crate::cpu::simd::{Isa, MAX_LANES, Portable, Simd};

/// The most numbers that a unit makes.
pub(in super::super) const COLUMNS: usize = 4;

/// Units that go through the groups together.
const BLOCK: usize = 64;

/// One call.
pub(in super::super) struct Transposed {
    /// (groups, k, M) numbers, M whole vectors.
    pub(in super::super) weight: *const f32,
    pub(in super::super) groups: usize,
    /// Numbers of a group, k * M.
    pub(in super::super) group_len: usize,
    /// M.
    pub(in super::super) group_channels: usize,
    /// Terms of a unit.
    pub(in super::super) terms: usize,
    /// First unit and end.
    pub(in super::super) first: usize,
    pub(in super::super) end: usize,
    /// (terms, P, groups * M) numbers.
    pub(in super::super) right: *const f32,
    /// (end - first, P) numbers.
    pub(in super::super) out: *mut f32,
}

/// Kernels of P = 1 and of P = [`COLUMNS`].
#[derive(Clone, Copy)]
pub(in super::super) struct TransposedKernels {
    /// # Safety
    /// The CPU is of the kernel's kind, and the pointers are good for the call's sizes.
    pub(in super::super) one: unsafe fn(&Transposed),
    /// # Safety
    /// As `one`.
    pub(in super::super) four: unsafe fn(&Transposed),
}

/// The kernels of one kind of CPU.
pub(in super::super) fn kernels(isa: Isa) -> TransposedKernels {
    macro_rules! kernels {
        ($simd:ty $(, $feature:literal)?) => {{
            $(#[target_feature(enable = $feature)])?
            unsafe fn one(call: &Transposed) {
                // SAFETY: the caller's promise, passed on.
                unsafe { product::<$simd, 1>(call) }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn four(call: &Transposed) {
                // SAFETY: the caller's promise, passed on.
                unsafe { product::<$simd, COLUMNS>(call) }
            }
            TransposedKernels { one, four }
        }};
    }
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => kernels!(Avx512, "avx512f,avx512vl"),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => kernels!(Avx2, "avx2,fma"),
        _ => kernels!(Portable),
    }
}

/// # Safety
/// As [`TransposedKernels::one`].
#[inline(always)]
unsafe fn product<S: Simd, const P: usize>(call: &Transposed) {
    let vectors = call.group_channels / S::LANES;
    let row = call.groups * call.group_channels;
    for first in (call.first..call.end).step_by(BLOCK) {
        let units = BLOCK.min(call.end - first);
        // SAFETY: the units' weights, the right side and the results, as promised.
        unsafe {
            let mut sums = [[S::splat(0.0); P]; BLOCK];
            for group in 0..call.groups {
                let mut weight =
                    call.weight.add(group * call.group_len + first * call.terms * call.group_channels);
                for sums in sums.iter_mut().take(units) {
                    let mut acc = *sums;
                    for term in 0..call.terms {
                        let right = call.right.add(term * P * row + group * call.group_channels);
                        for v in 0..vectors {
                            let w = S::load(weight);
                            S::prefetch(weight.wrapping_add(AHEAD));
                            weight = weight.add(S::LANES);
                            for (p, sum) in acc.iter_mut().enumerate() {
                                *sum = S::fma(w, S::load(right.add(p * row + v * S::LANES)), *sum);
                            }
                        }
                    }
                    *sums = acc;
                }
            }
            // The sums of LANES vectors at once.
            let flat = std::slice::from_raw_parts(sums.as_ptr().cast::<S::V>(), units * P);
            let out = call.out.add((first - call.first) * P);
            for (i, some) in flat.chunks(S::LANES).enumerate() {
                let mut square = [S::splat(0.0); MAX_LANES];
                square[..some.len()].copy_from_slice(some);
                S::transpose(&mut square);
                let mut sum = square[0];
                for &vector in &square[1..S::LANES] {
                    sum = S::add(sum, vector);
                }
                S::store_first(out.add(i * S::LANES), sum, some.len());
            }
        }
    }
}
