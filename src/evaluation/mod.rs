//! How good each exit is on a set of images with labels: accuracy, calibration, which images are
//! hard, and what early exit gives. Computed from [`Outcome`]s alone: nothing is read or written.

mod accuracy;
mod budget;
mod calibration;
mod hardness;

use serde::{Deserialize, Serialize};

pub use accuracy::{Accuracy, ClassAccuracy, wilson};
pub use budget::{BUDGETS, Budget, Budgeted, Thresholds, Walk, dynamic_txt, leaving_shares};
pub use calibration::{BINS, Bin, Calibration};
pub use hardness::{Hardness, csv_field, hardness_csv, list_line};

/// What every exit said about one image.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The class that the image shows, from 0.
    pub label: usize,
    /// The exits, in the order of [`Evaluation::exits`].
    pub exits: Box<[ExitOutcome]>,
}

/// What one exit said about one image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExitOutcome {
    /// The class that it predicts.
    pub class: u32,
    /// How sure it is of it, 0 to 1.
    pub probability: f32,
    /// How many classes it puts before the label: 0 where it is right.
    pub label_rank: u32,
}

impl ExitOutcome {
    /// A probability that is no number counts as 0.
    pub fn new(class: usize, probability: f32, label_rank: usize) -> ExitOutcome {
        let probability = if probability.is_nan() { 0.0 } else { probability };
        ExitOutcome { class: class as u32, probability, label_rank: label_rank as u32 }
    }

    /// Whether it predicts the label.
    pub fn is_right(&self) -> bool {
        self.label_rank == 0
    }
}

impl Outcome {
    /// How many exits are right.
    pub fn right_exits(&self) -> usize {
        self.exits.iter().filter(|exit| exit.is_right()).count()
    }

    /// The position of the first exit that is right.
    pub fn first_right(&self) -> Option<usize> {
        self.exits.iter().position(ExitOutcome::is_right)
    }
}

/// What the outcomes of a data set show. Its JSON form is `evaluation.json`; all accuracies are
/// percentages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// How many images.
    pub images: usize,
    /// Class names.
    pub classes: Vec<String>,
    /// One entry an exit, in order: the anytime curve.
    pub exits: Vec<ExitEvaluation>,
    /// How many exits get how many images right.
    pub hardness: Hardness,
    /// Budgeted batch classification; `None` where the exits' work is not known or there are fewer
    /// than two images.
    pub budgeted: Option<Budgeted>,
}

/// How good one exit is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExitEvaluation {
    /// The exit, from 1.
    pub exit: usize,
    /// Images whose label it predicts: percentage and its interval.
    #[serde(flatten)]
    pub accuracy: Accuracy,
    /// Multiply-adds of an image that leaves here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multiply_adds: Option<u64>,
    /// Milliseconds for an image that leaves here, where they were measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub milliseconds: Option<Milliseconds>,
    /// Whether it is as sure as it is right.
    #[serde(flatten)]
    pub calibration: Calibration,
    /// One entry a class.
    pub classes: Vec<ClassAccuracy>,
    /// How many images of each class (rows) it takes for each class (columns).
    pub confusion: Vec<Vec<u64>>,
}

/// Time of the network for an image that leaves at an exit; reading and decoding are not in it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Milliseconds {
    /// One image alone.
    pub alone: f64,
    /// A batch's time divided by its images.
    pub in_batch: f64,
    /// How many images that batch has.
    pub batch: usize,
}

impl Evaluation {
    /// Evaluates `outcomes`, each with an entry for every exit of `exits`. `multiply_adds` is the
    /// work of an image that leaves at each of them.
    ///
    /// # Panics
    /// When there is no outcome, or one lacks an exit or has a class beyond `classes`.
    pub fn new(
        outcomes: &[Outcome],
        exits: &[usize],
        classes: &[String],
        multiply_adds: Option<&[u64]>,
    ) -> Evaluation {
        assert!(!outcomes.is_empty(), "an evaluation of no image");
        assert!(outcomes.iter().all(|o| o.exits.len() == exits.len()), "an outcome lacks exits");
        let evaluate = |(i, &exit)| {
            let confusion = accuracy::confusion(outcomes, i, classes.len());
            ExitEvaluation {
                exit,
                accuracy: Accuracy::new(outcomes, i),
                multiply_adds: multiply_adds.map(|work| work[i]),
                milliseconds: None,
                calibration: Calibration::new(outcomes, i),
                classes: accuracy::per_class(&confusion, classes),
                confusion,
            }
        };
        Evaluation {
            images: outcomes.len(),
            classes: classes.to_vec(),
            exits: exits.iter().enumerate().map(evaluate).collect(),
            hardness: Hardness::new(outcomes, exits.len()),
            budgeted: multiply_adds.filter(|_| outcomes.len() > 1).map(|work| Budgeted::new(outcomes, work)),
        }
    }
}
