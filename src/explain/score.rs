//! Which number of the class is explained.

use std::str::FromStr;

use super::method::by_name;
use crate::{Error, Result};

/// The number of the class that is differentiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Score {
    /// Its score before the softmax: as the Grad-CAM paper has it.
    #[default]
    Logit,
    /// Its probability. Its gradient vanishes where the network is sure.
    Probability,
    /// Its logit minus the best other class's: why this class and not the next one.
    Margin,
    /// Its logit minus that of this class: why the one and not the other.
    Over(usize),
}

impl Score {
    /// The word on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Score::Logit => "logit",
            Score::Probability => "probability",
            Score::Margin => "margin",
            Score::Over(_) => "over",
        }
    }

    /// The score of `class` among `logits`.
    ///
    /// # Panics
    /// When there is no such class.
    pub fn of(self, logits: &[f32], class: usize) -> f64 {
        let own = f64::from(logits[class]);
        match self {
            Score::Logit => own,
            Score::Probability => {
                let powers = logits.iter().map(|&x| (f64::from(x) - own).exp());
                1.0 / powers.sum::<f64>()
            }
            Score::Margin => {
                let others = logits.iter().enumerate().filter(|&(c, _)| c != class);
                own - others.map(|(_, &x)| f64::from(x)).reduce(f64::max).unwrap_or(0.0)
            }
            Score::Over(other) => own - f64::from(logits[other]),
        }
    }
}

/// The scores that need no second class.
impl FromStr for Score {
    type Err = Error;

    fn from_str(text: &str) -> Result<Score> {
        by_name("score", text, &[Score::Logit, Score::Probability, Score::Margin], Score::name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scores_of_a_class_are_these() {
        let logits = [0.0, 2.0, 2.0 + 3f32.ln()];
        assert_eq!(Score::Logit.of(&logits, 1), 2.0);
        assert!((Score::Margin.of(&logits, 1) + 3f64.ln()).abs() < 1e-6);
        assert_eq!(Score::Margin.of(&logits, 2), -Score::Margin.of(&logits, 1));
        assert_eq!(Score::Over(0).of(&logits, 1), 2.0);
        assert_eq!(Score::Over(1).of(&logits, 1), 0.0);
        let all: f64 = (0..3).map(|class| Score::Probability.of(&logits, class)).sum();
        assert!((all - 1.0).abs() < 1e-12);
    }
}
