//! Line charts as SVG text.

use std::fmt::Write;

/// One line of a [`Chart`].
pub struct Series<'a> {
    /// What it is, written beside its last point.
    pub name: &'a str,
    /// (x, y), x ascending.
    pub points: &'a [(f64, f64)],
}

/// A chart of lines over a common x axis; the y axis begins at zero.
pub struct Chart<'a> {
    /// Heading.
    pub title: &'a str,
    /// Name of the x axis; its ticks are the points' own x.
    pub x: &'a str,
    /// Name of the y axis.
    pub y: &'a str,
    /// The lines.
    pub series: &'a [Series<'a>],
}

/// Colours that colour-blind people can tell apart (Okabe and Ito, 2008).
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
/// Room on the left, at the top, on the right, at the bottom.
const MARGIN: [f64; 4] = [64.0, 48.0, 140.0, 56.0];

impl Chart<'_> {
    /// The chart as an SVG document.
    pub fn svg(&self) -> String {
        let points = || self.series.iter().flat_map(|s| s.points.iter().copied());
        let (least, most) =
            points().fold((f64::MAX, f64::MIN), |(least, most), (x, _)| (least.min(x), most.max(x)));
        let step = round_step(points().map(|(_, y)| y).fold(0.0, f64::max));
        let top = step * (points().map(|(_, y)| y).fold(0.0, f64::max) / step).ceil().max(1.0);
        let [left, above, right, below] = MARGIN;
        let across = move |x: f64| left + (WIDTH - left - right) * (x - least) / (most - least).max(1e-9);
        let up = move |y: f64| HEIGHT - below - (HEIGHT - above - below) * y / top;

        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
             height=\"{HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\" fill=\"#222\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
        );
        text(&mut svg, (left, 26.0), "start", "font-size=\"16\" font-weight=\"bold\"", self.title);
        for tick in 0..=(top / step).round() as usize {
            let y = up(tick as f64 * step);
            let _ = writeln!(
                svg,
                "<line x1=\"{left}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>",
                WIDTH - right
            );
            text(&mut svg, (left - 8.0, y + 4.0), "end", "", &trimmed(tick as f64 * step));
        }
        let mut ticks: Vec<f64> = points().map(|(x, _)| x).collect();
        ticks.sort_by(f64::total_cmp);
        ticks.dedup();
        for x in ticks {
            text(&mut svg, (across(x), HEIGHT - below + 20.0), "middle", "", &trimmed(x));
        }
        let middle = left + (WIDTH - left - right) / 2.0;
        text(&mut svg, (middle, HEIGHT - 14.0), "middle", "", self.x);
        let turned = format!("transform=\"rotate(-90 16 {:.1})\"", HEIGHT / 2.0);
        text(&mut svg, (16.0, HEIGHT / 2.0), "middle", &turned, self.y);
        for (series, colour) in self.series.iter().zip(COLOURS.iter().cycle()) {
            let path: Vec<String> =
                series.points.iter().map(|&(x, y)| format!("{:.1},{:.1}", across(x), up(y))).collect();
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2.5\"/>",
                path.join(" ")
            );
            for point in &path {
                let (x, y) = point.split_once(',').expect("written above");
                let _ = writeln!(svg, "<circle cx=\"{x}\" cy=\"{y}\" r=\"3.5\" fill=\"{colour}\"/>");
            }
            if let Some(&(x, y)) = series.points.last() {
                let style = format!("style=\"fill:{colour}\"");
                text(&mut svg, (across(x) + 10.0, up(y) + 4.0), "start", &style, series.name);
            }
        }
        svg + "</svg>\n"
    }
}

/// The distance between two ticks of an axis from 0 to `most`: 1, 2 or 5 times a power of ten.
fn round_step(most: f64) -> f64 {
    let rough = (most / 5.0).max(1e-9);
    let power = 10.0_f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|f| f * power).find(|&s| s >= rough * (1.0 - 1e-9)).unwrap_or(power)
}

/// A number without trailing zeros.
fn trimmed(x: f64) -> String {
    let text = format!("{x:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, attributes: &str, text: &str) {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" {attributes}>{escaped}</text>"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!([0.9, 1.0, 4.2, 5.1, 37.0, 0.02].map(round_step), [0.2, 0.2, 1.0, 2.0, 10.0, 0.005]);
    }

    #[test]
    fn a_line_begins_left_and_ends_at_its_name() {
        let series = [Series { name: "a & b", points: &[(1.0, 0.0), (3.0, 10.0)] }];
        let svg = Chart { title: "T", x: "exit", y: "ms", series: &series }.svg();
        assert!(svg.contains("points=\"64.0,344.0 580.0,48.0\""), "{svg}");
        assert!(svg.contains(">a &amp; b<"), "{svg}");
    }
}
