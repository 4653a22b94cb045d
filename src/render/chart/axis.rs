//! Linear axes with round ticks, and number formatting.

/// A linear axis.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    /// Values at both ends.
    range: (f64, f64),
    /// Positions of both ends in pixels.
    ends: (f64, f64),
    pub ticks: Vec<f64>,
}

impl Axis {
    /// An axis that covers `low` to `high` and ends at round values, with about `ticks` ticks.
    pub fn round((low, high): (f64, f64), ticks: usize, ends: (f64, f64)) -> Axis {
        let (low, high) = if high > low { (low, high) } else { widened(low) };
        let step = round_step((high - low) / ticks.max(1) as f64);
        let (first, last) = ((low / step + 1e-9).floor(), (high / step - 1e-9).ceil());
        let ticks: Vec<f64> = (first as i64..=last as i64).map(|i| i as f64 * step).collect();
        Axis { range: (first * step, last * step), ends, ticks }
    }

    /// An axis from the first to the last of the given ascending `ticks`.
    pub fn exact(ticks: Vec<f64>, ends: (f64, f64)) -> Axis {
        let range = (ticks.first().copied().unwrap_or(0.0), ticks.last().copied().unwrap_or(1.0));
        Axis { range, ends, ticks }
    }

    /// Position of `x`; the middle if the axis has a single value.
    pub fn at(&self, x: f64) -> f64 {
        let ((low, high), (from, to)) = (self.range, self.ends);
        let share = if high > low { (x - low) / (high - low) } else { 0.5 };
        from + (to - from) * share
    }
}

/// A range around a single value.
fn widened(x: f64) -> (f64, f64) {
    let margins = if x == 0.0 { 1.0 } else { x.abs() * 0.1 };
    (x - margins, x + margins)
}

/// The smallest 1, 2 or 5 times a power of ten that is at least `least`.
fn round_step(least: f64) -> f64 {
    let least = least.max(1e-12);
    let power = 10.0_f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|f| f * power).find(|&s| s >= least * (1.0 - 1e-9)).unwrap_or(power)
}

/// A number without trailing zeros, with thousands separators.
pub(super) fn number(x: f64) -> String {
    let text = format!("{x:.6}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    let (sign, text) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    format!("{sign}{}{fraction}", thousands(whole))
}

/// Digits with thousands separators: `12,345`.
pub(crate) fn thousands(digits: &str) -> String {
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_cover_the_data() {
        let ticks = |low, high| Axis::round((low, high), 5, (0.0, 1.0)).ticks;
        assert_eq!(ticks(0.0, 4.2), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(ticks(82.32, 87.7), [82.0, 84.0, 86.0, 88.0]);
        assert_eq!(ticks(-0.3, 0.4), [-0.4, -0.2, 0.0, 0.2, 0.4]);
        assert_eq!(ticks(7.0, 7.0).len(), 5);
    }

    #[test]
    fn positions_are_linear() {
        let axis = Axis::round((0.0, 10.0), 5, (100.0, 0.0));
        assert_eq!([0.0, 2.5, 10.0].map(|x| axis.at(x)), [100.0, 75.0, 0.0]);
        assert_eq!(Axis::exact(vec![3.0], (0.0, 10.0)).at(3.0), 5.0);
    }

    #[test]
    fn numbers_are_short() {
        let shown = [0.0, 0.05, 12.0, 1234.5, 12345.0, -0.25].map(number);
        assert_eq!(shown, ["0", "0.05", "12", "1,234.5", "12,345", "-0.25"]);
    }
}
