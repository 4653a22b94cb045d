//! Counts of predictions without a probability: their scores are infinite or not numbers, as with damaged weights.

use std::collections::BTreeMap;

use crate::explain::ExitPrediction;

/// The number of predictions, and those without a probability by exit.
#[derive(Debug, Default)]
pub struct NonfinitePredictions {
    predictions: usize,
    by_exit: BTreeMap<usize, usize>,
}

impl NonfinitePredictions {
    /// Counts the predictions for an image.
    pub fn count(&mut self, predictions: &[ExitPrediction]) {
        for prediction in predictions {
            self.predictions += 1;
            if !prediction.probabilities[prediction.class].is_finite() {
                *self.by_exit.entry(prediction.exit).or_default() += 1;
            }
        }
    }

    /// `4 of 8 predictions are of scores that are not finite (exit 2: 4)`; `None` if there is none.
    pub fn note(&self) -> Option<String> {
        let count: usize = self.by_exit.values().sum();
        let exits: Vec<String> = self.by_exit.iter().map(|(exit, n)| format!("exit {exit}: {n}")).collect();
        let (all, are) = (self.predictions, if count == 1 { "is" } else { "are" });
        let exits = exits.join(", ");
        (count > 0)
            .then(|| format!("{count} of {all} predictions {are} of scores that are not finite ({exits})"))
    }
}
