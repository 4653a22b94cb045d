//! Labels of a data set.

use std::path::Path;

use crate::error::{path_text, printable};
use crate::{Error, Result};

/// Labels of all images, and the names of the classes that they index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labeling {
    /// Names of the classes.
    pub classes: Vec<String>,
    /// The class index of each image, from 0.
    pub labels: Vec<Option<usize>>,
    /// Whether the data set has the labels as numbers of classes, as CIFAR files, and not as names of folders.
    pub numbered: bool,
}

/// The first ten of `names`, comma-separated.
pub fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| printable(name)).collect();
    shown.join(", ") + if names.len() > SHOWN { ", ..." } else { "" }
}

/// Appends `more` images of `path`, labeled by `new`, to the first `len` images.
///
/// # Errors
/// When their classes differ from those before; the images are then appended without labels.
pub fn append(
    all: &mut Vec<Labeling>,
    len: usize,
    new: Vec<Labeling>,
    more: usize,
    path: &Path,
) -> Result<()> {
    if all.is_empty() {
        let after_unlabeled = |labeling: Labeling| Labeling {
            labels: std::iter::repeat_n(None, len).chain(labeling.labels).collect(),
            ..labeling
        };
        all.extend(new.into_iter().map(after_unlabeled));
    } else if new.is_empty() {
        all.iter_mut().for_each(|labeling| labeling.labels.extend(std::iter::repeat_n(None, more)));
    } else if all.iter().map(|l| &l.classes).eq(new.iter().map(|l| &l.classes)) {
        for (labeling, new) in all.iter_mut().zip(new) {
            labeling.labels.extend(new.labels);
        }
    } else {
        all.iter_mut().for_each(|labeling| labeling.labels.extend(std::iter::repeat_n(None, more)));
        return Err(Error::usage(format!(
            "{}: its classes ({}) differ from those of the images before ({})",
            path_text(path),
            shortened(&new[0].classes),
            shortened(&all[0].classes)
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        text.split(' ').map(String::from).collect()
    }

    #[test]
    fn unlabeled_images_keep_their_positions() {
        let labeling =
            || Labeling { classes: names("cat dog"), labels: vec![Some(1), Some(0)], numbered: false };
        let mut all = Vec::new();
        append(&mut all, 0, vec![], 1, Path::new("a")).unwrap();
        append(&mut all, 1, vec![labeling()], 2, Path::new("b")).unwrap();
        append(&mut all, 3, vec![], 1, Path::new("c")).unwrap();
        append(&mut all, 4, vec![labeling()], 2, Path::new("d")).unwrap();
        assert_eq!(all[0].labels, [None, Some(1), Some(0), None, Some(1), Some(0)]);
        let other = Labeling { classes: names("cat bird"), labels: vec![Some(0)], numbered: false };
        let error = append(&mut all, 6, vec![other], 1, Path::new("e")).unwrap_err().to_string();
        assert_eq!(error, "e: its classes (cat, bird) differ from those of the images before (cat, dog)");
    }
}
