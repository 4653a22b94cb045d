//! File names for results: from an image's name, harmless, and never the same twice.

use std::collections::HashSet;

use crate::error::printable;

/// Room for a number and the longest ending below the 255 bytes that file systems allow.
const LONGEST: usize = 180;

/// Images whose files share a folder.
pub(super) const IN_A_FOLDER: usize = 100;

/// Where the pictures of a set are.
pub(super) const IMAGES: &str = "images";

/// How the files of image `index` (from 0) of a set begin: `images/0001/000123_dog_rex` for
/// `dog/rex.png`. The number alone makes them differ, so that they depend neither on the other
/// names nor on what was done before; `/` leads into folders on every system.
pub fn in_set(index: usize, id: &str) -> String {
    format!("{}/{index:06}_{}", folder(index), file_stem(without_extension(id)))
}

/// The folder of image `index`'s files.
pub(super) fn folder(index: usize) -> String {
    format!("{IMAGES}/{:04}", index / IN_A_FOLDER)
}

/// `dog/rex` of `dog/rex.png`; a dot at the beginning of a name does not begin an extension.
fn without_extension(id: &str) -> &str {
    let name = id.rfind(['/', '\\']).map_or(0, |at| at + 1);
    match id[name..].rfind('.') {
        Some(at) if at > 0 => &id[..name + at],
        _ => id,
    }
}

/// Names in one folder for images that are given one by one.
#[derive(Debug, Default)]
pub struct FlatNames {
    /// In lower case: some file systems do not tell `Cat` from `cat`.
    taken: HashSet<String>,
}

impl FlatNames {
    /// How the results of the image called `name` begin: [`file_stem`] of it, `-2` and so on after it
    /// where that is taken.
    pub fn stem(&mut self, name: &str) -> String {
        let clean = file_stem(name);
        let mut stem = clean.clone();
        let mut number = 1;
        while !self.taken.insert(stem.to_lowercase()) {
            number += 1;
            stem = format!("{clean}-{number}");
        }
        stem
    }
}

/// `name` without separators, control characters, a leading dot and what else some file system
/// refuses; never empty.
pub fn file_stem(name: &str) -> String {
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
        let mut names = FlatNames::default();
        let stems = ["cat", "Cat", "cat-2", "cat", "CAT-2"].map(|name| names.stem(name));
        assert_eq!(stems, ["cat", "Cat-2", "cat-2-2", "cat-3", "CAT-2-3"]);
    }

    #[test]
    fn a_name_stays_in_its_folder_and_on_its_line() {
        for (name, stem) in [
            ("", "image"),
            ("..", "image"),
            ("..\\..\\cat", "_.._cat"),
            ("a\nb\u{1b}[31m\u{202e}", "a_b_[31m_"),
            ("-rf", "rf"),
            (".png", "png"),
            ("it's \"ok\"", "it's _ok_"),
            ("\u{e4}\u{732b}", "\u{e4}\u{732b}"),
        ] {
            assert_eq!(file_stem(name), stem);
        }
        assert_eq!(file_stem(&"\u{732b}".repeat(80)), "\u{732b}".repeat(60), "cut between letters");
    }

    #[test]
    fn the_files_of_a_set_are_numbered_and_a_hundred_a_folder() {
        for (index, id, expected) in [
            (0, "dog/rex.png", "images/0000/000000_dog_rex"),
            (123, "../../etc/passwd", "images/0001/000123__.._etc_passwd"),
            (99, "a.b/.hidden", "images/0000/000099_a.b_.hidden"),
            (1_234_567, "x", "images/12345/1234567_x"),
            (100, "a\nb.tar.gz", "images/0001/000100_a_b.tar"),
            (1, "", "images/0000/000001_image"),
        ] {
            assert_eq!(in_set(index, id), expected);
        }
    }
}
