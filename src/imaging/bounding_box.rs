//! Bounding boxes around the most salient region of a heatmap.

use std::str::FromStr;

use super::Region;
use super::heatmap::{Heatmap, MapStatus};
use crate::error::RequestError;
use crate::{Error, Result};

/// Threshold on a heatmap above which a pixel is salient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Threshold {
    /// Share of the maximum, in (0, 1]; the Grad-CAM paper uses 0.15.
    Share(f32),
    /// Otsu's method: the threshold of maximum between-class variance (Otsu 1979, doi
    /// 10.1109/TSMC.1979.4310076).
    Otsu,
}

/// Bounding box of the largest connected component of a heatmap above a threshold, in pixels of the
/// heatmap or, after [`BoundingBox::in_photo`], of the photo.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BoundingBox {
    /// Column of the left edge.
    pub x: usize,
    /// Row of the upper edge.
    pub y: usize,
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Share of the heatmap's sum inside the box, in [0, 1].
    pub heatmap_share: f32,
    /// Threshold as a share of the maximum.
    pub threshold: f32,
}

impl Threshold {
    /// The threshold as a share of the maximum of `heatmap`.
    fn share(self, heatmap: &Heatmap) -> f32 {
        match self {
            Threshold::Share(share) => share,
            Threshold::Otsu => otsu(&heatmap.values),
        }
    }
}

impl BoundingBox {
    /// Box around the largest component of `heatmap` (8-connected; the first of equal ones), in its pixels.
    /// `None` unless its status is [`MapStatus::Ok`], and where no element reaches the threshold.
    ///
    /// # Panics
    /// When the heatmap does not have `height * width` elements.
    pub fn find(heatmap: &Heatmap, threshold: Threshold) -> Option<BoundingBox> {
        heatmap.assert_size();
        if heatmap.status != MapStatus::Ok || heatmap.values.is_empty() {
            return None;
        }
        let threshold = threshold.share(heatmap);
        let salient: Vec<bool> = heatmap.values.iter().map(|&v| v >= threshold).collect();
        let part = largest_component(salient, heatmap.width)?;
        let inside: f64 = (part.top..=part.bottom)
            .flat_map(|y| &heatmap.values[y * heatmap.width..][part.left..=part.right])
            .map(|&v| f64::from(v))
            .sum();
        let all: f64 = heatmap.values.iter().map(|&v| f64::from(v)).sum();
        Some(BoundingBox {
            x: part.left,
            y: part.top,
            width: part.right - part.left + 1,
            height: part.bottom - part.top + 1,
            heatmap_share: (inside / all) as f32,
            threshold,
        })
    }

    /// Rows and columns of the heatmap in which to search for a box in the region `part` of a photo: the
    /// region's size in pixels, clamped to 64..=512.
    pub fn grid(part: Region) -> (usize, usize) {
        let pixels = |from: f64, to: f64| ((to - from).round() as usize).clamp(64, 512);
        (pixels(part.top, part.bottom), pixels(part.left, part.right))
    }

    /// The box in pixels of a photo of `size` (width, height), whose region `part` the heatmap covers with `rows` and
    /// `columns`. `None` where all of it is beside the photo, in the padding of the input.
    ///
    /// # Panics
    /// When there are no rows or no columns, or no pixels.
    pub fn in_photo(
        self,
        part: Region,
        (rows, columns): (usize, usize),
        size: (usize, usize),
    ) -> Option<BoundingBox> {
        assert!(rows > 0 && columns > 0, "a heatmap of {rows} rows and {columns} columns");
        assert!(size.0 > 0 && size.1 > 0, "a photo of {} x {} pixels", size.0, size.1);
        // Rounded to whole pixels of the photo, and never empty.
        let side = |from: f64, to: f64, at: usize, length: usize, count: usize, pixels: usize| {
            let edge = |i: usize| from + (to - from) * (i as f64 / count as f64);
            let (start, end) = (edge(at), edge(at.saturating_add(length)));
            if end <= 0.0 || start >= pixels as f64 {
                return None;
            }
            let last = pixels.min((to.ceil() as usize).max(1)) - 1;
            let start = (start.round() as usize).min(last);
            Some((start, (end.round() as usize).clamp(start + 1, pixels.max(start + 1)) - start))
        };
        let (x, width) = side(part.left, part.right, self.x, self.width, columns, size.0)?;
        let (y, height) = side(part.top, part.bottom, self.y, self.height, rows, size.1)?;
        Some(BoundingBox { x, y, width, height, ..self })
    }
}

/// Otsu's threshold of values in [0, 1] over 256 levels: the smallest value above the split.
fn otsu(values: &[f32]) -> f32 {
    let mut counts = [0_u32; 256];
    values.iter().for_each(|&v| counts[usize::from((v * 255.0) as u8)] += 1);
    let share = 1.0 / values.len() as f64;
    let mean: f64 = (0..).zip(counts).map(|(level, count)| f64::from(level) * f64::from(count) * share).sum();
    let (mut below, mut sum_below) = (0.0, 0.0);
    let (mut best, mut most) = (0, 0.0);
    for (level, count) in (0_u32..).zip(counts) {
        let p = f64::from(count) * share;
        below += p;
        sum_below += f64::from(level) * p;
        let above = 1.0 - below;
        if below.min(above) < f64::from(f32::EPSILON) {
            continue;
        }
        let apart = sum_below / below - (mean - sum_below) / above;
        let between = below * above * apart * apart;
        if between > most {
            (best, most) = (level, between);
        }
    }
    (best + 1) as f32 / 255.0
}

/// Extent of a connected component, edges included.
#[derive(Clone, Copy)]
struct Extent {
    left: usize,
    right: usize,
    top: usize,
    bottom: usize,
}

/// Extent of the connected component of `salient` pixels with the largest area.
fn largest_component(mut salient: Vec<bool>, width: usize) -> Option<Extent> {
    let (mut largest, mut most) = (None, 0);
    let mut found = Vec::new();
    for start in 0..salient.len() {
        if !std::mem::take(&mut salient[start]) {
            continue;
        }
        let (x, y) = (start % width, start / width);
        let mut extent = Extent { left: x, right: x, top: y, bottom: y };
        let mut pixels = 0;
        found.push((x, y));
        while let Some((x, y)) = found.pop() {
            pixels += 1;
            extent.left = extent.left.min(x);
            extent.right = extent.right.max(x);
            extent.top = extent.top.min(y);
            extent.bottom = extent.bottom.max(y);
            for y in y.saturating_sub(1)..(y + 2).min(salient.len() / width) {
                for x in x.saturating_sub(1)..(x + 2).min(width) {
                    if std::mem::take(&mut salient[y * width + x]) {
                        found.push((x, y));
                    }
                }
            }
        }
        if pixels > most {
            (largest, most) = (Some(extent), pixels);
        }
    }
    largest
}

impl std::fmt::Display for Threshold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Threshold::Share(share) => write!(f, "{share}"),
            Threshold::Otsu => f.write_str("otsu"),
        }
    }
}

impl FromStr for Threshold {
    type Err = Error;

    /// `otsu`, a percentage such as `15%`, or a share such as `0.3`.
    fn from_str(text: &str) -> Result<Self> {
        if text == "otsu" {
            return Ok(Threshold::Otsu);
        }
        match share(text) {
            Some(share) if share > 0.0 && share <= 1.0 => Ok(Threshold::Share(share)),
            Some(share) => Err(RequestError::Threshold { share }.into()),
            None => Err(RequestError::InvalidThreshold { text: text.into() }.into()),
        }
    }
}

/// Parses a share: `0.15` or `15%`.
pub fn share(text: &str) -> Option<f32> {
    match text.strip_suffix('%') {
        Some(percent) => percent.parse().ok().map(|percent: f32| percent / 100.0),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heatmap(width: usize, values: &[f32]) -> Heatmap {
        let size = (values.len() / width, width);
        Heatmap::new(values, size, size)
    }

    #[test]
    fn the_largest_8_connected_component_is_boxed() {
        #[rustfmt::skip]
        let heatmap = heatmap(5, &[
            1.0, 0.1, 0.0, 0.0, 0.6,
            0.0, 0.0, 0.0, 0.7, 0.0,
            0.0, 0.0, 0.5, 0.0, 0.1,
        ]);
        let found = BoundingBox::find(&heatmap, Threshold::Share(0.5)).unwrap();
        assert_eq!((found.x, found.y, found.width, found.height, found.threshold), (2, 0, 3, 3, 0.5));
        assert!((found.heatmap_share - 1.9 / 3.0).abs() < 1e-6, "{found:?}");
        // At a threshold of 1 only the maximum itself is left.
        let hottest = BoundingBox::find(&heatmap, Threshold::Share(1.0)).unwrap();
        assert_eq!((hottest.x, hottest.y, hottest.width, hottest.height), (0, 0, 1, 1));
    }

    #[test]
    fn a_map_without_information_has_no_box() {
        for values in [[0.0; 4], [3.0; 4], [0.0, 1.0, f32::NAN, 2.0], [0.0, f32::INFINITY, 1.0, 0.0]] {
            for threshold in [Threshold::Share(0.15), Threshold::Otsu] {
                assert_eq!(BoundingBox::find(&heatmap(2, &values), threshold), None, "{values:?}");
            }
        }
    }

    #[test]
    fn a_box_is_mapped_into_the_photo() {
        let found = BoundingBox { x: 10, y: 0, width: 20, height: 64, heatmap_share: 0.5, threshold: 0.15 };
        let place = |part, grid| {
            let b = found.in_photo(part, grid, (2500, 300)).unwrap();
            [b.x, b.y, b.width, b.height]
        };
        let part = Region { left: 75.5, top: 0.0, right: 375.5, bottom: 300.0 };
        assert_eq!(BoundingBox::grid(part), (300, 300));
        assert_eq!(place(part, (64, 64)), [122, 0, 94, 300]);
        // A photo of one pixel, and the last pixel of a wide one.
        let one = Region { left: 0.0, top: 0.0, right: 1.0, bottom: 1.0 };
        assert_eq!((BoundingBox::grid(one), place(one, (64, 64))), ((64, 64), [0, 0, 1, 1]));
        let last = Region { left: 2499.0, top: 0.0, right: 2500.0, bottom: 1.0 };
        let right = BoundingBox { x: 63, width: 1, ..found }.in_photo(last, (64, 64), (2500, 1)).unwrap();
        assert_eq!((right.x, right.width), (2499, 1));
        // A photo of 100 x 50 pixels in the middle of a square input of 10 x 10.
        let padded = Region { left: 0.0, top: -25.0, right: 100.0, bottom: 75.0 };
        let rows = |y, height| {
            let of_map = BoundingBox { x: 0, y, width: 10, height, ..found };
            of_map.in_photo(padded, (10, 10), (100, 50)).map(|b| (b.x, b.y, b.width, b.height))
        };
        assert_eq!(rows(0, 10), Some((0, 0, 100, 50)));
        assert_eq!((rows(2, 2), rows(7, 3)), (Some((0, 0, 100, 15)), Some((0, 45, 100, 5))));
        assert_eq!((rows(0, 2), rows(8, 2)), (None, None));
    }

    #[test]
    fn a_threshold_is_a_percentage_a_share_or_otsu() {
        assert_eq!("15%".parse(), Ok(Threshold::Share(0.15)));
        assert_eq!("0.3".parse(), Ok(Threshold::Share(0.3)));
        assert_eq!("1".parse(), Ok(Threshold::Share(1.0)));
        assert_eq!("otsu".parse(), Ok(Threshold::Otsu));
        for text in ["0", "-1", "1.5", "101%", "nan", "inf", "0%"] {
            let error = text.parse::<Threshold>().unwrap_err().to_string();
            assert!(error.starts_with("threshold "), "{text}: {error}");
        }
        for text in ["", "%", "Otsu's", "15 %"] {
            let error = text.parse::<Threshold>().unwrap_err().to_string();
            assert!(error.starts_with("invalid threshold '"), "{text}: {error}");
        }
    }
}
