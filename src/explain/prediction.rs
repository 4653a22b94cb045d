//! The prediction of one exit.

use super::target::class_rank;
use crate::engine::tensor::argmax;

/// What one exit predicts for one image; `V` holds the elements: a `Vec<f32>` of its own, or a `&[f32]` that
/// borrows the results of a batch ([`super::Predictions`], [`super::Explanations`]).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExitPrediction<V = Vec<f32>> {
    /// The exit, numbered from 1.
    pub exit: usize,
    /// The class with the highest logit; of equal ones the lowest index.
    pub class: usize,
    /// Class scores before the softmax, one for each class, as the device computed them: they may
    /// be infinite or NaN where weights are huge.
    pub logits: V,
    /// Class probabilities, as the device computed them.
    pub probabilities: V,
}

impl<'a> ExitPrediction<&'a [f32]> {
    pub(crate) fn new(exit: usize, logits: &'a [f32], probabilities: &'a [f32]) -> Self {
        ExitPrediction { exit, class: argmax(logits), logits, probabilities }
    }
}

impl From<ExitPrediction<&[f32]>> for ExitPrediction {
    fn from(view: ExitPrediction<&[f32]>) -> Self {
        let ExitPrediction { exit, class, logits, probabilities } = view;
        ExitPrediction { exit, class, logits: logits.to_vec(), probabilities: probabilities.to_vec() }
    }
}

impl<V: AsRef<[f32]>> ExitPrediction<V> {
    /// The probability of the predicted class.
    ///
    /// # Panics
    /// When there is no such class.
    pub fn confidence(&self) -> f32 {
        let probabilities = self.probabilities.as_ref();
        assert!(self.class < probabilities.len(), "class {} of {}", self.class, probabilities.len());
        probabilities[self.class]
    }

    /// The rank of class `label`: how many classes come before it by logit, 0 for the predicted
    /// class, below 5 for the top five. Of equal logits the lower index comes first; NaN ranks last.
    ///
    /// # Panics
    /// When there is no such class.
    pub fn rank(&self, label: usize) -> usize {
        class_rank(self.logits.as_ref(), label)
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
