//! Bilinear resizing of maps: half-pixel centers, repeated edges, no antialiasing. Equal to PyTorch's
//! `interpolate(mode="bilinear", align_corners=False)` and, when enlarging, to OpenCV's `INTER_LINEAR`.

use crate::util::allocation;

/// The two neighbors that an output position interpolates, and the weight of the second one.
struct Sample {
    low: usize,
    high: usize,
    weight: f32,
}

/// The samples of one axis, resized from `from` to `to` pixels.
fn samples(from: usize, to: usize) -> impl Iterator<Item = Sample> {
    let scale = from as f32 / to as f32;
    (0..to).map(move |i| {
        let at = (scale * (i as f32 + 0.5) - 0.5).max(0.0);
        let low = (at as usize).min(from - 1);
        Sample { low, high: (low + 1).min(from - 1), weight: (at - low as f32).min(1.0) }
    })
}

/// Linear interpolation from `a` to `b`; exactly `a` where both are equal, so that a constant map stays
/// constant.
fn mix(a: f32, b: f32, weight: f32) -> f32 {
    a + weight * (b - a)
}

/// `map` of shape (h, w) resized to (H, W).
///
/// # Panics
/// When `map` is empty or does not have h * w elements, or the target is empty or does not fit in memory.
pub fn bilinear(map: &[f32], from: (usize, usize), to: (usize, usize)) -> Vec<f32> {
    let room = |rows: usize| allocation::vec_or_panic("a map", rows.saturating_mul(to.1), 0.0);
    let (mut out, mut wide) = (room(to.0), room(from.0));
    bilinear_into(map, from, to, &mut out, &mut wide);
    out
}

/// [`bilinear`] without allocation: writes `out`, of H * W elements, and uses `wide`, of h * W elements,
/// as scratch.
///
/// # Panics
/// As [`bilinear`], and when `out` or `wide` has another size.
pub fn bilinear_into(
    map: &[f32],
    (h, w): (usize, usize),
    (height, width): (usize, usize),
    out: &mut [f32],
    wide: &mut [f32],
) {
    assert!(
        h.checked_mul(w) == Some(map.len()) && !map.is_empty(),
        "map of {h} x {w} with {} elements",
        map.len()
    );
    assert!(height > 0 && width > 0, "target of {height} x {width}");
    assert!(out.len() == height * width && wide.len() == h * width, "room for {height} x {width}");
    // Each row is resized to the full width once, then pairs of rows are interpolated.
    for (i, column) in samples(w, width).enumerate() {
        for (wide, row) in wide.chunks_exact_mut(width).zip(map.chunks_exact(w)) {
            wide[i] = mix(row[column.low], row[column.high], column.weight);
        }
    }
    for (out, row) in out.chunks_exact_mut(width).zip(samples(h, height)) {
        let (above, below) = (&wide[row.low * width..][..width], &wide[row.high * width..][..width]);
        for ((out, a), b) in out.iter_mut().zip(above).zip(below) {
            *out = mix(*a, *b, row.weight);
        }
    }
}
