//! Micro-kernel whose vectors run along the pixels: M output channels by V vectors.

use super::{MicroTile, PREFETCH_DISTANCE};
use crate::engine::cpu::simd::Simd;

/// Computes one tile.
///
/// # Safety
/// As for the functions in [`super::MicroKernel`].
#[inline(always)]
pub(crate) unsafe fn tile<S: Simd, const M: usize, const V: usize>(t: &MicroTile) {
    // SAFETY: `weight` has k * M elements, `bias` M, `offsets` k; `x` is readable for V vectors from each
    // offset; `out` is writable for `pixels` floats in each of `channels` channels.
    unsafe {
        let mut acc = [[S::splat(0.0); V]; M];
        for (m, row) in acc.iter_mut().enumerate() {
            *row = [S::splat(*t.bias.add(m)); V];
        }
        let mut weight = t.weight;
        for k in 0..t.k {
            let x = t.x.add(*t.offsets.add(k) as usize);
            let mut pixels = [S::splat(0.0); V];
            for (v, vector) in pixels.iter_mut().enumerate() {
                *vector = S::load(x.add(v * S::LANES));
            }
            S::prefetch(weight.wrapping_add(PREFETCH_DISTANCE));
            for (m, row) in acc.iter_mut().enumerate() {
                let w = S::splat(*weight.add(m));
                for (sum, &vector) in row.iter_mut().zip(&pixels) {
                    *sum = S::fma(w, vector, *sum);
                }
            }
            weight = weight.add(M);
        }
        let [low, high] = t.bounds.map(|bound| S::splat(bound));
        for (m, row) in acc.iter().enumerate().take(t.channels) {
            let out = t.out.add(m * t.out_stride);
            for (v, &sum) in row.iter().enumerate() {
                // Propagates NaN: both return their second argument where either is NaN.
                let (start, value) = (v * S::LANES, S::min(high, S::max(low, sum)));
                if start + S::LANES <= t.pixels {
                    S::store(out.add(start), value);
                } else if start < t.pixels {
                    S::store_first(out.add(start), value, t.pixels - start);
                }
            }
        }
    }
}
