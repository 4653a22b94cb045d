//! Labels, and how those of a data set become classes of a network.

use std::path::Path;

use crate::error::printable;
use crate::{Error, Result};

/// One way in which images are labelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Labelling {
    /// Names of the classes.
    pub(super) classes: Vec<String>,
    /// Each image's class.
    pub(super) labels: Vec<Option<usize>>,
}

impl Labelling {
    /// The same labels, counted as `network` counts its classes; `Err` says why they do not fit.
    pub(super) fn fit(&self, network: &[String]) -> Result<Labelling, String> {
        let map = self.classes_in(network)?;
        let labels = self.labels.iter().map(|label| label.map(|class| map[class])).collect();
        Ok(Labelling { classes: network.to_vec(), labels })
    }

    /// For each class the network's: by name, in any case; in order if no name is the network's.
    fn classes_in(&self, network: &[String]) -> Result<Vec<usize>, String> {
        let position = |name: &String| {
            let exact = network.iter().position(|class| class == name);
            let lower = name.to_lowercase();
            exact.or_else(|| network.iter().position(|class| class.to_lowercase() == lower))
        };
        let found: Vec<Option<usize>> = self.classes.iter().map(position).collect();
        if let Some(map) = found.iter().copied().collect::<Option<Vec<usize>>>() {
            return Ok(map);
        }
        let unknown: Vec<String> =
            self.classes.iter().zip(&found).filter(|(_, f)| f.is_none()).map(|(c, _)| c.clone()).collect();
        if unknown.len() < self.classes.len() {
            return Err(format!(
                "no class of the network is called {}: it has {}",
                some(&unknown),
                some(network)
            ));
        }
        match self.classes.len() == network.len() {
            true => Ok((0..network.len()).collect()),
            false => Err(format!(
                "{} classes ({}) do not fit the network's {} ({})",
                self.classes.len(),
                some(&self.classes),
                network.len(),
                some(network)
            )),
        }
    }
}

/// The first few of `names`.
fn some(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| printable(name)).collect();
    shown.join(", ") + if names.len() > SHOWN { ", ..." } else { "" }
}

/// Adds `more` images of `place`, labelled in the ways of `new`, after the first `len`.
pub(super) fn join(
    all: &mut Vec<Labelling>,
    len: usize,
    new: Vec<Labelling>,
    more: usize,
    place: &Path,
) -> Result<()> {
    if all.is_empty() {
        let unlabelled = |labelling: Labelling| Labelling {
            labels: std::iter::repeat_n(None, len).chain(labelling.labels).collect(),
            ..labelling
        };
        all.extend(new.into_iter().map(unlabelled));
    } else if new.is_empty() {
        all.iter_mut().for_each(|labelling| labelling.labels.extend(std::iter::repeat_n(None, more)));
    } else if all.iter().map(|l| &l.classes).eq(new.iter().map(|l| &l.classes)) {
        for (labelling, new) in all.iter_mut().zip(new) {
            labelling.labels.extend(new.labels);
        }
    } else {
        return Err(Error::usage(format!(
            "{}: its classes ({}) are not those of what was given before ({})",
            place.display(),
            some(&new[0].classes),
            some(&all[0].classes)
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

    fn fit(classes: &str, network: &str) -> Result<Vec<usize>, String> {
        let classes = names(classes);
        let labels = (0..classes.len()).map(Some).collect();
        let fitted = Labelling { classes, labels }.fit(&names(network))?;
        Ok(fitted.labels.into_iter().flatten().collect())
    }

    #[test]
    fn names_count_before_order() {
        assert_eq!(fit("dog cat", "cat dog"), Ok(vec![1, 0]));
        assert_eq!(fit("Dog", "bird cat dog"), Ok(vec![2]));
        assert_eq!(fit("n01 n02", "cat dog"), Ok(vec![0, 1]));
    }

    #[test]
    fn a_name_that_is_close_is_not_taken_for_its_place() {
        let error = fit("cat hund", "cat dog").unwrap_err();
        assert_eq!(error, "no class of the network is called hund: it has cat, dog");
        let error = fit("n01 n02 n03", "cat dog").unwrap_err();
        assert_eq!(error, "3 classes (n01, n02, n03) do not fit the network's 2 (cat, dog)");
    }

    #[test]
    fn images_without_labels_keep_their_places() {
        let labelling = || Labelling { classes: names("cat dog"), labels: vec![Some(1), Some(0)] };
        let mut all = Vec::new();
        join(&mut all, 0, vec![], 1, Path::new("a")).unwrap();
        join(&mut all, 1, vec![labelling()], 2, Path::new("b")).unwrap();
        join(&mut all, 3, vec![], 1, Path::new("c")).unwrap();
        join(&mut all, 4, vec![labelling()], 2, Path::new("d")).unwrap();
        assert_eq!(all[0].labels, [None, Some(1), Some(0), None, Some(1), Some(0)]);
        let other = Labelling { classes: names("cat bird"), labels: vec![Some(0)] };
        let error = join(&mut all, 6, vec![other], 1, Path::new("e")).unwrap_err().to_string();
        assert_eq!(error, "e: its classes (cat, bird) are not those of what was given before (cat, dog)");
    }
}
