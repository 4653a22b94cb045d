//! The labels of a data set as classes of a model.

use super::Dataset;
use super::labels_by::{self, LabelMapping, LabelsBy};
use crate::error::path_text;
use crate::{Error, Result};

impl Dataset {
    /// Converts the labels to indices of a model's `classes` by a rule. A data set without labels is unchanged.
    /// By [`LabelsBy::Auto`], a CIFAR file whose classes are not the model's is left without labels, with a note:
    /// the classes of CIFAR-100 are of no use for a CIFAR-10 network, its images are.
    ///
    /// # Errors
    /// [`Error::Refused`] when the classes do not match; the message names both. [`Error::Usage`] when two paths
    /// have different classes.
    pub fn fit_labels(&mut self, classes: &[String], by: LabelsBy) -> Result<()> {
        if by == LabelsBy::None {
            self.labelings.clear();
        }
        let Some(first) = self.labelings.first() else { return Ok(()) };
        if let Some(conflict) = &self.conflict {
            return Err(conflict.clone());
        }
        let mut refused = None;
        let mut fitted = self.labelings.iter().filter_map(|labeling| {
            let mapping = labels_by::mapping(labeling, classes, by);
            let mapping = mapping.map_err(|cause| refused = refused.take().or(Some(cause))).ok()?;
            Some((labels_by::mapped(labeling, &mapping, classes), mapping))
        });
        if let Some((labeling, mapping)) = fitted.next() {
            self.notes.extend(mapping.note());
            (self.labelings, self.mapping) = (vec![labeling], Some(mapping));
            return Ok(());
        }
        let refused = refused.unwrap_or_default();
        if by != LabelsBy::Auto || !first.numbered {
            return Err(Error::refused(&self.name, "labels", refused));
        }
        self.notes.push(format!("{}: no labels: {refused}", path_text(&self.name)));
        self.unlabeled = Some(refused);
        self.labelings.clear();
        Ok(())
    }

    /// Whether [`LabelsBy::Order`] suits folders of as many classes as `classes`.
    pub fn has_order_of(&self, classes: &[String]) -> bool {
        self.labelings.first().is_some_and(|labeling| labels_by::has_order(labeling, classes))
    }

    /// Why [`Dataset::fit_labels`] left it without labels, if it did.
    pub fn why_unlabeled(&self) -> Option<&str> {
        self.unlabeled.as_deref()
    }

    /// Which class of the model each of its classes is; `None` without labels or before [`Dataset::fit_labels`].
    pub fn label_mapping(&self) -> Option<&LabelMapping> {
        self.mapping.as_ref()
    }
}
