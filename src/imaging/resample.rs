//! Antialiased resize of images and maps, bit for bit equal to `Image.resize` of Pillow 13.
//!
//! An output pixel is a weighted mean of the input under a filter that widens with the scale when
//! downsampling. Two passes, in the order of [`is_vertical_first`]; before version 13, Pillow's horizontal pass was
//! always the first. For 8-bit images, weights are 22-bit fixed point and each pass rounds to 8 bits. [`crate::engine::bilinear`] is another filter on purpose: heatmaps follow
//! PyTorch's `interpolate`, which does not antialias.

use std::ops::Range;

use super::decode::MAX_PIXELS;
use super::rgb_image::RgbImage;

/// Fractional bits of a weight: 32 less 8 for the pixel and 2 for overshoot and sign.
const PRECISION: u32 = 32 - 8 - 2;

/// Resampling filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// Triangle filter with a support of one pixel.
    Bilinear,
    /// Keys' cubic filter, a = -0.5, with a support of two pixels.
    Bicubic,
}

impl Filter {
    /// Half the width of the filter in pixels.
    fn support(self) -> f64 {
        match self {
            Filter::Bilinear => 1.0,
            Filter::Bicubic => 2.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        let x = x.abs();
        match self {
            Filter::Bilinear if x < 1.0 => 1.0 - x,
            Filter::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            Filter::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            _ => 0.0,
        }
    }
}

/// Rectangle of an image in pixels; edges may be fractional. In double precision, in which neighboring pixels of
/// the widest image are far apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Region {
    /// Left edge.
    pub left: f64,
    /// Upper edge.
    pub top: f64,
    /// Right edge.
    pub right: f64,
    /// Lower edge.
    pub bottom: f64,
}

impl Region {
    /// The whole of `picture`.
    pub fn all(picture: &RgbImage) -> Self {
        Region { left: 0.0, top: 0.0, right: picture.width as f64, bottom: picture.height as f64 }
    }
}

/// The region `part` of `from`, resized to `width` x `height` pixels.
///
/// # Panics
/// When `part` is empty or not inside `from`, or the size is zero or above [`MAX_PIXELS`].
pub fn resample(from: &RgbImage, part: Region, width: usize, height: usize, filter: Filter) -> RgbImage {
    let pixels = width.saturating_mul(height) as u64;
    assert!(pixels <= MAX_PIXELS, "a picture of {width} x {height} pixels, at most {MAX_PIXELS}");
    if part == Region::all(from) && (width, height) == (from.width, from.height) {
        // Every filter is 1 at the pixel itself and 0 at the others.
        return from.clone();
    }
    resample_window(from, part, (width, height), (0..width, 0..height), filter)
}

/// As [`resample`], but computes only the columns and rows in `window` of the result.
pub(super) fn resample_window(
    from: &RgbImage,
    part: Region,
    (width, height): (usize, usize),
    window: (Range<usize>, Range<usize>),
    filter: Filter,
) -> RgbImage {
    let columns =
        FilterTaps::fixed(FilterTaps::new(from.width, part.left, part.right, width, window.0, filter));
    let rows =
        FilterTaps::fixed(FilterTaps::new(from.height, part.top, part.bottom, height, window.1, filter));
    // The first pass computes only what the second pass reads.
    let (used_columns, used_rows) = (columns.inputs(), rows.inputs());
    if is_vertical_first((from.width, from.height), (width, height)) {
        let low = rows.vertical(from, used_columns.clone(), 0);
        columns.horizontal(&low, 0..low.height, used_columns.start)
    } else {
        let narrow = columns.horizontal(from, used_rows.clone(), 0);
        rows.vertical(&narrow, 0..narrow.width, used_rows.start)
    }
}

/// Whether Pillow 13 resizes the columns of an image before its rows, by the (width, height) before and after: where
/// it loses more than twice as many rows as columns.
fn is_vertical_first(from: (usize, usize), to: (usize, usize)) -> bool {
    let lost = |from: usize, to: usize| from as i64 - to as i64;
    let (columns, rows) = (lost(from.0, to.0), lost(from.1, to.1));
    rows > 0 && rows > 2 * columns
}

/// A `map` of shape (h, w) resized to (height, width), as Pillow resizes images of mode F.
///
/// # Panics
/// When `map` is empty or does not hold h * w elements, or the target is empty.
pub fn resample_map(
    map: &[f32],
    (h, w): (usize, usize),
    (height, width): (usize, usize),
    filter: Filter,
) -> Vec<f32> {
    assert!(
        h.checked_mul(w) == Some(map.len()) && !map.is_empty(),
        "map of {h} x {w} with {} elements",
        map.len()
    );
    let columns = FilterTaps::new(w, 0.0, w as f64, width, 0..width, filter);
    let rows = FilterTaps::new(h, 0.0, h as f64, height, 0..height, filter);
    if is_vertical_first((w, h), (width, height)) {
        let low = transposed(map, w).flat_map(|column| rows.along(move |i| column[i]).collect::<Vec<f32>>());
        let low: Vec<f32> = low.collect();
        transposed(&low, height)
            .flat_map(|row| columns.along(move |i| row[i]).collect::<Vec<f32>>())
            .collect()
    } else {
        let narrow: Vec<f32> = map.chunks_exact(w).flat_map(|row| columns.along(|i| row[i])).collect();
        let wide = transposed(&narrow, width).map(|column| rows.along(|i| column[i]).collect::<Vec<f32>>());
        let wide: Vec<Vec<f32>> = wide.collect();
        (0..height).flat_map(|y| wide.iter().map(move |column| column[y])).collect()
    }
}

/// The columns of a `map` of `width` columns.
fn transposed(map: &[f32], width: usize) -> impl Iterator<Item = Vec<f32>> {
    (0..width).map(move |x| map[x..].iter().step_by(width).copied().collect())
}

/// For each output position, the input indices under the filter and their weights.
struct FilterTaps<W> {
    spans: Vec<Range<usize>>,
    weights: Vec<Vec<W>>,
}

impl FilterTaps<f64> {
    /// Output elements of one row or column.
    fn along(&self, input: impl Fn(usize) -> f32) -> impl Iterator<Item = f32> {
        self.spans.iter().zip(&self.weights).map(move |(span, weights)| {
            span.clone().zip(weights).map(|(i, w)| f64::from(input(i)) * w).sum::<f64>() as f32
        })
    }

    fn new(input: usize, from: f64, to: f64, output: usize, window: Range<usize>, filter: Filter) -> Self {
        assert!(from >= 0.0 && to > from && to <= input as f64, "part {from}..{to} of {input} pixels");
        assert!(output > 0 && window.end <= output, "window {window:?} of {output} pixels");
        let scale = (to - from) / output as f64;
        let widening = scale.max(1.0);
        let support = filter.support() * widening;
        let (mut spans, mut weights) = (Vec::new(), Vec::new());
        for x in window {
            let center = from + (x as f64 + 0.5) * scale;
            let start = (center - support + 0.5).max(0.0) as usize;
            let end = ((center + support + 0.5) as usize).min(input);
            let exact: Vec<f64> =
                (start..end).map(|i| filter.weight((i as f64 - center + 0.5) * (1.0 / widening))).collect();
            let sum: f64 = exact.iter().sum();
            let sum = if sum == 0.0 { 1.0 } else { sum };
            weights.push(exact.iter().map(|w| w / sum).collect());
            spans.push(start..end);
        }
        FilterTaps { spans, weights }
    }
}

impl FilterTaps<i32> {
    /// The same weights in fixed point, for 8-bit images.
    fn fixed(exact: FilterTaps<f64>) -> Self {
        let weights = exact.weights.iter().map(|weights| weights.iter().copied().map(fixed_point).collect());
        FilterTaps { spans: exact.spans, weights: weights.collect() }
    }

    /// Input indices from the first to the last that any output position reads.
    fn inputs(&self) -> Range<usize> {
        let first = self.spans.iter().map(|s| s.start).min().unwrap_or(0);
        first..self.spans.iter().map(|s| s.end).max().unwrap_or(0)
    }

    /// Resizes the rows in `rows` of `from`, whose left column is column `first` of the input.
    fn horizontal(&self, from: &RgbImage, rows: Range<usize>, first: usize) -> RgbImage {
        let mut rgb = Vec::with_capacity(rows.len() * self.spans.len() * 3);
        for row in
            from.rgb[rows.start * from.width * 3..rows.end * from.width * 3].chunks_exact(from.width * 3)
        {
            for (span, weights) in self.spans.iter().zip(&self.weights) {
                let mut sum = [HALF; 3];
                for (pixel, w) in
                    row[(span.start - first) * 3..(span.end - first) * 3].chunks_exact(3).zip(weights)
                {
                    for c in 0..3 {
                        sum[c] += i32::from(pixel[c]) * w;
                    }
                }
                rgb.extend(sum.map(clip));
            }
        }
        RgbImage::new(self.spans.len(), rows.len(), rgb)
    }

    /// Resizes the columns in `columns` of `from`, whose top row is row `first` of the input.
    fn vertical(&self, from: &RgbImage, columns: Range<usize>, first: usize) -> RgbImage {
        let stride = from.width * 3;
        let mut rgb = Vec::with_capacity(self.spans.len() * columns.len() * 3);
        let mut sums = vec![HALF; columns.len() * 3];
        for (span, weights) in self.spans.iter().zip(&self.weights) {
            sums.fill(HALF);
            for (row, w) in from.rgb[(span.start - first) * stride..].chunks_exact(stride).zip(weights) {
                for (sum, v) in sums.iter_mut().zip(&row[columns.start * 3..columns.end * 3]) {
                    *sum += i32::from(*v) * w;
                }
            }
            rgb.extend(sums.iter().map(|&s| clip(s)));
        }
        RgbImage::new(columns.len(), self.spans.len(), rgb)
    }
}

/// One half in fixed point, so that the shift in [`clip`] rounds.
const HALF: i32 = 1 << (PRECISION - 1);

/// A weight in fixed point, rounded half away from zero.
fn fixed_point(weight: f64) -> i32 {
    let half = if weight < 0.0 { -0.5 } else { 0.5 };
    (half + weight * f64::from(1 << PRECISION)) as i32
}

/// An 8-bit sample from a fixed-point sum.
fn clip(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}
