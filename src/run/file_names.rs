//! File names of results: derived from the image's name, safe on every file system, and unique.

use std::collections::HashSet;

use crate::error::printable;

/// Maximum length of a stem in bytes. It leaves room for a number and the longest suffix within the 255
/// bytes that file systems allow.
const MAX_STEM: usize = 180;

/// Number of images whose files share a folder.
pub(super) const IMAGES_PER_FOLDER: usize = 100;

/// Folder of a run's pictures.
pub(super) const IMAGES: &str = "images";

/// Path prefix of the files of image `index` (from 0) of a set: `images/0001/000123_dog_rex` for
/// `dog/rex.png`. The index alone makes it unique, so it depends neither on the other names nor on the
/// order of work. The separator is `/` on every system.
pub fn image_stem(index: usize, id: &str) -> String {
    format!("{}/{index:06}_{}", folder(index), file_stem(without_extension(id)))
}

/// The folder of image `index`'s files.
pub(super) fn folder(index: usize) -> String {
    format!("{IMAGES}/{:04}", index / IMAGES_PER_FOLDER)
}

/// `dog/rex` of `dog/rex.png`; a leading dot does not start an extension.
fn without_extension(id: &str) -> &str {
    let name = id.rfind(['/', '\\']).map_or(0, |at| at + 1);
    match id[name..].rfind('.') {
        Some(at) if at > 0 => &id[..name + at],
        _ => id,
    }
}

/// Unique file stems within one folder, for images given by name.
#[derive(Debug, Default)]
pub struct FlatNames {
    /// In lower case, because some file systems ignore case.
    taken: HashSet<String>,
}

impl FlatNames {
    /// File stem of the results of image `name`: its [`file_stem`], followed by `-2` and so on if that is
    /// taken.
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

/// `name` without path separators, control characters, leading dots and other characters that some file
/// system rejects; never empty.
pub fn file_stem(name: &str) -> String {
    let harmless = |c: char| {
        let mut bytes = [0; 4];
        let escaped = printable(c.encode_utf8(&mut bytes)).len() != c.len_utf8();
        if escaped || r#"/\:*?"<>|"#.contains(c) { '_' } else { c }
    };
    let mut stem: String = name.chars().map(harmless).collect();
    let end = (0..=MAX_STEM.min(stem.len())).rev().find(|&at| stem.is_char_boundary(at)).unwrap_or(0);
    stem.truncate(end);
    // A leading dash would be read as an option by programs that get the name as an argument.
    let stem = stem.trim_start_matches(['.', ' ', '-']).trim_end_matches(['.', ' ']);
    if stem.is_empty() { "image".into() } else { stem.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicate_names_are_numbered_ignoring_case() {
        let mut names = FlatNames::default();
        let stems = ["cat", "Cat", "cat-2", "cat", "CAT-2"].map(|name| names.stem(name));
        assert_eq!(stems, ["cat", "Cat-2", "cat-2-2", "cat-3", "CAT-2-3"]);
    }

    #[test]
    fn unsafe_characters_are_replaced() {
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
        assert_eq!(
            file_stem(&"\u{732b}".repeat(80)),
            "\u{732b}".repeat(60),
            "truncated at a character boundary"
        );
    }

    #[test]
    fn files_of_a_set_are_numbered_with_a_hundred_images_per_folder() {
        for (index, id, expected) in [
            (0, "dog/rex.png", "images/0000/000000_dog_rex"),
            (123, "../../etc/passwd", "images/0001/000123__.._etc_passwd"),
            (99, "a.b/.hidden", "images/0000/000099_a.b_.hidden"),
            (1_234_567, "x", "images/12345/1234567_x"),
            (100, "a\nb.tar.gz", "images/0001/000100_a_b.tar"),
            (1, "", "images/0000/000001_image"),
        ] {
            assert_eq!(image_stem(index, id), expected);
        }
    }
}
