//! From a raw map to a heat map: resize, subtract the minimum, divide by the maximum.

use crate::engine::bilinear::bilinear;

/// What can be said about a heat map before looking at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MapStatus {
    /// Values from 0 to 1.
    Ok,
    /// The raw map is zero everywhere: nothing speaks for the class. The heat map is zero.
    Empty,
    /// The raw map has one value, not zero, everywhere. The heat map is zero.
    Constant,
    /// The raw map, or its range, is not finite. The heat map is zero.
    Nonfinite,
}

impl MapStatus {
    /// The word in files and messages.
    pub fn name(self) -> &'static str {
        match self {
            MapStatus::Ok => "ok",
            MapStatus::Empty => "empty",
            MapStatus::Constant => "constant",
            MapStatus::Nonfinite => "nonfinite",
        }
    }
}

/// A map at the image's size, scaled to [0, 1]; never NaN.
#[derive(Debug, Clone, PartialEq)]
pub struct Heatmap {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `height * width` numbers in [0, 1].
    pub values: Vec<f32>,
    /// Whether the values mean anything.
    pub status: MapStatus,
    /// The raw map's smallest value; NaN if it holds one.
    pub min: f32,
    /// The raw map's largest value; NaN if it holds one.
    pub max: f32,
}

impl Heatmap {
    /// `raw` (h, w), resized to `height` x `width` and scaled: the article's recipe, in its
    /// order. The minimum and the maximum that scale are those of the resized map, and the
    /// maximum is taken after the subtraction.
    ///
    /// # Panics
    /// When `raw` is empty or does not hold `h * w` numbers, or the target is empty.
    pub fn new(raw: &[f32], (h, w): (usize, usize), (height, width): (usize, usize)) -> Self {
        Heatmap::scaled(raw, (h, w), (height, width), None)
    }

    /// As [`Heatmap::new`], but 0 and 1 stand for the two ends of `scale`, which several maps may
    /// share: see [`common_scale`]. What lies beyond is cut off.
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
            values.iter_mut().for_each(|v| *v = ((*v - low) / spread).clamp(0.0, 1.0));
        } else {
            values.fill(0.0);
        }
        Heatmap { width, height, values, status, min, max }
    }

    /// The heatmap of a map with smallest and largest element `range` that was resized to
    /// `height` x `width` and scaled to [0, 1] elsewhere: `values` has the result, zero everywhere
    /// where the resized map was constant.
    ///
    /// # Panics
    /// When `values` are not `height * width` elements.
    pub(crate) fn from_scaled(
        mut values: Vec<f32>,
        (height, width): (usize, usize),
        (min, max): (f32, f32),
    ) -> Self {
        assert_eq!(values.len(), height * width, "elements of a heatmap");
        // 0 and 1 stand for the ends of the resized map's own range.
        let status = status((min, max), self::range(&values));
        if status != MapStatus::Ok {
            values.fill(0.0);
        }
        Heatmap { width, height, values, status, min, max }
    }

    /// The same at another size.
    ///
    /// # Panics
    /// When one of the sizes is empty.
    pub fn resized(&self, height: usize, width: usize) -> Heatmap {
        let values = bilinear(&self.values, (self.height, self.width), (height, width));
        Heatmap { width, height, values, ..*self }
    }
}

/// What can be said of a map with these smallest and largest values, before and after its resize.
fn status((raw_min, raw_max): (f32, f32), (low, high): (f32, f32)) -> MapStatus {
    if !(raw_max - raw_min).is_finite() || !(high - low).is_finite() {
        return MapStatus::Nonfinite;
    }
    if raw_min == raw_max {
        return if raw_min == 0.0 { MapStatus::Empty } else { MapStatus::Constant };
    }
    // A raw map may vary and its resized one not: a downscale can skip what differs.
    if low == high { MapStatus::Constant } else { MapStatus::Ok }
}

/// The smallest and the largest number of several raw maps, those apart that are not finite:
/// one scale on which all can be compared. `None` where there is none or no two numbers differ.
pub fn common_scale<'a>(maps: impl IntoIterator<Item = &'a [f32]>) -> Option<(f32, f32)> {
    let ranges = maps.into_iter().map(range).filter(|(low, high)| (high - low).is_finite());
    let (low, high) = ranges.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))?;
    (low < high && (high - low).is_finite()).then_some((low, high))
}

/// Smallest and largest; both NaN if one of `values` is.
fn range(values: &[f32]) -> (f32, f32) {
    if values.iter().any(|v| v.is_nan()) {
        return (f32::NAN, f32::NAN);
    }
    values.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &v| (low.min(v), high.max(v)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_maximum_is_taken_after_the_minimum_is_gone() {
        let heat = Heatmap::new(&[2.0, 4.0, 3.0, 6.0], (2, 2), (2, 2));
        assert_eq!(heat.values, [0.0, 0.5, 0.25, 1.0]);
        assert_eq!((heat.status, heat.min, heat.max), (MapStatus::Ok, 2.0, 6.0));
    }

    #[test]
    fn the_resized_maps_range_scales_not_the_raw_maps() {
        // Shrunk to one column, each row is the mean of two.
        let heat = Heatmap::new(&[0.0, 2.0, 4.0, 6.0, 8.0, 100.0], (3, 2), (3, 1));
        assert_eq!(heat.values, [0.0, 4.0 / 53.0, 1.0]);
        assert_eq!((heat.min, heat.max), (0.0, 100.0));
    }

    #[test]
    fn maps_that_cannot_be_scaled_are_zero_and_say_why() {
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
            let heat = Heatmap::new(&raw, (1, 2), (4, 4));
            assert_eq!(heat.status, status, "{raw:?}");
            assert_eq!(heat.values, [0.0; 16], "{raw:?}");
        }
        let heat = Heatmap::new(&[0.0, tiny], (1, 2), (1, 2));
        assert_eq!((heat.values, heat.status), (vec![0.0, 1.0], MapStatus::Ok));
    }

    #[test]
    fn maps_on_one_scale_keep_their_order() {
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
    fn a_constant_map_stays_constant_through_the_resize() {
        // 0.1 is no exact float: mixing 0.1 with 0.1 may round.
        for value in [0.1, 1e-38, 12345.678] {
            let heat = Heatmap::new(&[value; 49], (7, 7), (61, 33));
            assert_eq!(heat.status, MapStatus::Constant, "{value}");
        }
    }
}
