//! Evaluation of every exit on labeled images: accuracy, calibration, hardness of the images and early
//! exit. Computed from [`ImageOutcome`]s, without I/O.

mod accuracy;
mod budget;
mod calibration;
mod check;
mod hardness;

use serde::{Deserialize, Serialize};

pub use accuracy::{Accuracy, ClassAccuracy, wilson};
pub use budget::{BUDGETS, Budget, Budgeted, ThresholdSearch, Thresholds, dynamic_txt, exit_shares};
pub use calibration::{BINS, Bin, Calibration};
pub use check::{MAX_CLASSES, check_exits};
pub use hardness::{Hardness, hardness_csv, list_line};

/// Predictions of all exits for one image.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageOutcome {
    /// The image's label, a class index from 0.
    pub label: usize,
    /// The exits, in the order of [`Evaluation::exits`].
    pub exits: Box<[ExitOutcome]>,
}

/// Prediction of one exit for one image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExitOutcome {
    /// The predicted class.
    pub class: u32,
    /// The confidence: the probability of the predicted class, 0 to 1.
    pub probability: f32,
    /// The label's rank: the number of classes before it, 0 for a correct prediction.
    pub label_rank: u32,
}

impl ExitOutcome {
    /// A prediction; a NaN probability becomes 0.
    pub fn new(class: usize, probability: f32, label_rank: usize) -> ExitOutcome {
        let probability = if probability.is_nan() { 0.0 } else { probability };
        ExitOutcome { class: class as u32, probability, label_rank: label_rank as u32 }
    }

    /// Whether the prediction is the label.
    pub fn is_right(&self) -> bool {
        self.label_rank == 0
    }
}

impl ImageOutcome {
    /// Number of exits that predict the label.
    pub fn right_exits(&self) -> usize {
        self.exits.iter().filter(|exit| exit.is_right()).count()
    }

    /// Position of the first exit that predicts the label.
    pub fn first_right(&self) -> Option<usize> {
        self.exits.iter().position(ExitOutcome::is_right)
    }
}

/// Evaluation of a data set. Field names are the JSON keys of `evaluation.json`; accuracies are in percent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Number of images.
    pub images: usize,
    /// Class names.
    pub classes: Vec<String>,
    /// The exits, in order: the anytime curve.
    pub exits: Vec<ExitEvaluation>,
    /// Hardness of the images.
    pub hardness: Hardness,
    /// Budgeted batch classification; `None` where the exits' multiply-adds are unknown or there are fewer
    /// than two images.
    pub budgeted: Option<Budgeted>,
}

/// Evaluation of one exit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExitEvaluation {
    /// The exit, from 1.
    pub exit: usize,
    /// Its accuracy.
    #[serde(flatten)]
    pub accuracy: Accuracy,
    /// Multiply-adds of an image that stops at this exit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multiply_adds: Option<u64>,
    /// Time of an image that stops at this exit, if measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub milliseconds: Option<Milliseconds>,
    /// Its calibration.
    #[serde(flatten)]
    pub calibration: Calibration,
    /// Its accuracy on each class.
    pub classes: Vec<ClassAccuracy>,
    /// Confusion matrix, without its zeros: label, predicted class and number of images, in ascending order.
    pub confusion: Vec<(usize, usize, u64)>,
}

/// Time of the model for an image that stops at an exit, without reading and decoding.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Milliseconds {
    /// Of an image in a batch of one.
    pub alone: f64,
    /// Of an image in a batch of `batch` images.
    pub in_batch: f64,
    /// Images per batch.
    pub batch: usize,
}

impl Evaluation {
    /// Evaluates `outcomes`, each with a prediction for every exit of `exits`. `multiply_adds` are those of
    /// an image that stops at each exit.
    ///
    /// # Panics
    /// When there are no outcomes, one has other exits or has a class beyond `classes`, or there are more or fewer
    /// `multiply_adds` than exits.
    pub fn new(
        outcomes: &[ImageOutcome],
        exits: &[usize],
        classes: &[String],
        multiply_adds: Option<&[u64]>,
    ) -> Evaluation {
        assert!(!outcomes.is_empty(), "an evaluation needs an image");
        assert!(outcomes.iter().all(|o| o.exits.len() == exits.len()), "an outcome lacks exits");
        let is_known = |class: usize| class < classes.len();
        let known =
            |o: &ImageOutcome| is_known(o.label) && o.exits.iter().all(|e| is_known(e.class as usize));
        assert!(outcomes.iter().all(known), "a class beyond the {} that have a name", classes.len());
        let counts = multiply_adds.map_or(exits.len(), <[u64]>::len);
        assert_eq!(counts, exits.len(), "multiply-adds of the exits");
        let evaluate = |(i, &exit)| ExitEvaluation {
            exit,
            accuracy: Accuracy::new(outcomes, i),
            multiply_adds: multiply_adds.map(|work| work[i]),
            milliseconds: None,
            calibration: Calibration::new(outcomes, i),
            classes: accuracy::per_class(outcomes, i, classes),
            confusion: accuracy::confusion(outcomes, i),
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
