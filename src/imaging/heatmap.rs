//! Heatmaps: activation maps resized to the image and min-max scaled to [0, 1].

use crate::engine::bilinear::bilinear;
use crate::engine::tensor::{all_finite, all_zero};

/// Whether a heatmap carries information, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MapStatus {
    /// The values span 0 to 1.
    Ok,
    /// The activation map is zero everywhere: there is no positive evidence. The heatmap is zero.
    Empty,
    /// The activation map has the same nonzero value everywhere. The heatmap is zero.
    Constant,
    /// The activation map, or its range, is not finite. The heatmap is zero.
    Nonfinite,
}

impl MapStatus {
    /// Name in files and messages.
    pub fn name(self) -> &'static str {
        match self {
            MapStatus::Ok => "ok",
            MapStatus::Empty => "empty",
            MapStatus::Constant => "constant",
            MapStatus::Nonfinite => "nonfinite",
        }
    }
}

/// A heatmap: (height, width) elements in [0, 1], never NaN, at the size of the model's input or of a
/// picture of it. `V` holds the elements: a `Vec<f32>` of its own, or a `&[f32]` that borrows them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Heatmap<V = Vec<f32>> {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// `height * width` elements in [0, 1], row by row from the top.
    pub values: V,
    /// Whether the values carry information.
    pub status: MapStatus,
    /// Minimum of the activation map before resizing; NaN if it holds a NaN.
    pub min: f32,
    /// Maximum of the activation map before resizing; NaN if it holds a NaN.
    pub max: f32,
}

impl Heatmap {
    /// The activation map `raw` of shape (h, w), resized bilinearly to (height, width) and scaled to [0, 1].
    /// As in the article's code, the minimum and maximum are those of the resized map, and the maximum is
    /// taken after the minimum has been subtracted.
    ///
    /// # Panics
    /// When `raw` is empty or does not hold `h * w` elements, or the target is empty.
    pub fn new(raw: &[f32], (h, w): (usize, usize), (height, width): (usize, usize)) -> Self {
        Heatmap::scaled(raw, (h, w), (height, width), None)
    }

    /// As [`Heatmap::new`], but scaled from `scale` (minimum, maximum), which several maps may share (see
    /// [`common_scale`]). Values outside are clamped; where the two are equal or not finite, so that they span
    /// nothing, the values are 0 below the maximum and 1 from there on.
    ///
    /// # Panics
    /// As [`Heatmap::new`].
    pub fn on_scale(raw: &[f32], from: (usize, usize), to: (usize, usize), scale: (f32, f32)) -> Self {
        Heatmap::scaled(raw, from, to, Some(scale))
    }

    fn scaled(
        raw: &[f32],
        from: (usize, usize),
        (height, width): (usize, usize),
        scale: Option<(f32, f32)>,
    ) -> Self {
        let (min, max) = range(raw);
        let mut values = bilinear(raw, from, (height, width));
        let own = range(&values);
        let status = status((min, max), own);
        if status == MapStatus::Ok {
            let (low, high) = scale.unwrap_or(own);
            let spread = high - low;
            if spread > 0.0 && spread.is_finite() {
                values.iter_mut().for_each(|v| *v = ((*v - low) / spread).clamp(0.0, 1.0));
            } else {
                values.iter_mut().for_each(|v| *v = f32::from(*v >= high));
            }
        } else {
            values.fill(0.0);
        }
        Heatmap { width, height, values, status, min, max }
    }

    /// Assertion that there is an element for each pixel.
    ///
    /// # Panics
    /// When there are more or fewer.
    pub(crate) fn assert_size(&self) {
        let (elements, height, width) = (self.values.len(), self.height, self.width);
        assert_eq!(Some(elements), height.checked_mul(width), "elements of a heatmap of {height} x {width}");
    }

    /// The heatmap resized bilinearly to another size.
    ///
    /// # Panics
    /// When one of the sizes is empty, or `values` are not `height * width` elements.
    pub fn resized(&self, height: usize, width: usize) -> Heatmap {
        let values = bilinear(&self.values, (self.height, self.width), (height, width));
        Heatmap { width, height, values, ..*self }
    }
}

impl<'a> Heatmap<&'a [f32]> {
    /// The heatmap of a map with smallest and largest element `range` that was resized to
    /// `height` x `width` and scaled to [0, 1] elsewhere: `values` has the result, zero everywhere
    /// where the resized map was constant. `zeros` stand for values that carry no information.
    ///
    /// # Panics
    /// When `values` are not `height * width` elements, or `zeros` are fewer.
    pub(crate) fn from_scaled(
        values: &'a [f32],
        zeros: &'a [f32],
        (height, width): (usize, usize),
        (min, max): (f32, f32),
    ) -> Self {
        assert_eq!(values.len(), height * width, "elements of a heatmap");
        let own = match (all_finite(values), all_zero(values)) {
            (false, _) => (f32::NAN, f32::NAN),
            (_, true) => (0.0, 0.0),
            _ => (0.0, 1.0),
        };
        let status = status((min, max), own);
        let values = if status == MapStatus::Ok { values } else { &zeros[..values.len()] };
        Heatmap { width, height, values, status, min, max }
    }
}

impl From<Heatmap<&[f32]>> for Heatmap {
    fn from(view: Heatmap<&[f32]>) -> Self {
        let Heatmap { width, height, values, status, min, max } = view;
        Heatmap { width, height, values: values.to_vec(), status, min, max }
    }
}

/// Status of a map with these ranges before and after resizing.
fn status((raw_min, raw_max): (f32, f32), (low, high): (f32, f32)) -> MapStatus {
    if !(raw_max - raw_min).is_finite() || !(high - low).is_finite() {
        return MapStatus::Nonfinite;
    }
    if raw_min == raw_max {
        return if raw_min == 0.0 { MapStatus::Empty } else { MapStatus::Constant };
    }
    // Downsampling can skip the only elements that differ.
    if low == high { MapStatus::Constant } else { MapStatus::Ok }
}

/// Minimum and maximum over several activation maps, as a common scale. Maps that are not finite are
/// ignored; `None` if none is left or all elements are equal.
pub fn common_scale<'a>(maps: impl IntoIterator<Item = &'a [f32]>) -> Option<(f32, f32)> {
    let ranges = maps.into_iter().map(range).filter(|(low, high)| (high - low).is_finite());
    let (low, high) = ranges.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))?;
    (low < high && (high - low).is_finite()).then_some((low, high))
}

/// Minimum and maximum; both NaN if a value is NaN.
fn range(values: &[f32]) -> (f32, f32) {
    /// Values that are compared side by side, in vectors.
    const LANES: usize = 16;
    if values.iter().fold(false, |any, v| any | v.is_nan()) {
        return (f32::NAN, f32::NAN);
    }
    let (mut low, mut high) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
    let (rows, rest) = values.as_chunks::<LANES>();
    for row in rows.iter().map(|row| &row[..]).chain([rest]) {
        for ((low, high), &v) in low.iter_mut().zip(&mut high).zip(row) {
            *low = if v < *low { v } else { *low };
            *high = if v > *high { v } else { *high };
        }
    }
    (low.into_iter().fold(f32::INFINITY, f32::min), high.into_iter().fold(f32::NEG_INFINITY, f32::max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_maximum_is_taken_after_subtracting_the_minimum() {
        let heatmap = Heatmap::new(&[2.0, 4.0, 3.0, 6.0], (2, 2), (2, 2));
        assert_eq!(heatmap.values, [0.0, 0.5, 0.25, 1.0]);
        assert_eq!((heatmap.status, heatmap.min, heatmap.max), (MapStatus::Ok, 2.0, 6.0));
    }

    #[test]
    fn the_range_of_the_resized_map_is_used() {
        // Resized to one column, each row is the mean of two elements.
        let heatmap = Heatmap::new(&[0.0, 2.0, 4.0, 6.0, 8.0, 100.0], (3, 2), (3, 1));
        assert_eq!(heatmap.values, [0.0, 4.0 / 53.0, 1.0]);
        assert_eq!((heatmap.min, heatmap.max), (0.0, 100.0));
    }

    #[test]
    fn maps_without_a_range_are_zero_with_a_status() {
        let tiny = f32::from_bits(1);
        for (raw, status) in [
            ([0.0, 0.0], MapStatus::Empty),
            ([0.0, -0.0], MapStatus::Empty),
            ([3.0, 3.0], MapStatus::Constant),
            ([f32::NAN, 1.0], MapStatus::Nonfinite),
            ([0.0, f32::INFINITY], MapStatus::Nonfinite),
            ([f32::NEG_INFINITY, f32::INFINITY], MapStatus::Nonfinite),
            ([f32::MIN, f32::MAX], MapStatus::Nonfinite),
        ] {
            let heatmap = Heatmap::new(&raw, (1, 2), (4, 4));
            assert_eq!(heatmap.status, status, "{raw:?}");
            assert_eq!(heatmap.values, [0.0; 16], "{raw:?}");
        }
        let heatmap = Heatmap::new(&[0.0, tiny], (1, 2), (1, 2));
        assert_eq!((heatmap.values, heatmap.status), (vec![0.0, 1.0], MapStatus::Ok));
    }

    #[test]
    fn maps_on_a_common_scale_are_comparable() {
        let maps: [&[f32]; 4] = [&[0.0, 2.0], &[1.0, 5.0], &[f32::NAN, 900.0], &[3.0, 3.0]];
        let scale = common_scale(maps).unwrap();
        assert_eq!(scale, (0.0, 5.0));
        let [small, large, nan, flat] = maps.map(|map| Heatmap::on_scale(map, (1, 2), (1, 2), scale));
        assert_eq!((small.values, large.values), (vec![0.0, 0.4], vec![0.2, 1.0]));
        assert_eq!((nan.status, nan.values), (MapStatus::Nonfinite, vec![0.0; 2]));
        assert_eq!((flat.status, flat.values), (MapStatus::Constant, vec![0.0; 2]));
        assert_eq!(Heatmap::on_scale(maps[1], (1, 2), (1, 2), (2.0, 3.0)).values, [0.0, 1.0]);
        assert_eq!(common_scale([[0.0; 2].as_slice(), &[f32::INFINITY, 0.0]]), None);
    }

    #[test]
    fn resizing_keeps_a_constant_map_constant() {
        // 0.1 is not exact: interpolating between 0.1 and 0.1 may round.
        for value in [0.1, 1e-38, 12345.678] {
            let heatmap = Heatmap::new(&[value; 49], (7, 7), (61, 33));
            assert_eq!(heatmap.status, MapStatus::Constant, "{value}");
        }
    }
}
