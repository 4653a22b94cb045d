//! Tables of many columns in a terminal of 80.

/// Width of a terminal that nobody has made wider.
pub const WIDTH: usize = 80;

/// Rows of a name and as many cells each, in columns of the same width. Where they are too many for one line,
/// those that fit come first, and the others below, with the names again.
pub fn fitted(rows: &[(String, Vec<String>)]) -> String {
    let longest = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or(0);
    let name_width = longest(&mut rows.iter().map(|(name, _)| name.chars().count()));
    let cell_width = longest(&mut rows.iter().flat_map(|(_, cells)| cells).map(|cell| cell.chars().count()));
    let columns = longest(&mut rows.iter().map(|(_, cells)| cells.len()));
    let fit = |gap: usize| (WIDTH.saturating_sub(name_width) / (cell_width + gap)).max(1);
    let gap = if fit(1) >= columns && fit(2) < columns { 1 } else { 2 };
    let mut text = String::new();
    for first in (0..columns).step_by(fit(gap)) {
        if first > 0 {
            text.push('\n');
        }
        for (name, cells) in rows {
            text += &format!("{name:name_width$}");
            for cell in cells.iter().skip(first).take(fit(gap)) {
                text += &format!("{:gap$}{cell:>cell_width$}", "");
            }
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_narrowed_first_and_then_continued_below() {
        let table = |columns: usize, cell: &str| {
            let row = |name: &str| (name.to_string(), vec![cell.to_string(); columns]);
            fitted(&[row("correct exits"), row("images")])
        };
        assert_eq!(table(2, "10"), "correct exits  10  10\nimages         10  10\n");
        for (columns, cell, lines) in [(11, "10000", 2), (13, "1000", 2), (14, "10000", 5), (40, "1", 5)] {
            let text = table(columns, cell);
            assert!(text.lines().all(|line| line.len() <= 80), "{text}");
            assert_eq!((text.lines().count(), text.matches(cell).count()), (lines, 2 * columns), "{text}");
        }
        assert_eq!(fitted(&[]), "");
        assert_eq!(fitted(&[("x".repeat(90), vec!["1".into()])]), format!("{}  1\n", "x".repeat(90)));
    }
}
