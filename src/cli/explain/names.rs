//! File names for results: from an image's name, harmless, and never the same twice.

use std::collections::HashSet;
use std::path::Path;

use msdcam::error::printable;

/// Room for a number and the longest ending below the 255 bytes that file systems allow.
const LONGEST: usize = 180;

/// The names given so far.
#[derive(Debug, Default)]
pub struct Names {
    /// In lower case: some file systems do not tell `Cat` from `cat`.
    taken: HashSet<String>,
}

impl Names {
    /// How the results of `image` begin: its name without folder and extension, `-2` and so on
    /// after it where that is taken. It has no separator, no control character and no leading dot.
    pub fn stem(&mut self, image: &Path) -> String {
        let clean = clean(&image.file_stem().unwrap_or_default().to_string_lossy());
        let mut stem = clean.clone();
        let mut number = 1;
        while !self.taken.insert(stem.to_lowercase()) {
            number += 1;
            stem = format!("{clean}-{number}");
        }
        stem
    }
}

fn clean(name: &str) -> String {
    let harmless = |c: char| {
        let mut bytes = [0; 4];
        let escaped = printable(c.encode_utf8(&mut bytes)).len() != c.len_utf8();
        if escaped || r#"/\:*?"<>|"#.contains(c) { '_' } else { c }
    };
    let mut stem: String = name.chars().map(harmless).collect();
    let end = (0..=LONGEST.min(stem.len())).rev().find(|&at| stem.is_char_boundary(at)).unwrap_or(0);
    stem.truncate(end);
    // A leading dash would read as an option of whatever gets the name.
    let stem = stem.trim_start_matches(['.', ' ', '-']).trim_end_matches(['.', ' ']);
    if stem.is_empty() { "image".into() } else { stem.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_taken_gets_a_number_whatever_its_case() {
        let mut names = Names::default();
        let stems =
            ["a/cat.png", "b/Cat.jpg", "cat-2.png", "cat", "CAT-2.webp"].map(|p| names.stem(Path::new(p)));
        assert_eq!(stems, ["cat", "Cat-2", "cat-2-2", "cat-3", "CAT-2-3"]);
    }

    #[test]
    fn a_name_stays_in_its_folder_and_on_its_line() {
        let stem = |path: &str| Names::default().stem(Path::new(path));
        assert_eq!(stem("a/.."), "image");
        assert_eq!(stem("a/..\\..\\cat.png"), "_..\\cat".replace('\\', "_"));
        assert_eq!(stem("a\nb\u{1b}[31m\u{202e}.png"), "a_b_[31m_");
        assert_eq!(stem("-rf.png"), "rf");
        assert_eq!(stem(".png"), "png");
        assert_eq!(stem("it's \"ok\".png"), "it's _ok_");
        assert_eq!(stem("\u{e4}\u{732b}.png"), "\u{e4}\u{732b}");
    }

    #[test]
    fn a_long_name_is_cut_between_letters() {
        let stem = Names::default().stem(Path::new(&"\u{732b}".repeat(80)));
        assert_eq!(stem, "\u{732b}".repeat(60));
    }
}
