//! The numbers as tables for people.

use msdcam::cam::metrics::Summary;

use super::report::Report;

/// A column: its head, its numbers, and digits behind the point.
type Column = (&'static str, fn(&Summary) -> Option<f64>, usize);

const COLUMNS: [Column; 14] = [
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
];

const LEGEND: &str = "\
drop, delet, MoRF, compl: low is good; incr, gain, insert, LeRF, ROAD, coher, ADCC: high is good
rank, IoU, shift: beside the last exit's map (Spearman, over 15 % of the maximum, pixels)
";

/// All tables.
pub fn report(report: &Report) -> String {
    let about = &report.about;
    let plural = if about.images == 1 { "" } else { "s" };
    let mut text = format!("{} image{plural}, class: {}\n\n", about.images, about.class);
    let width = report.rows.iter().map(|row| row.method.len()).fold("method".len(), usize::max);
    text += &format!("exit  {:width$}  images", "method");
    let columns: Vec<&Column> =
        COLUMNS.iter().filter(|(_, of, _)| report.rows.iter().any(|row| of(row).is_some())).collect();
    columns.iter().for_each(|(head, ..)| text += &format!("{head:>8}"));
    text.push('\n');
    for row in &report.rows {
        text += &format!("{:>4}  {:width$}  {:>6}", row.exit, row.method, row.images);
        for (_, of, digits) in &columns {
            text += &match of(row) {
                Some(number) => format!("{number:>8.digits$}"),
                None => format!("{:>8}", "-"),
            };
        }
        text += &left_out(row);
        text.push('\n');
    }
    text.push('\n');
    text += LEGEND;
    text
}

/// Why maps are in no number.
fn left_out(row: &Summary) -> String {
    let counts = [(row.empty, "empty"), (row.constant, "constant"), (row.nonfinite, "nonfinite")];
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    let words: Vec<String> = counts.map(|(count, word)| format!("{count} {word}")).collect();
    if words.is_empty() { String::new() } else { format!("  left out: {}", words.join(", ")) }
}

fn percent(share: Option<f64>) -> Option<f64> {
    share.map(|share| share * 100.0)
}
