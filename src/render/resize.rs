//! Bilinear resize of a map.

/// `map` (h, w) resized to `height` x `width`: half-pixel centres, edges repeated, no
/// antialiasing. As PyTorch's `interpolate(mode="bilinear", align_corners=False)` and, when
/// enlarging, OpenCV's `INTER_LINEAR`.
///
/// # Panics
/// When `map` is empty or does not hold `h * w` numbers, or the target is empty.
pub fn bilinear(map: &[f32], (h, w): (usize, usize), (height, width): (usize, usize)) -> Vec<f32> {
    assert!(map.len() == h * w && !map.is_empty(), "map of {h} x {w} with {} numbers", map.len());
    assert!(height > 0 && width > 0, "target of {height} x {width}");
    let columns = Tap::all(w, width);
    // Each row of the map is brought to the full width once, then rows are mixed in pairs.
    let mut wide = Vec::with_capacity(h * width);
    for row in map.chunks_exact(w) {
        wide.extend(columns.iter().map(|t| (1.0 - t.weight) * row[t.low] + t.weight * row[t.high]));
    }
    let mut out = Vec::with_capacity(height * width);
    for t in Tap::all(h, height) {
        let (above, below) = (&wide[t.low * width..][..width], &wide[t.high * width..][..width]);
        out.extend(above.iter().zip(below).map(|(a, b)| (1.0 - t.weight) * a + t.weight * b));
    }
    out
}

/// The two neighbours that an output position mixes, and the second one's share.
struct Tap {
    low: usize,
    high: usize,
    weight: f32,
}

impl Tap {
    fn all(from: usize, to: usize) -> Vec<Tap> {
        let scale = from as f32 / to as f32;
        (0..to)
            .map(|i| {
                let at = (scale * (i as f32 + 0.5) - 0.5).max(0.0);
                let low = (at as usize).min(from - 1);
                let high = (low + 1).min(from - 1);
                Tap { low, high, weight: (at - low as f32).min(1.0) }
            })
            .collect()
    }
}
