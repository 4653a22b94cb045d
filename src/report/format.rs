//! Number and name formatting for texts.

use crate::error::printable;
use crate::render::chart;

/// A count with its noun: `count(2, "photo", "photos")` is `2 photos`.
pub fn count(n: usize, one: &str, many: &str) -> String {
    format!("{} {}", thousands(n as u64), if n == 1 { one } else { many })
}

/// `1,234 images`, `1 image`.
pub fn images(n: usize) -> String {
    count(n, "image", "images")
}

/// `12,345`.
pub fn thousands(n: u64) -> String {
    chart::thousands(&n.to_string())
}

/// `87.7 %` with a no-break space, with as many digits as a sample of `images` supports.
pub fn percent(value: f64, images: usize) -> String {
    let digits = match images {
        0..100 => 0,
        100..10_000 => 1,
        _ => 2,
    };
    format!("{value:.digits$}\u{a0}%")
}

/// `part` of `all` in percent.
pub fn share(part: u64, all: usize) -> f64 {
    100.0 * part as f64 / all.max(1) as f64
}

/// A name from a file, escaped to one line and truncated to 300 characters.
pub fn name(text: &str) -> String {
    const MAX_CHARS: usize = 300;
    let line = printable(text);
    match line.char_indices().nth(MAX_CHARS) {
        Some((at, _)) => format!("{}\u{2026}", &line[..at]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_formatted_for_reading() {
        assert_eq!(count(1, "image", "images"), "1 image");
        assert_eq!(count(1_234_567, "image", "images"), "1,234,567 images");
        assert_eq!([7, 100, 1000].map(thousands), ["7", "100", "1,000"]);
        assert_eq!(
            [50, 1000, 10_000].map(|n| percent(87.694, n)),
            ["88\u{a0}%", "87.7\u{a0}%", "87.69\u{a0}%"]
        );
    }

    #[test]
    fn a_name_is_one_line_of_bounded_length() {
        assert_eq!(name("a\nb\u{202e}"), "a\\nb\\u{202e}");
        assert_eq!(name(&"\u{e4}".repeat(5000)).chars().count(), 301);
    }
}
