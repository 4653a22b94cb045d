//! The transposed product: packed weights times gradients, read in the order of the forward pass,
//! so that backward needs no copy of its own and finds them where forward has left them.
//!
//! A unit is some terms k of the forward sum that follow each other: out[unit, p] = sum over the
//! unit's terms t and the output channels o of weight[o, unit * terms + t] * right[t, p, o]. Every unit
//! has one order of summing, whatever the call's range.

use super::AHEAD;
use crate::engine::cpu::aligned::LINE;
use crate::engine::cpu::simd::{Isa, MAX_LANES, Simd, compiled};

/// The most numbers that a unit makes.
pub(in crate::engine::cpu) const COLUMNS: usize = 4;

/// One call.
pub(in crate::engine::cpu) struct Transposed {
    /// (groups, k, M) numbers, M whole vectors.
    pub(in crate::engine::cpu) weight: *const f32,
    pub(in crate::engine::cpu) groups: usize,
    /// Numbers of a group, k * M.
    pub(in crate::engine::cpu) group_len: usize,
    /// M.
    pub(in crate::engine::cpu) group_channels: usize,
    /// Terms of a unit.
    pub(in crate::engine::cpu) terms: usize,
    /// First unit and end.
    pub(in crate::engine::cpu) first: usize,
    pub(in crate::engine::cpu) end: usize,
    /// (terms, P, groups * M) numbers.
    pub(in crate::engine::cpu) right: *const f32,
    /// (end - first, P) numbers, readable up to a vector beyond the last.
    pub(in crate::engine::cpu) out: *mut f32,
}

/// Kernels of P = 1 and of P = [`COLUMNS`].
#[derive(Clone, Copy)]
pub(in crate::engine::cpu) struct TransposedKernels {
    /// # Safety
    /// The CPU is of the kernel's kind, and the pointers are good for the call's sizes.
    pub(in crate::engine::cpu) one: unsafe fn(&Transposed),
    /// # Safety
    /// As `one`.
    pub(in crate::engine::cpu) four: unsafe fn(&Transposed),
}

/// The kernels of one kind of CPU.
pub(in crate::engine::cpu) fn kernels(isa: Isa) -> TransposedKernels {
    TransposedKernels {
        one: compiled!(isa, S => unsafe fn(call: &Transposed) { product::<S, 1>(call) }),
        four: compiled!(isa, S => unsafe fn(call: &Transposed) { product::<S, COLUMNS>(call) }),
    }
}

/// # Safety
/// As [`TransposedKernels::one`].
#[inline(always)]
unsafe fn product<S: Simd, const P: usize>(call: &Transposed) {
    // SAFETY: the caller's promise, passed on.
    unsafe {
        match (P, call.terms * call.group_channels / S::LANES) {
            (COLUMNS, 1) => groups::<S, P, 1>(call),
            (COLUMNS, 2) => groups::<S, P, 2>(call),
            (COLUMNS, 3) => groups::<S, P, 3>(call),
            (COLUMNS, 4) => groups::<S, P, 4>(call),
            (1, 4) => groups::<S, P, 4>(call),
            (1, 8) => groups::<S, P, 8>(call),
            (1, 9) => groups::<S, P, 9>(call),
            _ => groups::<S, P, 0>(call),
        }
    }
}

/// All groups, one after another; N is the number of a unit's vectors, or 0 for any.
#[inline(always)]
unsafe fn groups<S: Simd, const P: usize, const N: usize>(call: &Transposed) {
    let unit_len = call.terms * call.group_channels;
    // Units before the end of a group's from which on the next group's weights are asked for.
    let early = AHEAD.div_ceil(unit_len);
    let weight =
        |group: usize, unit: usize| call.weight.wrapping_add(group * call.group_len + unit * unit_len);
    for group in 0..call.groups {
        // SAFETY: the units' weights, the right side and the results, as promised.
        unsafe {
            let right = Right::<S, P, N>::new(call, group);
            let sums = |unit: usize| {
                let ahead = match unit + early {
                    inside if inside < call.end => weight(group, inside),
                    beyond => weight(group + 1, call.first + beyond - call.end),
                };
                right.times(weight(group, unit), ahead)
            };
            for first in (call.first..call.end).step_by(S::LANES / P) {
                // Vectors of P results of each unit, then fours of vectors in one, then one vector of results.
                let mut fours = [S::splat(0.0); MAX_LANES / 4];
                for (units, four) in (first..call.end).step_by(4 / P).zip(&mut fours[..S::LANES / 4]) {
                    let mut vectors = [S::splat(0.0); 4];
                    for (unit, vectors) in (units..call.end).zip(vectors.chunks_exact_mut(P)) {
                        vectors.copy_from_slice(&sums(unit));
                    }
                    *four = S::sums_of_four(vectors);
                }
                let (mut results, out) = (S::sums_of_fours(fours), call.out.add((first - call.first) * P));
                if group > 0 {
                    results = S::add(S::load(out), results);
                }
                S::store_first(out, results, S::LANES.min((call.end - first) * P));
            }
        }
    }
}

/// The right side's part of one group. Where the number of vectors N is known it stays in registers:
/// beside weights that come from memory, loads from the first-level cache are what takes the time.
struct Right<S: Simd, const P: usize, const N: usize> {
    held: [[S::V; P]; N],
    start: *const f32,
    terms: usize,
    group: usize,
    row: usize,
}

impl<S: Simd, const P: usize, const N: usize> Right<S, P, N> {
    #[inline(always)]
    unsafe fn new(call: &Transposed, group: usize) -> Self {
        let (size, row) = (call.group_channels, call.groups * call.group_channels);
        // SAFETY: the caller's promise.
        unsafe {
            let start = call.right.add(group * size);
            let mut held = [[S::splat(0.0); P]; N];
            for (number, held) in (0..).step_by(S::LANES).zip(&mut held) {
                for (column, held) in held.iter_mut().enumerate() {
                    *held = S::load(start.add((number / size * P + column) * row + number % size));
                }
            }
            Right { held, start, terms: call.terms, group: size, row }
        }
    }

    /// The weights of one unit times this; `ahead` is what to ask for meanwhile.
    #[inline(always)]
    unsafe fn times(&self, weight: *const f32, ahead: *const f32) -> [S::V; P] {
        // SAFETY: the caller's promise.
        unsafe {
            let mut sums = [S::splat(0.0); P];
            for (vector, held) in self.held.iter().enumerate() {
                let w = S::load(weight.add(vector * S::LANES));
                if (vector * S::LANES).is_multiple_of(LINE) {
                    S::prefetch(ahead.wrapping_add(vector * S::LANES));
                }
                for (sum, &right) in sums.iter_mut().zip(held) {
                    *sum = S::fma(w, right, *sum);
                }
            }
            if N > 0 {
                return sums;
            }
            for term in 0..self.terms {
                for channel in (0..self.group).step_by(S::LANES) {
                    let w = S::load(weight.add(term * self.group + channel));
                    if channel.is_multiple_of(LINE) {
                        S::prefetch(ahead.wrapping_add(term * self.group + channel));
                    }
                    for (column, sum) in sums.iter_mut().enumerate() {
                        let right = S::load(self.start.add((term * P + column) * self.row + channel));
                        *sum = S::fma(w, right, *sum);
                    }
                }
            }
            sums
        }
    }
}
