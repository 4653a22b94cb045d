//! The prediction of one exit.

use super::target::class_rank;
use crate::engine::tensor::argmax;

/// What one exit predicts for one image.
#[derive(Debug, Clone, PartialEq)]
pub struct ExitPrediction {
    /// The exit, numbered from 1.
    pub exit: usize,
    /// The class with the highest logit; of equal ones the lowest index.
    pub class: usize,
    /// Class scores before the softmax, one for each class, as the device computed them: they may
    /// be infinite or NaN where weights are huge.
    pub logits: Vec<f32>,
    /// Class probabilities, as the device computed them.
    pub probabilities: Vec<f32>,
}

impl ExitPrediction {
    pub(crate) fn new(exit: usize, logits: &[f32], probabilities: &[f32]) -> Self {
        ExitPrediction {
            exit,
            class: argmax(logits),
            logits: logits.to_vec(),
            probabilities: probabilities.to_vec(),
        }
    }

    /// The probability of the predicted class.
    pub fn confidence(&self) -> f32 {
        self.probabilities[self.class]
    }

    /// The rank of class `label`: how many classes come before it by logit, 0 for the predicted
    /// class, below 5 for the top five. Of equal logits the lower index comes first; NaN ranks last.
    ///
    /// # Panics
    /// When there is no such class.
    pub fn rank(&self, label: usize) -> usize {
        class_rank(&self.logits, label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rank_counts_the_classes_before() {
        let ranks = |logits: &[f32]| {
            let prediction = ExitPrediction::new(1, logits, &[]);
            (0..logits.len()).map(|label| prediction.rank(label)).collect::<Vec<_>>()
        };
        assert_eq!(ranks(&[1.0, 3.0, 2.0]), [2, 0, 1]);
        assert_eq!(ranks(&[1.0, 1.0, 2.0, 1.0]), [1, 2, 0, 3]);
        assert_eq!(ranks(&[0.0, f32::NAN, 2.0]), [2, 2, 1], "NaN is never right");
    }
}
