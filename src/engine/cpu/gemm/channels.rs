//! Micro-kernel whose vectors run along the output channels: V vectors by P pixels. No lane is idle
//! where the pixels are not a multiple of a vector, and the weights are read in one stream.

use super::{MicroTile, PREFETCH_DISTANCE};
use crate::engine::cpu::aligned::CACHE_LINE_F32;
use crate::engine::cpu::simd::{MAX_LANES, Simd};

/// Computes one tile.
///
/// # Safety
/// As for the functions in [`super::MicroKernel`], with M = V vectors.
#[inline(always)]
pub(crate) unsafe fn tile<S: Simd, const V: usize, const P: usize>(t: &MicroTile) {
    // SAFETY: `weight` has k * V vectors, `bias` V, `offsets` k elements; `x` is readable for P floats from
    // each offset; `out` is writable for `pixels` floats in each of `channels` channels.
    unsafe {
        let mut bias = [S::splat(0.0); V];
        for (v, bias) in bias.iter_mut().enumerate() {
            *bias = S::load(t.bias.add(v * S::LANES));
        }
        let mut acc = [bias; P];
        let mut weight = t.weight;
        for k in 0..t.k {
            let x = t.x.add(*t.offsets.add(k) as usize);
            let mut w = [S::splat(0.0); V];
            for (v, w) in w.iter_mut().enumerate() {
                *w = S::load(weight.add(v * S::LANES));
                if (v * S::LANES).is_multiple_of(CACHE_LINE_F32) {
                    S::prefetch(weight.wrapping_add(v * S::LANES + PREFETCH_DISTANCE));
                }
            }
            for (p, sums) in acc.iter_mut().enumerate() {
                let x = S::splat(*x.add(p));
                for (sum, &w) in sums.iter_mut().zip(&w) {
                    *sum = S::fma(w, x, *sum);
                }
            }
            weight = weight.add(V * S::LANES);
        }
        let [low, high] = t.bounds.map(|bound| S::splat(bound));
        let mut results = [[S::splat(0.0); V]; P];
        for (results, sums) in results.iter_mut().zip(&acc) {
            for (result, &sum) in results.iter_mut().zip(sums) {
                // Propagates NaN: both return their second argument where either is NaN.
                *result = S::min(high, S::max(low, sum));
            }
        }
        // Forces the results through memory. Otherwise the loop below, which indexes them by a value known
        // only at run time, makes the compiler keep the sums in memory during the loop over k as well
        // (30 instead of 17 ms for ImageNet, see benches/NOTES.md). A hint that the compiler may ignore,
        // so only speed depends on it.
        let results = std::hint::black_box(&results);
        for v in 0..V {
            for first in (0..t.pixels).step_by(S::LANES) {
                let mut square = [S::splat(0.0); MAX_LANES];
                for (row, result) in square.iter_mut().zip(&results[first..]).take(S::LANES) {
                    *row = result[v];
                }
                S::transpose(&mut square);
                let pixels = S::LANES.min(t.pixels - first);
                let channels = t.channels.saturating_sub(v * S::LANES);
                for (i, &row) in square.iter().enumerate().take(S::LANES.min(channels)) {
                    let out = t.out.add((v * S::LANES + i) * t.out_stride + first);
                    S::store_first(out, row, pixels);
                }
            }
        }
    }
}
