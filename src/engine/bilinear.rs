//! Bilinear resizing of maps: half-pixel centres, edges repeated, no antialiasing. As PyTorch's
//! `interpolate(mode="bilinear", align_corners=False)` and, when enlarging, OpenCV's `INTER_LINEAR`.

/// The two neighbours that an output position mixes, and the second one's share.
struct Tap {
    low: usize,
    high: usize,
    share: f32,
}

/// The taps of one axis.
fn taps(from: usize, to: usize) -> impl Iterator<Item = Tap> {
    let scale = from as f32 / to as f32;
    (0..to).map(move |i| {
        let at = (scale * (i as f32 + 0.5) - 0.5).max(0.0);
        let low = (at as usize).min(from - 1);
        Tap { low, high: (low + 1).min(from - 1), share: (at - low as f32).min(1.0) }
    })
}

/// Between `a` and `b`; exactly `a` where both are equal, so that a flat map stays flat.
fn mix(a: f32, b: f32, share: f32) -> f32 {
    a + share * (b - a)
}

/// `map` of (h, w) numbers resized to (H, W).
///
/// # Panics
/// When `map` is empty or does not hold h * w numbers, or the target is empty.
pub fn bilinear(map: &[f32], from: (usize, usize), to: (usize, usize)) -> Vec<f32> {
    let (mut out, mut wide) = (vec![0.0; to.0 * to.1], vec![0.0; from.0 * to.1]);
    bilinear_into(map, from, to, &mut out, &mut wide);
    out
}

/// [`bilinear`] without allocation: into `out`, of H * W numbers, by way of `wide`, of h * W.
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
    assert!(map.len() == h * w && !map.is_empty(), "map of {h} x {w} with {} numbers", map.len());
    assert!(height > 0 && width > 0, "target of {height} x {width}");
    assert!(out.len() == height * width && wide.len() == h * width);
    // Each row is brought to the full width once, then rows are mixed in pairs.
    for (i, column) in taps(w, width).enumerate() {
        for (wide, row) in wide.chunks_exact_mut(width).zip(map.chunks_exact(w)) {
            wide[i] = mix(row[column.low], row[column.high], column.share);
        }
    }
    for (out, row) in out.chunks_exact_mut(width).zip(taps(h, height)) {
        let (above, below) = (&wide[row.low * width..][..width], &wide[row.high * width..][..width]);
        for ((out, a), b) in out.iter_mut().zip(above).zip(below) {
            *out = mix(*a, *b, row.share);
        }
    }
}
