//! From a raw map to a heat map: resize, subtract the minimum, divide by the maximum.

use crate::resize::bilinear;

/// What can be said about a heat map before looking at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Values from 0 to 1.
    Ok,
    /// The raw map is zero everywhere: nothing speaks for the class. The heat map is zero.
    Empty,
    /// The raw map has one value, not zero, everywhere. The heat map is zero.
    Constant,
    /// The raw map, or its range, is not finite. The heat map is zero.
    Nonfinite,
}

impl Status {
    /// The word in files and messages.
    pub fn name(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Empty => "empty",
            Status::Constant => "constant",
            Status::Nonfinite => "nonfinite",
        }
    }
}

/// A map at the image's size, scaled to [0, 1]; never NaN.
#[derive(Debug, Clone, PartialEq)]
pub struct HeatMap {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `height * width` numbers in [0, 1].
    pub values: Vec<f32>,
    /// Whether the values mean anything.
    pub status: Status,
    /// The raw map's smallest value; NaN if it holds one.
    pub min: f32,
    /// The raw map's largest value; NaN if it holds one.
    pub max: f32,
}

impl HeatMap {
    /// `raw` (h, w), resized to `height` x `width` and scaled: the article's recipe, in its
    /// order. The minimum and the maximum that scale are those of the resized map, and the
    /// maximum is taken after the subtraction.
    ///
    /// # Panics
    /// When `raw` is empty or does not hold `h * w` numbers, or the target is empty.
    pub fn new(raw: &[f32], (h, w): (usize, usize), (height, width): (usize, usize)) -> Self {
        let (min, max) = range(raw);
        let mut values = bilinear(raw, (h, w), (height, width));
        let status = scale(&mut values, min, max);
        if status != Status::Ok {
            values.fill(0.0);
        }
        HeatMap { width, height, values, status, min, max }
    }
}

/// Scales `values` in place, unless the status says that it makes no sense.
fn scale(values: &mut [f32], raw_min: f32, raw_max: f32) -> Status {
    let (low, high) = range(values);
    let spread = high - low;
    if !(raw_max - raw_min).is_finite() || !spread.is_finite() {
        return Status::Nonfinite;
    }
    if raw_min == raw_max {
        return if raw_min == 0.0 { Status::Empty } else { Status::Constant };
    }
    // A raw map may vary and its resized one not: a downscale can skip what differs.
    if spread == 0.0 {
        return Status::Constant;
    }
    values.iter_mut().for_each(|v| *v = (*v - low) / spread);
    Status::Ok
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
        let heat = HeatMap::new(&[2.0, 4.0, 3.0, 6.0], (2, 2), (2, 2));
        assert_eq!(heat.values, [0.0, 0.5, 0.25, 1.0]);
        assert_eq!((heat.status, heat.min, heat.max), (Status::Ok, 2.0, 6.0));
    }

    #[test]
    fn the_resized_maps_range_scales_not_the_raw_maps() {
        // Shrunk to one column, each row is the mean of two.
        let heat = HeatMap::new(&[0.0, 2.0, 4.0, 6.0, 8.0, 100.0], (3, 2), (3, 1));
        assert_eq!(heat.values, [0.0, 4.0 / 53.0, 1.0]);
        assert_eq!((heat.min, heat.max), (0.0, 100.0));
    }

    #[test]
    fn maps_that_cannot_be_scaled_are_zero_and_say_why() {
        let tiny = f32::from_bits(1);
        for (raw, status) in [
            ([0.0, 0.0], Status::Empty),
            ([0.0, -0.0], Status::Empty),
            ([3.0, 3.0], Status::Constant),
            ([f32::NAN, 1.0], Status::Nonfinite),
            ([0.0, f32::INFINITY], Status::Nonfinite),
            ([f32::NEG_INFINITY, f32::INFINITY], Status::Nonfinite),
            ([f32::MIN, f32::MAX], Status::Nonfinite),
        ] {
            let heat = HeatMap::new(&raw, (1, 2), (4, 4));
            assert_eq!(heat.status, status, "{raw:?}");
            assert_eq!(heat.values, [0.0; 16], "{raw:?}");
        }
        let heat = HeatMap::new(&[0.0, tiny], (1, 2), (1, 2));
        assert_eq!((heat.values, heat.status), (vec![0.0, 1.0], Status::Ok));
    }

    #[test]
    fn a_constant_map_stays_constant_through_the_resize() {
        // 0.1 is no exact float: mixing 0.1 with 0.1 may round.
        for value in [0.1, 1e-38, 12345.678] {
            let heat = HeatMap::new(&[value; 49], (7, 7), (61, 33));
            assert_eq!(heat.status, Status::Constant, "{value}");
        }
    }
}
