//! Labels of a data set, and their conversion to class indices of a model.

use std::path::Path;

use crate::error::printable;
use crate::{Error, Result};

/// Labels of all images, and the names of the classes that they index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labeling {
    /// Names of the classes.
    pub classes: Vec<String>,
    /// The class index of each image, from 0.
    pub labels: Vec<Option<usize>>,
}

impl Labeling {
    /// The labels as indices of the classes of a model; `Err` is the reason why they do not match.
    pub fn fit(&self, model: &[String]) -> Result<Labeling, String> {
        let map = self.classes_in(model)?;
        let labels = self.labels.iter().map(|label| label.map(|class| map[class])).collect();
        Ok(Labeling { classes: model.to_vec(), labels })
    }

    /// For each class the index of the model's: by name, ignoring case, or by order if no name matches.
    fn classes_in(&self, model: &[String]) -> Result<Vec<usize>, String> {
        let position = |name: &String| {
            let exact = model.iter().position(|class| class == name);
            let lower = name.to_lowercase();
            exact.or_else(|| model.iter().position(|class| class.to_lowercase() == lower))
        };
        let found: Vec<Option<usize>> = self.classes.iter().map(position).collect();
        if let Some(map) = found.iter().copied().collect::<Option<Vec<usize>>>() {
            return Ok(map);
        }
        let unknown: Vec<String> =
            self.classes.iter().zip(&found).filter(|(_, f)| f.is_none()).map(|(c, _)| c.clone()).collect();
        if unknown.len() < self.classes.len() {
            return Err(format!(
                "the model has no class {}: it has {}",
                shortened(&unknown),
                shortened(model)
            ));
        }
        match self.classes.len() == model.len() {
            true => Ok((0..model.len()).collect()),
            false => Err(format!(
                "{} classes ({}) do not match the model's {} ({})",
                self.classes.len(),
                shortened(&self.classes),
                model.len(),
                shortened(model)
            )),
        }
    }
}

/// The first ten of `names`, comma-separated.
fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| printable(name)).collect();
    shown.join(", ") + if names.len() > SHOWN { ", ..." } else { "" }
}

/// Appends `more` images of `path`, labeled by `new`, to the first `len` images.
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
        return Err(Error::usage(format!(
            "{}: its classes ({}) differ from those of the images before ({})",
            path.display(),
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

    fn fit(classes: &str, model: &str) -> Result<Vec<usize>, String> {
        let classes = names(classes);
        let labels = (0..classes.len()).map(Some).collect();
        let fitted = Labeling { classes, labels }.fit(&names(model))?;
        Ok(fitted.labels.into_iter().flatten().collect())
    }

    #[test]
    fn matches_by_name_before_order() {
        assert_eq!(fit("dog cat", "cat dog"), Ok(vec![1, 0]));
        assert_eq!(fit("Dog", "bird cat dog"), Ok(vec![2]));
        assert_eq!(fit("n01 n02", "cat dog"), Ok(vec![0, 1]));
    }

    #[test]
    fn partially_matching_names_are_not_matched_by_order() {
        let error = fit("cat hund", "cat dog").unwrap_err();
        assert_eq!(error, "the model has no class hund: it has cat, dog");
        let error = fit("n01 n02 n03", "cat dog").unwrap_err();
        assert_eq!(error, "3 classes (n01, n02, n03) do not match the model's 2 (cat, dog)");
    }

    #[test]
    fn unlabeled_images_keep_their_positions() {
        let labeling = || Labeling { classes: names("cat dog"), labels: vec![Some(1), Some(0)] };
        let mut all = Vec::new();
        append(&mut all, 0, vec![], 1, Path::new("a")).unwrap();
        append(&mut all, 1, vec![labeling()], 2, Path::new("b")).unwrap();
        append(&mut all, 3, vec![], 1, Path::new("c")).unwrap();
        append(&mut all, 4, vec![labeling()], 2, Path::new("d")).unwrap();
        assert_eq!(all[0].labels, [None, Some(1), Some(0), None, Some(1), Some(0)]);
        let other = Labeling { classes: names("cat bird"), labels: vec![Some(0)] };
        let error = append(&mut all, 6, vec![other], 1, Path::new("e")).unwrap_err().to_string();
        assert_eq!(error, "e: its classes (cat, bird) differ from those of the images before (cat, dog)");
    }
}
