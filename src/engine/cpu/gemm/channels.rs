//! The tile whose vectors run along the output channels: P pixels by V vectors. No pixel is wasted
//! where a map is no multiple of a vector, and the weights are read in one stream.

use super::{AHEAD, Tile};
use crate::engine::cpu::aligned::LINE;
use crate::engine::cpu::simd::{MAX_LANES, Simd};

/// # Safety
/// As [`super::TileKernel`]'s kernels.
#[inline(always)]
pub(super) unsafe fn tile<S: Simd, const V: usize, const P: usize>(t: &Tile) {
    // SAFETY: `weight` has k * V vectors, `bias` V, `offsets` k; `x` may be read P numbers from each
    // offset; `out` may be written `pixels` numbers in each of `channels` channels.
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
                if (v * S::LANES).is_multiple_of(LINE) {
                    S::prefetch(weight.wrapping_add(v * S::LANES + AHEAD));
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
        let floor = S::splat(if t.relu { 0.0 } else { f32::NEG_INFINITY });
        let mut results = [[S::splat(0.0); V]; P];
        for (results, sums) in results.iter_mut().zip(&acc) {
            for (result, &sum) in results.iter_mut().zip(sums) {
                // NaN passes: max gives its second argument where either is NaN.
                *result = S::max(floor, sum);
            }
        }
        // Through memory: indexed by what is known only at run time, the sums would never be in registers.
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
