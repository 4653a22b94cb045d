//! How many images are right, with what that many images allow to say.

use serde::{Deserialize, Serialize};

use super::Outcome;

/// The share of images that an exit gets right, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// Images whose label is the predicted class.
    pub top1: f64,
    /// Images whose label is among the five most probable classes.
    pub top5: f64,
    /// 95 % confidence interval of `top1`, see [`wilson`].
    pub top1_interval: [f64; 2],
    /// The same of `top5`.
    pub top5_interval: [f64; 2],
}

/// An exit's accuracy on the images of one class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassAccuracy {
    /// The class's name.
    pub class: String,
    /// How many images show it.
    pub images: u64,
    /// Percentage of them whose label is predicted; `None` where no image shows it.
    pub top1: Option<f64>,
    /// 95 % confidence interval.
    pub top1_interval: Option<[f64; 2]>,
}

impl Accuracy {
    /// That of the exit at position `exit`.
    ///
    /// # Panics
    /// When there is no outcome, or one lacks the exit.
    pub fn new(outcomes: &[Outcome], exit: usize) -> Accuracy {
        assert!(!outcomes.is_empty(), "accuracy on no image");
        let within = |first| outcomes.iter().filter(|o| o.exits[exit].label_rank < first).count() as u64;
        let (top1, top5, all) = (within(1), within(5), outcomes.len() as u64);
        Accuracy {
            top1: percent(top1, all),
            top5: percent(top5, all),
            top1_interval: wilson(top1, all),
            top5_interval: wilson(top5, all),
        }
    }
}

/// How many images of each class (rows) the exit at position `exit` takes for each (columns).
pub(super) fn confusion(outcomes: &[Outcome], exit: usize, classes: usize) -> Vec<Vec<u64>> {
    let mut counts = vec![vec![0; classes]; classes];
    for outcome in outcomes {
        counts[outcome.label][outcome.exits[exit].class as usize] += 1;
    }
    counts
}

pub(super) fn per_class(confusion: &[Vec<u64>], classes: &[String]) -> Vec<ClassAccuracy> {
    let class = |(i, (row, name)): (usize, (&Vec<u64>, &String))| {
        let images: u64 = row.iter().sum();
        let some = (images > 0).then_some(());
        ClassAccuracy {
            class: name.clone(),
            images,
            top1: some.map(|()| percent(row[i], images)),
            top1_interval: some.map(|()| wilson(row[i], images)),
        }
    };
    confusion.iter().zip(classes).enumerate().map(class).collect()
}

pub(super) fn percent(part: u64, all: u64) -> f64 {
    100.0 * part as f64 / all as f64
}

/// The 95 % score interval of a proportion (Wilson 1927), in percent.
pub fn wilson(part: u64, all: u64) -> [f64; 2] {
    /// 97.5 % of a normal distribution lie below so many standard deviations.
    const Z: f64 = 1.959_963_984_540_054;
    let (n, p) = (all as f64, part as f64 / all as f64);
    let centre = p + Z * Z / (2.0 * n);
    let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    // Rounding must not leave the possible.
    [centre - half, centre + half].map(|bound| (100.0 * bound / (1.0 + Z * Z / n)).clamp(0.0, 100.0))
}
