//! Accuracy with confidence intervals, and the confusion matrix.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ImageOutcome;

/// Accuracy of an exit, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// Top-1 accuracy.
    pub top1: f64,
    /// Top-5 accuracy.
    pub top5: f64,
    /// 95 % confidence interval of `top1`: see [`wilson`].
    pub top1_interval: [f64; 2],
    /// 95 % confidence interval of `top5`.
    pub top5_interval: [f64; 2],
}

/// Accuracy of an exit on the images of one class, in percent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassAccuracy {
    /// Name of the class.
    pub class: String,
    /// Images with this label.
    pub images: u64,
    /// Top-1 accuracy; `None` without images.
    pub top1: Option<f64>,
    /// 95 % confidence interval of `top1`.
    pub top1_interval: Option<[f64; 2]>,
}

impl Accuracy {
    /// Accuracy of the exit at position `exit`.
    ///
    /// # Panics
    /// When there are no outcomes, or one lacks the exit.
    pub fn new(outcomes: &[ImageOutcome], exit: usize) -> Accuracy {
        assert!(!outcomes.is_empty(), "an accuracy needs an image");
        assert!(outcomes.iter().all(|o| exit < o.exits.len()), "an outcome lacks exit {exit}, from 0");
        let within = |k| outcomes.iter().filter(|o| o.exits[exit].label_rank < k).count() as u64;
        let (top1, top5, all) = (within(1), within(5), outcomes.len() as u64);
        Accuracy {
            top1: percent(top1, all),
            top5: percent(top5, all),
            top1_interval: wilson(top1, all),
            top5_interval: wilson(top5, all),
        }
    }
}

/// Confusion matrix of the exit at position `exit`, without its zeros: label, predicted class and number of images. Scores
/// that are not numbers are in the column of the class that stands for them, although such a prediction is never right.
pub(super) fn confusion(outcomes: &[ImageOutcome], exit: usize) -> Vec<(usize, usize, u64)> {
    let mut counts = BTreeMap::new();
    for outcome in outcomes {
        *counts.entry((outcome.label, outcome.exits[exit].class as usize)).or_default() += 1;
    }
    counts.into_iter().map(|((label, predicted), images)| (label, predicted, images)).collect()
}

/// Accuracy of the exit at position `exit` on each class: its images that are predicted as it.
pub(super) fn per_class(outcomes: &[ImageOutcome], exit: usize, classes: &[String]) -> Vec<ClassAccuracy> {
    let mut counts = vec![(0_u64, 0_u64); classes.len()];
    for outcome in outcomes {
        let (images, right) = &mut counts[outcome.label];
        *images += 1;
        *right += u64::from(outcome.exits[exit].is_right());
    }
    let class = |(name, (images, right)): (&String, (u64, u64))| {
        let some = (images > 0).then_some(());
        ClassAccuracy {
            class: name.clone(),
            images,
            top1: some.map(|()| percent(right, images)),
            top1_interval: some.map(|()| wilson(right, images)),
        }
    };
    classes.iter().zip(counts).map(class).collect()
}

pub(super) fn percent(part: u64, all: u64) -> f64 {
    100.0 * part as f64 / all as f64
}

/// 95 % score interval of the proportion part / all (Wilson 1927), in percent; 0 to 100 where nothing is counted.
///
/// # Panics
/// When `part` is more than `all`.
pub fn wilson(part: u64, all: u64) -> [f64; 2] {
    /// The 97.5 % quantile of the standard normal distribution.
    const Z: f64 = 1.959_963_984_540_054;
    assert!(part <= all, "{part} of {all}");
    if all == 0 {
        return [0.0, 100.0];
    }
    let (n, p) = (all as f64, part as f64 / all as f64);
    let center = p + Z * Z / (2.0 * n);
    let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    // Rounding must not leave [0, 100].
    [center - half, center + half].map(|bound| (100.0 * bound / (1.0 + Z * Z / n)).clamp(0.0, 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::ExitOutcome;

    #[test]
    fn scores_that_are_not_numbers_are_never_right() {
        // Class 0 stands for them, and all others rank before it.
        let outcomes = [ImageOutcome { label: 0, exits: [ExitOutcome::new(0, f32::NAN, 2)].into() }];
        let classes = per_class(&outcomes, 0, &["a", "b", "c"].map(String::from));
        assert_eq!((classes[0].images, classes[0].top1, classes[1].top1), (1, Some(0.0), None));
    }
}
