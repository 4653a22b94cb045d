//! Bilinear resizing of maps, as PyTorch's `interpolate(mode="bilinear", align_corners=False)`.

/// Where an output pixel reads: two neighbours and the share of the second.
struct Tap {
    low: usize,
    high: usize,
    share: f32,
}

/// The taps of one axis: half-pixel centres, edges repeated.
fn taps(from: usize, to: usize) -> impl Iterator<Item = Tap> {
    let scale = from as f32 / to as f32;
    (0..to).map(move |i| {
        let centre = ((i as f32 + 0.5) * scale - 0.5).max(0.0);
        let low = (centre as usize).min(from - 1);
        Tap { low, high: (low + 1).min(from - 1), share: centre - low as f32 }
    })
}

/// Between `a` and `b`, and exactly `a` where both are equal: a map that is the same everywhere
/// stays so, instead of turning into rounding noise that scaling to [0, 1] would blow up.
fn mix(a: f32, b: f32, share: f32) -> f32 {
    a + share * (b - a)
}

/// Resizes a map of `from` = (h, w) numbers into `out`, of `to` = (H, W). No allocation.
///
/// # Panics
/// When a slice does not fit its size, or a size is zero.
pub fn bilinear(map: &[f32], from: (usize, usize), to: (usize, usize), out: &mut [f32]) {
    assert_eq!((map.len(), out.len()), (from.0 * from.1, to.0 * to.1));
    for (row, y) in out.chunks_exact_mut(to.1).zip(taps(from.0, to.0)) {
        let (top, bottom) = (&map[y.low * from.1..][..from.1], &map[y.high * from.1..][..from.1]);
        for (out, x) in row.iter_mut().zip(taps(from.1, to.1)) {
            let (top, bottom) =
                (mix(top[x.low], top[x.high], x.share), mix(bottom[x.low], bottom[x.high], x.share));
            *out = mix(top, bottom, y.share);
        }
    }
}
