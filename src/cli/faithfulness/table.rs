//! The report as text tables.

use crate::faithfulness::{CascadeSimilarity, MetricSummary};

use super::report::FaithfulnessReport;
use crate::cli::columns::fitted;

/// Column: its header, its value and its number of decimals.
type Column = (&'static str, fn(&MetricSummary) -> Option<f64>, usize);

const COLUMNS: [Column; 17] = [
    ("drop %", |s| percent(s.average_drop), 1),
    ("incr %", |s| percent(s.increase), 1),
    ("gain %", |s| percent(s.average_gain), 1),
    ("delet", |s| s.deletion, 3),
    ("insert", |s| s.insertion, 3),
    ("MoRF", |s| s.road_morf, 3),
    ("LeRF", |s| s.road_lerf, 3),
    ("ROAD", |s| s.road, 3),
    ("compl", |s| s.complexity, 3),
    ("coher", |s| s.coherency, 3),
    ("ADCC", |s| s.adcc, 3),
    ("rank", |s| s.agreement.spearman, 3),
    ("IoU", |s| s.agreement.iou, 3),
    ("shift", |s| s.agreement.shift, 2),
    ("point %", |s| percent(s.pointing.as_ref()?.pointing_game), 1),
    ("energy", |s| s.pointing.as_ref()?.energy, 3),
    ("area", |s| s.pointing.as_ref()?.object_share, 3),
];

const LEGEND: &str = "\
drop, delet, MoRF, compl: low is good
incr, gain, insert, LeRF, ROAD, coher, ADCC: high is good
rank, IoU, shift: agreement with the last exit's map
(Spearman, from 15 % of the maximum, pixels)
";

const POINTING_LEGEND: &str = "\
point, energy: pointing games, high is good
area: share of the objects, the energy of a constant map
";

/// All tables of a report.
pub fn report(report: &FaithfulnessReport) -> String {
    let about = &report.about;
    let plural = if about.images == 1 { "" } else { "s" };
    let mut text = format!("{} image{plural}, class: {}\n\n", about.images, about.class);
    let columns: Vec<&Column> =
        COLUMNS.iter().filter(|(_, of, _)| report.rows.iter().any(|row| of(row).is_some())).collect();
    let width = method_width(report);
    let mut rows = vec![heading(width, columns.iter().map(|(header, ..)| header.to_string()).collect())];
    for row in &report.rows {
        let cell =
            |(_, of, digits): &&Column| of(row).map_or("-".into(), |value| format!("{value:.digits$}"));
        rows.push((name(row.exit, row.method, width, row.images), columns.iter().map(cell).collect()));
    }
    text += &fitted(&rows);
    for row in &report.rows {
        let (exit, method) = (row.exit, row.method);
        let without = row.pointing.as_ref().map_or(0, |pointing| pointing.without_object);
        for note in
            left_out(row).into_iter().chain((without > 0).then(|| format!("without an object: {without}")))
        {
            text += &format!("exit {exit}, {method}: {note}\n");
        }
    }
    text.push('\n');
    text += LEGEND;
    if report.rows.iter().any(|row| row.pointing.is_some()) {
        text += POINTING_LEGEND;
    }
    if !report.randomisation.is_empty() {
        text += &randomization(report, "of the magnitudes", |row| row.spearman_absolute);
        text += &randomization(report, "with signs", |row| row.spearman_signed);
        text += RANDOMIZATION_LEGEND;
    }
    text
}

const RANDOMIZATION_LEGEND: &str = "
near 1: the map does not change with the weights,
so it does not depend on what the model learned
near 0: the map is unrelated to that of the trained model
";

/// Table of the cascade: a row for each exit and method, a column for each step.
fn randomization(
    report: &FaithfulnessReport,
    what: &str,
    of: fn(&CascadeSimilarity) -> Option<f64>,
) -> String {
    let cascade = &report.randomisation;
    let width = method_width(report);
    let steps = cascade.iter().map(|row| row.drawn).max().unwrap_or(0);
    let header = |blocks| if blocks == 0 { "head".to_string() } else { format!("+{blocks}") };
    let mut rows = vec![heading(width, (0..steps).map(header).collect())];
    for (exit, method) in report.rows.iter().map(|row| (row.exit, row.method)) {
        let cells = || cascade.iter().filter(move |row| row.exit == exit && row.method == method);
        let images = cells().map(|row| row.images).min().unwrap_or(0);
        let cell = |row: &CascadeSimilarity| of(row).map_or("-".into(), |value| format!("{value:.3}"));
        rows.push((name(exit, method, width, images), cells().map(cell).collect()));
    }
    let what = format!("Spearman with the maps of the trained model, {what}");
    format!("\n{what},\nafter reinitialization of the head and of blocks\n{}", fitted(&rows))
}

fn method_width(report: &FaithfulnessReport) -> usize {
    report.rows.iter().map(|row| row.method.len()).fold("method".len(), usize::max)
}

fn heading(width: usize, columns: Vec<String>) -> (String, Vec<String>) {
    (format!("exit  {:width$}  images", "method"), columns)
}

/// The name of a row: its exit, method and number of images.
fn name(exit: usize, method: &str, width: usize, images: usize) -> String {
    format!("{exit:>4}  {method:width$}  {images:>6}")
}

/// Counts of unmeasured maps, by reason; `None` if there are none.
fn left_out(row: &MetricSummary) -> Option<String> {
    let counts = [(row.empty, "empty"), (row.constant, "constant"), (row.nonfinite, "nonfinite")];
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    let words: Vec<String> = counts.map(|(count, word)| format!("{count} {word}")).collect();
    (!words.is_empty()).then(|| format!("left out: {}", words.join(", ")))
}

fn percent(share: Option<f64>) -> Option<f64> {
    share.map(|share| share * 100.0)
}
