//! Charts of a run.

use crate::faithfulness::{MeanCurve, MetricSummary, RoadMean};
use crate::render::chart::{ChartSize, Drawing, LineChart, Series, YOrigin};

use super::report::FaithfulnessReport;

/// Name and points of a line.
type Line = (String, Vec<(f64, f64)>);

/// All charts, each with the stem of its file name.
pub fn all(report: &FaithfulnessReport) -> Vec<(String, Drawing)> {
    let mut charts = Vec::new();
    for &exit in &report.about.exits {
        let rows = || report.rows.iter().filter(move |row| row.exit == exit);
        let lines: Vec<Line> = rows().flat_map(curves).collect();
        if !lines.is_empty() {
            let title = format!("Deletion and insertion at exit {exit}");
            let chart = draw(&title, "share of the pixels, %", "probability of the class", &lines);
            charts.push((format!("curves_exit{exit:02}"), chart));
        }
        let lines: Vec<Line> = rows().flat_map(road).collect();
        if !lines.is_empty() {
            let title = format!("ROAD at exit {exit}");
            let chart = draw(&title, "kept pixels, %", "probability of the class", &lines);
            charts.push((format!("road_exit{exit:02}"), chart));
        }
    }
    charts.extend(report.about.exits.iter().filter_map(|&exit| randomization(report, exit)));
    if report.about.exits.len() > 1 {
        charts.extend(BY_EXIT.iter().filter_map(|metric| by_exit(report, metric)));
    }
    charts
}

/// Metric that is plotted against the exits: file name, title, unit and value.
type ExitMetric = (&'static str, &'static str, &'static str, fn(&MetricSummary) -> Option<f64>);

const BY_EXIT: [ExitMetric; 6] = [
    ("drop", "Average drop by exit", "%, low is good", |s| s.average_drop.map(|drop| drop * 100.0)),
    ("deletion", "Deletion by exit", "area, low is good", |s| s.deletion),
    ("insertion", "Insertion by exit", "area, high is good", |s| s.insertion),
    ("road", "ROAD by exit", "(LeRF - MoRF) / 2, high is good", |s| s.road),
    ("adcc", "ADCC by exit", "high is good", |s| s.adcc),
    ("agreement", "Agreement with the last exit's map", "Spearman", |s| s.agreement.spearman),
];

fn by_exit(report: &FaithfulnessReport, (file, title, unit, of): &ExitMetric) -> Option<(String, Drawing)> {
    let line = |method: &&'static str| -> Line {
        let rows = report.rows.iter().filter(|row| row.method == *method);
        let points = rows.filter_map(|row| of(row).map(|value| (row.exit as f64, value)));
        (method.to_string(), points.collect())
    };
    let lines: Vec<Line> = report.about.methods.iter().map(line).collect();
    let any = lines.iter().any(|(_, points)| !points.is_empty());
    any.then(|| (format!("by_exit_{file}"), draw(title, "exit", unit, &lines)))
}

/// Similarity of each method's maps to those of the trained model, by step of the cascade.
fn randomization(report: &FaithfulnessReport, exit: usize) -> Option<(String, Drawing)> {
    let line = |method: &&'static str| -> Line {
        let rows = report.randomisation.iter().filter(|row| row.exit == exit && row.method == *method);
        let points = rows.filter_map(|row| Some((row.drawn as f64, row.spearman_absolute?)));
        (method.to_string(), points.collect())
    };
    let lines: Vec<Line> = report.about.methods.iter().map(line).collect();
    let any = lines.iter().any(|(_, points)| !points.is_empty());
    let title = format!("Cascading randomization at exit {exit}: near 1, a map ignores the weights");
    let x = format!("reinitialized layer groups: the head, block {exit}, then the blocks before it");
    let y = "Spearman with the map of the trained model, magnitudes";
    any.then(|| (format!("randomisation_exit{exit:02}"), draw(&title, &x, y, &lines)))
}

fn curves(row: &MetricSummary) -> Vec<Line> {
    let line = |what: &str, curve: &Option<MeanCurve>| -> Option<Line> {
        let MeanCurve { fractions, scores } = curve.as_ref()?;
        let points = fractions.iter().map(|x| x * 100.0).zip(scores.iter().copied());
        Some((format!("{}, {what}", row.method), points.collect()))
    };
    [line("deletion", &row.deletion_curve), line("insertion", &row.insertion_curve)]
        .into_iter()
        .flatten()
        .collect()
}

fn road(row: &MetricSummary) -> Vec<Line> {
    let line = |what: &str, of: fn(&RoadMean) -> f64| -> Line {
        let mut points: Vec<(f64, f64)> = row.road_curve.iter().map(|p| (p.percentile, of(p))).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        (format!("{}, {what}", row.method), points)
    };
    let lines = vec![line("MoRF", |p| p.morf), line("LeRF", |p| p.lerf)];
    lines.into_iter().filter(|(_, points)| !points.is_empty()).collect()
}

fn draw(title: &str, x: &str, y: &str, lines: &[Line]) -> Drawing {
    let series: Vec<Series> =
        lines.iter().map(|(name, points)| Series { name, points, intervals: &[] }).collect();
    LineChart { title, x, y, from: YOrigin::Zero, series: &series }.draw(ChartSize::FILE)
}
