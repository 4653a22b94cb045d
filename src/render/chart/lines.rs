//! Line charts with optional intervals around the points.

use super::axis::{Axis, number};
use super::drawing::{Anchor, Drawing, Geometry, Ink, Point, SMALL};
use super::frame;
use super::frame::{ChartSize, Margins};
use crate::render::text::TextStyle;

/// One line of [`LineChart`].
#[derive(Debug, Clone, Copy)]
pub struct Series<'a> {
    /// Name, drawn beside the last point.
    pub name: &'a str,
    /// Points (x, y), x ascending; non-finite points are left out.
    pub points: &'a [(f64, f64)],
    /// Lower and upper end of the interval around each point, such as a 95 % confidence interval; or empty.
    pub intervals: &'a [(f64, f64)],
}

/// Start of the y axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum YOrigin {
    /// Zero, so that heights can be compared.
    Zero,
    /// A round value below the data, so that small differences are visible. The axis stays within 0 to 100.
    Percent,
}

/// A line chart.
#[derive(Debug, Clone, Copy)]
pub struct LineChart<'a> {
    /// Title.
    pub title: &'a str,
    /// Name of the x axis.
    pub x: &'a str,
    /// Name of the y axis, with its unit.
    pub y: &'a str,
    /// Start of the y axis.
    pub from: YOrigin,
    /// The lines.
    pub series: &'a [Series<'a>],
}

/// Maximum number of distinct x values that get a tick each; more get round ticks.
const MAX_OWN_TICKS: usize = 12;
/// Number of points above which points are drawn small.
const MANY_POINTS: usize = 25;
/// Minimum distance between two names at the ends of lines, in pixels.
const NAME_DISTANCE: f64 = 16.0;

impl LineChart<'_> {
    /// Lays out the chart.
    pub fn draw(&self, size: ChartSize) -> Drawing {
        let (mut drawing, above) = frame::begin(size, self.title, self.y);
        let ys = |ends| Axis::round(self.y_range(), 5, ends);
        let names = TextStyle { bold: true, size: SMALL as f32, color: [0; 3] };
        let longest = self.series.iter().map(|s| names.width(s.name)).fold(0.0, f32::max);
        let margins = Margins {
            left: frame::left_room(&ys((0.0, 1.0)).ticks, size.heading),
            above,
            right: 26.0 + f64::from(longest).min(size.width / 3.0),
            below: 52.0,
        };
        let y = ys((size.height - margins.below, margins.above));
        let x = self.x_axis((margins.left + 8.0, size.width - margins.right));
        frame::grid(&mut drawing, &y, margins);
        frame::below(&mut drawing, &x, self.x, margins);
        for (i, series) in self.series.iter().enumerate() {
            draw_interval(&mut drawing, series, Ink::Series(i), (&x, &y));
        }
        let mut ends = Vec::new();
        for (i, series) in self.series.iter().enumerate() {
            ends.extend(self.draw_line(&mut drawing, series, Ink::Series(i), (&x, &y)).map(|end| (end, i)));
        }
        self.draw_names(&mut drawing, ends);
        drawing
    }

    fn points(&self) -> impl Iterator<Item = Point> {
        self.series.iter().flat_map(finite)
    }

    fn y_range(&self) -> (f64, f64) {
        let ends = self.series.iter().flat_map(|s| s.intervals).flat_map(|&(low, high)| [low, high]);
        let ys = self.points().map(|(_, y)| y).chain(ends.filter(|y| y.is_finite()));
        let start = if self.from == YOrigin::Zero { (0.0, 0.0) } else { (f64::MAX, f64::MIN) };
        let (low, high) = ys.fold(start, |(low, high), y| (low.min(y), high.max(y)));
        match self.from {
            _ if low > high => (0.0, 1.0),
            // Around a single value, as far as the ends allow. Round steps divide 100, so ticks do not exceed it either.
            YOrigin::Percent if low == high => ((low - 5.0).max(0.0), (high + 5.0).min(100.0)),
            _ => (low, high),
        }
    }

    fn x_axis(&self, ends: (f64, f64)) -> Axis {
        let mut ticks: Vec<f64> = self.points().map(|(x, _)| x).collect();
        ticks.sort_by(f64::total_cmp);
        ticks.dedup();
        match ticks[..] {
            [first, .., last] if ticks.len() > MAX_OWN_TICKS || ticks.iter().any(|t| t.fract() != 0.0) => {
                Axis::round((first, last), 5, ends)
            }
            // A single value is in the middle of the axis, wherever its tick is.
            [only] => Axis::exact(vec![round(only)], ends),
            _ => Axis::exact(ticks, ends),
        }
    }

    /// Draws a line and its points; returns its end.
    fn draw_line(
        &self,
        drawing: &mut Drawing,
        series: &Series,
        ink: Ink,
        (x, y): (&Axis, &Axis),
    ) -> Option<Point> {
        let at: Vec<Point> = finite(series).map(|(px, py)| (x.at(px), y.at(py))).collect();
        drawing.line(ink, 2.5, at.clone());
        let r = if at.len() > MANY_POINTS { 2.0 } else { 3.5 };
        for ((px, py), (cx, cy)) in finite(series).zip(&at) {
            let tip = format!("{}: {} at {} {}", series.name, number(round(py)), self.x, number(round(px)));
            drawing.add(ink, Geometry::Circle { x: *cx, y: *cy, r }).tip(tip);
        }
        at.last().copied()
    }

    /// Draws the names beside the ends of lines, moved apart where they would overlap.
    fn draw_names(&self, drawing: &mut Drawing, mut ends: Vec<(Point, usize)>) {
        ends.sort_by(|((_, a), _), ((_, b), _)| a.total_cmp(b));
        let mut lowest = f64::MIN;
        for ((x, y), i) in ends {
            let y = y.max(lowest + NAME_DISTANCE);
            lowest = y;
            let name = self.series[i].name;
            drawing.text(Ink::Series(i), (x + 11.0, y + 4.0), Anchor::Start, name).bold = true;
        }
    }
}

fn finite<'a>(series: &Series<'a>) -> impl Iterator<Item = Point> + use<'a> {
    series.points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite())
}

/// Draws the band between the ends of the intervals.
fn draw_interval(drawing: &mut Drawing, series: &Series, ink: Ink, (x, y): (&Axis, &Axis)) {
    let ends = series.points.iter().zip(series.intervals);
    let ends = ends.filter(|((x, y), (low, high))| [x, y, low, high].iter().all(|v| v.is_finite()));
    let (low, high): (Vec<Point>, Vec<Point>) =
        ends.map(|(&(px, _), &(low, high))| ((x.at(px), y.at(low)), (x.at(px), y.at(high)))).unzip();
    match low[..] {
        [] => {}
        // The interval of a single point is a line.
        [only] => {
            drawing.line(ink, 2.0, vec![only, high[0]]).opacity(0.4);
        }
        _ => {
            let points = low.into_iter().chain(high.into_iter().rev()).collect();
            drawing.add(ink, Geometry::Area { points }).opacity(0.15);
        }
    }
}

/// Rounds to four significant digits.
fn round(x: f64) -> f64 {
    let digits = 3 - x.abs().max(1e-9).log10().floor() as i32;
    let scale = 10.0_f64.powi(digits.clamp(0, 9));
    (x * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::chart::drawing::Mark;

    fn chart(series: &[Series]) -> String {
        LineChart { title: "T", x: "exit", y: "ms", from: YOrigin::Zero, series }.draw(ChartSize::FILE).svg()
    }

    #[test]
    fn a_line_passes_through_its_points_and_ends_at_its_name() {
        let series = Series { name: "a & b", points: &[(1.0, 0.0), (3.0, 10.0)], intervals: &[] };
        let svg = chart(&[series]);
        // From the lower left to the upper right corner of the plot area.
        assert!(svg.contains("points=\"51.2,368 "), "{svg}");
        assert!(svg.contains(",68\""), "{svg}");
        assert!(svg.contains(">a &amp; b<"), "{svg}");
    }

    /// Texts of the drawing of a line through `points`, whose values are in percent.
    fn texts(points: &[(f64, f64)]) -> Vec<String> {
        let series = [Series { name: "a", points, intervals: &[] }];
        let chart = LineChart { title: "", x: "", y: "", from: YOrigin::Percent, series: &series };
        let text = |mark: &Mark| match &mark.geometry {
            Geometry::Text(text) => Some(text.text.clone()),
            _ => None,
        };
        chart.draw(ChartSize::PAGE).marks.iter().filter_map(text).collect()
    }

    #[test]
    fn an_axis_of_shares_stays_within_0_to_100() {
        for values in [&[0.0][..], &[100.0], &[99.7], &[0.0, 0.0], &[0.0, 100.0], &[93.0, 100.0]] {
            let points: Vec<(f64, f64)> = values.iter().enumerate().map(|(x, &y)| (x as f64, y)).collect();
            let ticks = texts(&points).into_iter().filter_map(|text| text.parse::<f64>().ok());
            let ticks: Vec<f64> = ticks.collect();
            assert!(ticks.iter().all(|tick| (0.0..=100.0).contains(tick)), "{values:?}: {ticks:?}");
        }
    }

    #[test]
    fn the_tick_of_a_single_point_is_short() {
        assert!(texts(&[(1_814.073_344, 50.0)]).contains(&"1,814".into()));
    }

    #[test]
    fn names_do_not_overlap() {
        let at = |y| [(1.0, 1.0), (2.0, y)];
        let (a, b) = (at(10.0), at(10.1));
        let series = [("a", &a), ("b", &b)];
        let series = series.map(|(name, points)| Series { name, points, intervals: &[] });
        let drawing =
            LineChart { title: "", x: "", y: "", from: YOrigin::Zero, series: &series }.draw(ChartSize::PAGE);
        let name = |wanted: &str| {
            let mut texts = drawing.marks.iter().filter_map(|mark| match &mark.geometry {
                Geometry::Text(text) if text.text == wanted => Some(text.y),
                _ => None,
            });
            texts.next_back().unwrap()
        };
        assert!(name("a") - name("b") >= NAME_DISTANCE, "{} {}", name("a"), name("b"));
    }

    #[test]
    fn non_finite_points_are_left_out() {
        let points = [(1.0, 1.0), (2.0, f64::NAN), (3.0, f64::INFINITY), (f64::NAN, 2.0)];
        let intervals = [(f64::NAN, 2.0); 4];
        let svg = chart(&[Series { name: "a", points: &points, intervals: &intervals }]);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 1);
        assert!(!chart(&[]).contains("NaN"));
    }

    #[test]
    fn an_interval_is_a_band() {
        let series =
            Series { name: "a", points: &[(1.0, 5.0), (2.0, 6.0)], intervals: &[(4.0, 6.0), (5.0, 7.0)] };
        assert_eq!(chart(&[series]).matches("<polygon").count(), 1);
    }
}
