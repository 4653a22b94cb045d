//! Counts of maps and of predictions by exit, and the sentence about them.

use std::collections::BTreeMap;

use crate::explain::ExitPrediction;

/// Something counted by exit.
#[derive(Debug, Default)]
pub struct ExitCounts(BTreeMap<usize, usize>);

impl ExitCounts {
    /// Counts one at `exit`.
    pub fn add(&mut self, exit: usize) {
        *self.0.entry(exit).or_default() += 1;
    }

    /// `12 of 1000 maps are empty (exit 1: 12)`, where `all` is 1000, `what` "maps" and `state` "empty"; `None` if nothing
    /// was counted.
    pub fn sentence(&self, all: usize, what: &str, state: &str) -> Option<String> {
        let count: usize = self.0.values().sum();
        let exits: Vec<String> = self.0.iter().map(|(exit, n)| format!("exit {exit}: {n}")).collect();
        let are = if count == 1 { "is" } else { "are" };
        (count > 0).then(|| format!("{count} of {all} {what} {are} {state} ({})", exits.join(", ")))
    }
}

/// Counts of predictions without a probability: their scores are infinite or not numbers, as with damaged weights.
#[derive(Debug, Default)]
pub struct NonfinitePredictions {
    predictions: usize,
    nonfinite: ExitCounts,
}

impl NonfinitePredictions {
    /// Counts the predictions for an image.
    pub fn count(&mut self, predictions: &[ExitPrediction]) {
        self.predictions += predictions.len();
        let nonfinite = predictions.iter().filter(|p| !p.probabilities[p.class].is_finite());
        nonfinite.for_each(|prediction| self.nonfinite.add(prediction.exit));
    }

    /// `4 of 8 predictions are of scores that are not finite (exit 2: 4)`; `None` if there is none.
    pub fn note(&self) -> Option<String> {
        self.nonfinite.sentence(self.predictions, "predictions", "of scores that are not finite")
    }
}
