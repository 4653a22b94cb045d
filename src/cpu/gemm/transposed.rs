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

/// Units of [`COLUMNS`] that go through the groups together: their sums fit the second-level cache.
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
                unsafe { product::<$simd, 1, { BLOCK * 16 }>(call) }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn four(call: &Transposed) {
                // SAFETY: the caller's promise, passed on.
                unsafe { product::<$simd, COLUMNS, BLOCK>(call) }
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
unsafe fn product<S: Simd, const P: usize, const BLOCK: usize>(call: &Transposed) {
    // SAFETY: the caller's promise, passed on.
    unsafe {
        match (P, call.terms * call.group_channels / S::LANES) {
            (COLUMNS, 2) => blocks::<S, P, BLOCK, 2>(call),
            (COLUMNS, 4) => blocks::<S, P, BLOCK, 4>(call),
            (1, 9) => blocks::<S, P, BLOCK, 9>(call),
            _ => blocks::<S, P, BLOCK, 0>(call),
        }
    }
}

/// Some units' weights in one group, and where to ask for weights ahead.
struct Units {
    weight: *const f32,
    /// Vectors of a unit.
    vectors: usize,
    /// Where the weights of the call go on after these.
    next: *const f32,
}

impl Units {
    /// The address to ask for when unit `unit` of `units` begins.
    #[inline(always)]
    fn ahead<S: Simd>(&self, unit: usize, units: usize) -> *const f32 {
        let unit_len = self.vectors * S::LANES;
        let early = AHEAD.div_ceil(unit_len);
        match unit + early {
            inside if inside < units => self.weight.wrapping_add(inside * unit_len),
            beyond => self.next.wrapping_add((beyond - units) * unit_len),
        }
    }
}

/// All units, BLOCK of them through all groups at a time; N is the number of a unit's vectors, or 0 for any.
#[inline(always)]
unsafe fn blocks<S: Simd, const P: usize, const BLOCK: usize, const N: usize>(call: &Transposed) {
    let unit_len = call.terms * call.group_channels;
    let weight =
        |group: usize, unit: usize| call.weight.wrapping_add(group * call.group_len + unit * unit_len);
    for first in (call.first..call.end).step_by(BLOCK) {
        let units = BLOCK.min(call.end - first);
        // SAFETY: the units' weights, the right side and the results, as promised.
        unsafe {
            let mut sums = [[S::splat(0.0); P]; BLOCK];
            for group in 0..call.groups {
                let last = group + 1 == call.groups;
                let next = if last { weight(0, first + units) } else { weight(group + 1, first) };
                let run = Units { weight: weight(group, first), vectors: unit_len / S::LANES, next };
                let (right, sums) = (call.right.add(group * call.group_channels), &mut sums[..units]);
                match N {
                    0 => add_any::<S, P>(call, &run, right, sums),
                    _ => add::<S, P, N>(call, &run, right, sums),
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

/// Adds the products of units of N vectors to their sums. The right side stays in registers: beside
/// weights that come from memory, loads from the first-level cache are what takes the time.
#[inline(always)]
unsafe fn add<S: Simd, const P: usize, const N: usize>(
    call: &Transposed,
    units: &Units,
    right: *const f32,
    sums: &mut [[S::V; P]],
) {
    // SAFETY: the caller's promise.
    unsafe {
        let (group, row) = (call.group_channels, call.groups * call.group_channels);
        let mut held = [[S::splat(0.0); P]; N];
        for (number, held) in (0..).step_by(S::LANES).zip(&mut held) {
            for (column, held) in held.iter_mut().enumerate() {
                *held = S::load(right.add((number / group * P + column) * row + number % group));
            }
        }
        let count = sums.len();
        for (unit, sums) in sums.iter_mut().enumerate() {
            let (weight, ahead) = (units.weight.add(unit * N * S::LANES), units.ahead::<S>(unit, count));
            let mut acc = *sums;
            for (vector, held) in held.iter().enumerate() {
                let w = S::load(weight.add(vector * S::LANES));
                S::prefetch(ahead.wrapping_add(vector * S::LANES));
                for (sum, &right) in acc.iter_mut().zip(held) {
                    *sum = S::fma(w, right, *sum);
                }
            }
            *sums = acc;
        }
    }
}

/// The same for units of any number of vectors.
#[inline(always)]
unsafe fn add_any<S: Simd, const P: usize>(
    call: &Transposed,
    units: &Units,
    right: *const f32,
    sums: &mut [[S::V; P]],
) {
    let (group, row) = (call.group_channels, call.groups * call.group_channels);
    let (count, unit_len) = (sums.len(), call.terms * group);
    for (unit, sums) in sums.iter_mut().enumerate() {
        let ahead = units.ahead::<S>(unit, count);
        let mut acc = *sums;
        for term in 0..call.terms {
            for channel in (0..group).step_by(S::LANES) {
                // SAFETY: the caller's promise.
                unsafe {
                    let w = S::load(units.weight.add(unit * unit_len + term * group + channel));
                    S::prefetch(ahead.wrapping_add(term * group + channel));
                    for (column, sum) in acc.iter_mut().enumerate() {
                        let right = S::load(right.add((term * P + column) * row + channel));
                        *sum = S::fma(w, right, *sum);
                    }
                }
            }
        }
        *sums = acc;
    }
}
