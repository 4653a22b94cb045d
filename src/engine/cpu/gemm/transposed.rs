//! Transposed product: packed weights times gradients, read in the order of the forward pass, so that
//! the backward pass needs no copy of its own and finds them where the forward pass left them.
//!
//! A unit is a run of terms of the forward sum: out[unit, p] = sum over the unit's terms t and the output
//! channels o of weight[o, unit * terms + t] * right[t, p, o]. Each unit is summed in one order, whatever
//! range of units a call computes.

use super::PREFETCH_DISTANCE;
use crate::engine::cpu::aligned::CACHE_LINE_F32;
use crate::engine::cpu::simd::{Isa, MAX_LANES, Simd, compiled};

/// Columns P of the right side that the wider kernel multiplies by.
pub(crate) const COLUMNS: usize = 4;

/// Operands of one call.
pub(crate) struct TransposedProduct {
    /// (groups, k, M) weights, M whole vectors.
    pub(crate) weight: *const f32,
    pub(crate) groups: usize,
    /// Floats of a group, k * M.
    pub(crate) group_len: usize,
    /// M.
    pub(crate) group_channels: usize,
    /// Terms of a unit.
    pub(crate) terms: usize,
    /// The first unit to compute.
    pub(crate) first: usize,
    /// The end of the units to compute.
    pub(crate) end: usize,
    /// (terms, P, groups * M) floats.
    pub(crate) right: *const f32,
    /// (end - first, P) floats, readable up to a vector beyond the last.
    pub(crate) out: *mut f32,
}

impl TransposedProduct {
    /// Leaves out the groups before and behind those with an element of `right` that is not zero, where units are single
    /// terms and P = 1; one group stays in any case.
    pub(crate) fn skip_zeros(&mut self, right: &[f32]) {
        debug_assert!(self.terms == 1 && right.len() == self.groups * self.group_channels);
        let used = |group: &[f32]| group.iter().any(|&x| x != 0.0);
        let first = right.chunks_exact(self.group_channels).position(used).unwrap_or(0);
        let last = right.chunks_exact(self.group_channels).rposition(used).unwrap_or(0);
        self.weight = self.weight.wrapping_add(first * self.group_len);
        self.right = self.right.wrapping_add(first * self.group_channels);
        self.groups = last + 1 - first;
    }
}

/// The kernels of P = 1 and of P = [`COLUMNS`].
#[derive(Clone, Copy)]
pub(crate) struct TransposedKernels {
    /// # Safety
    /// The CPU has the kernel's instruction set, and the pointers are valid for the call's sizes.
    pub(crate) one: unsafe fn(&TransposedProduct),
    /// # Safety
    /// As for `one`.
    pub(crate) four: unsafe fn(&TransposedProduct),
}

/// The kernels of one instruction set.
pub(crate) fn kernels(isa: Isa) -> TransposedKernels {
    TransposedKernels {
        one: compiled!(isa, S => unsafe fn(call: &TransposedProduct) { product::<S, 1>(call) }),
        four: compiled!(isa, S => unsafe fn(call: &TransposedProduct) { product::<S, COLUMNS>(call) }),
    }
}

/// Multiplies, with the loop over a unit's vectors unrolled for the lengths that occur often.
///
/// # Safety
/// As for [`TransposedKernels::one`].
#[inline(always)]
unsafe fn product<S: Simd, const P: usize>(call: &TransposedProduct) {
    // SAFETY: N is the number of vectors that was matched, or 0; the pointers are valid for the call's sizes, which the
    // caller promises.
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

/// Adds up all groups; N is the number of a unit's vectors, or 0 for any.
///
/// # Safety
/// As for [`TransposedKernels::one`], and N is right.
#[inline(always)]
unsafe fn groups<S: Simd, const P: usize, const N: usize>(call: &TransposedProduct) {
    // Copies, which stores to `out` cannot change: otherwise they would be loaded again for each unit.
    let TransposedProduct { weight, groups, group_len, first, end, out, .. } = *call;
    let unit_len = call.terms * call.group_channels;
    // Units ahead whose weights are prefetched; near the end of a group they are the next group's.
    let early = PREFETCH_DISTANCE.div_ceil(unit_len);
    let weight = |group: usize, unit: usize| weight.wrapping_add(group * group_len + unit * unit_len);
    for group in 0..groups {
        // SAFETY: the loop stays inside the units, groups and columns for which the caller promises that
        // the pointers are valid; addresses to prefetch may be invalid.
        unsafe {
            let right = Right::<S, P, N>::new(call, group);
            let sums = |unit: usize| {
                let ahead = match unit + early {
                    inside if inside < end => weight(group, inside),
                    beyond => weight(group + 1, first + beyond - end),
                };
                right.times(weight(group, unit), ahead)
            };
            for vector in (first..end).step_by(S::LANES / P) {
                // P vectors for each unit are summed four at a time into one, then those into the results.
                let mut fours = [S::splat(0.0); MAX_LANES / 4];
                // Counters of its own: the compiler does not always see through zipped steps.
                let mut unit = vector;
                for four in &mut fours[..S::LANES / 4] {
                    if unit >= end {
                        break;
                    }
                    let mut vectors = [S::splat(0.0); 4];
                    for vectors in vectors.chunks_exact_mut(P) {
                        if unit < end {
                            vectors.copy_from_slice(&sums(unit));
                            unit += 1;
                        }
                    }
                    *four = S::sums_of_four(vectors);
                }
                let (mut results, out) = (S::sums_of_fours(fours), out.add((vector - first) * P));
                if group > 0 {
                    results = S::add(S::load(out), results);
                }
                S::store_first(out, results, S::LANES.min((end - vector) * P));
            }
        }
    }
}

/// The right side's part of one group. Where the number of vectors N is known, it stays in registers:
/// beside weights that come from memory, loads from the L1 cache are the bottleneck.
struct Right<S: Simd, const P: usize, const N: usize> {
    held: [[S::V; P]; N],
    start: *const f32,
    terms: usize,
    group: usize,
    row: usize,
}

impl<S: Simd, const P: usize, const N: usize> Right<S, P, N> {
    /// Loads the part of group `group`.
    ///
    /// # Safety
    /// As for [`groups`].
    #[inline(always)]
    unsafe fn new(call: &TransposedProduct, group: usize) -> Self {
        let (size, row) = (call.group_channels, call.groups * call.group_channels);
        // SAFETY: N vectors of each column of the group are inside the right side.
        unsafe {
            let start = call.right.add(group * size);
            let mut held = [[S::splat(0.0); P]; N];
            for (index, held) in (0..).step_by(S::LANES).zip(&mut held) {
                for (column, held) in held.iter_mut().enumerate() {
                    *held = S::load(start.add((index / size * P + column) * row + index % size));
                }
            }
            Right { held, start, terms: call.terms, group: size, row }
        }
    }

    /// The weights of one unit times this; `ahead` is the address to prefetch meanwhile.
    ///
    /// # Safety
    /// `weight` has a unit's weights, and the right side is still valid.
    #[inline(always)]
    unsafe fn times(&self, weight: *const f32, ahead: *const f32) -> [S::V; P] {
        // SAFETY: loads stay inside the unit's weights and the group's part of the right side.
        unsafe {
            let mut sums = [S::splat(0.0); P];
            for (vector, held) in self.held.iter().enumerate() {
                let w = S::load(weight.add(vector * S::LANES));
                if (vector * S::LANES).is_multiple_of(CACHE_LINE_F32) {
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
                    if channel.is_multiple_of(CACHE_LINE_F32) {
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
