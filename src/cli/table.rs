//! Tables of exits for the terminal.

use crate::error::printable;
use crate::render::sheet::percent;

use super::records::ExitRecord;

/// Maximum width of a class name, characters.
const MAX_WIDTH: usize = 32;

/// A line for each exit: predicted class, its probability and, with a map, the map's maximum, its
/// target if that is not the predicted class, and its status if that is not `ok`.
pub fn exits(records: &[ExitRecord]) -> String {
    let labels: Vec<String> = records.iter().map(|record| shortened(&record.class_name)).collect();
    let width = labels.iter().map(|label| label.chars().count()).fold("class".len(), usize::max);
    let maps = records.iter().any(|record| record.map.is_some());
    let mut text = format!("  exit  {:width$}  {:>8}", "class", "sure");
    text.push_str(if maps { "   map max\n" } else { "\n" });
    for (record, label) in records.iter().zip(&labels) {
        text += &format!("  {:>4}  {label:width$}  {:>8}", record.exit, percent(record.probability));
        if let Some(map) = &record.map {
            text += &format!("  {:>8}", number(map.map_max));
            if map.target != record.class {
                text += &format!("  for {}", shortened(&map.target_name));
            }
            if map.status != crate::imaging::heatmap::MapStatus::Ok {
                text += &format!("  {}", map.status.name());
            }
        }
        text.push('\n');
    }
    text
}

/// A name of a class, printable and at most [`MAX_WIDTH`] characters.
pub fn shortened(label: &str) -> String {
    let label = printable(label);
    match label.char_indices().nth(MAX_WIDTH - 1) {
        Some((at, _)) if label.chars().count() > MAX_WIDTH => format!("{}\u{2026}", &label[..at]),
        _ => label,
    }
}

/// `x` with a few significant digits.
fn number(x: f32) -> String {
    if x == 0.0 {
        return "0".into();
    }
    match x.abs() {
        a if !(0.001..100_000.0).contains(&a) => format!("{x:.2e}"),
        a if a < 0.1 => format!("{x:.4}"),
        a if a < 10.0 => format!("{x:.3}"),
        _ => format!("{x:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_few_digits_at_every_magnitude() {
        let shown = [0.0, 1.7342, 0.00123, 123.456, 1e-9, 2.5e30, f32::NAN].map(number);
        assert_eq!(shown, ["0", "1.734", "0.0012", "123.5", "1.00e-9", "2.50e30", "NaN"]);
    }

    #[test]
    fn columns_are_aligned_for_any_labels() {
        let record = |exit, label: &str, probability| ExitRecord {
            exit,
            class: 0,
            class_name: label.into(),
            probability,
            label_rank: None,
            map: None,
            maps: Vec::new(),
        };
        let long = "x".repeat(100);
        let records = [record(1, "\u{e4}", 0.5), record(10, &long, 0.99999), record(11, "a\nb", f32::NAN)];
        let text = exits(&records);
        let widths: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
        assert_eq!(widths, [50; 4], "{text}");
    }
}
