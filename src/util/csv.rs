//! Cells of CSV files.

use crate::error::printable;

/// `text` as a cell of a CSV file (RFC 4180), on one line: control and invisible characters are escaped as
/// in messages, and text that a spreadsheet would take for a formula gets an apostrophe in front, as OWASP
/// recommends. Numbers are written as they are, without this function.
///
/// ```
/// use msdcam::util::csv::cell;
/// assert_eq!(cell("cat 1.png"), "cat 1.png");
/// assert_eq!(cell("=1+1, \"x\""), "\"'=1+1, \"\"x\"\"\"");
/// ```
pub fn cell(text: &str) -> String {
    let mut cell = printable(text);
    if cell.starts_with(['=', '+', '-', '@']) {
        cell.insert(0, '\'');
    }
    if cell.contains(['"', ',', ';']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_become_text_and_lines_stay_whole() {
        for (text, expected) in [
            ("", ""),
            ("dog", "dog"),
            ("a=b", "a=b"),
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-x.png", "'-x.png"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "\\t=1"),
            ("\r\n=1", "\\r\\n=1"),
            ("a\u{1b}[31m\u{202e}", "a\\u{1b}[31m\\u{202e}"),
            ("it's", "it's"),
            ("a;=1", "\"a;=1\""),
            ("b,\"c\"", "\"b,\"\"c\"\"\""),
        ] {
            assert_eq!(cell(text), expected, "{text:?}");
        }
    }
}
