//! The report as text tables.

use crate::faithfulness::{CascadeSimilarity, MetricSummary};

use super::report::FaithfulnessReport;

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
drop, delet, MoRF, compl: low is good; incr, gain, insert, LeRF, ROAD, coher, ADCC: high is good
rank, IoU, shift: agreement with the last exit's map (Spearman, from 15 % of the maximum, pixels)
";

const POINTING_LEGEND: &str = "\
point, energy: pointing games, high is good; area: share of the objects, the energy of a constant map
";

/// All tables of a report.
pub fn report(report: &FaithfulnessReport) -> String {
    let about = &report.about;
    let plural = if about.images == 1 { "" } else { "s" };
    let mut text = format!("{} image{plural}, class: {}\n\n", about.images, about.class);
    let width = report.rows.iter().map(|row| row.method.len()).fold("method".len(), usize::max);
    text += &format!("exit  {:width$}  images", "method");
    let columns: Vec<&Column> =
        COLUMNS.iter().filter(|(_, of, _)| report.rows.iter().any(|row| of(row).is_some())).collect();
    columns.iter().for_each(|(header, ..)| text += &format!("{header:>8}"));
    text.push('\n');
    for row in &report.rows {
        text += &format!("{:>4}  {:width$}  {:>6}", row.exit, row.method, row.images);
        for (_, of, digits) in &columns {
            text += &match of(row) {
                Some(value) => format!("{value:>8.digits$}"),
                None => format!("{:>8}", "-"),
            };
        }
        text += &left_out(row);
        if let Some(pointing) = row.pointing.as_ref().filter(|pointing| pointing.without_object > 0) {
            text += &format!("  without an object: {}", pointing.without_object);
        }
        text.push('\n');
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
near 1: the map does not change with the weights, so it does not depend on what the model learned
near 0: the map is unrelated to that of the trained model
";

/// Table of the cascade: a row for each exit and method, a column for each step.
fn randomization(
    report: &FaithfulnessReport,
    what: &str,
    of: fn(&CascadeSimilarity) -> Option<f64>,
) -> String {
    let rows = &report.randomisation;
    let width = rows.iter().map(|row| row.method.len()).fold("method".len(), usize::max);
    let steps = rows.iter().map(|row| row.drawn).max().unwrap_or(0);
    let mut text = format!("\nSpearman with the maps of the trained model, {what}, after reinitialization\n");
    text += &format!("exit  {:width$}  images{:>8}", "method", "head");
    (1..steps).for_each(|blocks| text += &format!("{:>8}", format!("+{blocks}")));
    text += if steps > 1 { "  blocks\n" } else { "\n" };
    for (exit, method) in report.rows.iter().map(|row| (row.exit, row.method)) {
        let cells = || rows.iter().filter(move |row| row.exit == exit && row.method == method);
        let images = cells().map(|row| row.images).min().unwrap_or(0);
        text += &format!("{exit:>4}  {method:width$}  {images:>6}");
        for row in cells() {
            text += &of(row).map_or(format!("{:>8}", "-"), |value| format!("{value:>8.3}"));
        }
        text.push('\n');
    }
    text
}

/// Counts of unmeasured maps, by reason.
fn left_out(row: &MetricSummary) -> String {
    let counts = [(row.empty, "empty"), (row.constant, "constant"), (row.nonfinite, "nonfinite")];
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    let words: Vec<String> = counts.map(|(count, word)| format!("{count} {word}")).collect();
    if words.is_empty() { String::new() } else { format!("  left out: {}", words.join(", ")) }
}

fn percent(share: Option<f64>) -> Option<f64> {
    share.map(|share| share * 100.0)
}
