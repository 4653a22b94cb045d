//! The score of a class: the scalar that is differentiated.

use std::str::FromStr;

use super::method::by_name;
use crate::{Error, Result};

/// The scalar of the target class that is differentiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Score {
    /// Its logit, as in the Grad-CAM paper.
    #[default]
    Logit,
    /// Its probability. The gradient vanishes as the probability approaches 1.
    Probability,
    /// Its logit minus the highest logit of the other classes: why this class rather than the runner-up.
    Margin,
    /// Its logit minus that of the class with this index: why one rather than the other.
    Over(usize),
}

impl Score {
    /// Its name on the command line and in files.
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
    /// When there is no such class, or not the one of [`Score::Over`].
    pub fn of(self, logits: &[f32], class: usize) -> f64 {
        let last = if let Score::Over(other) = self { class.max(other) } else { class };
        assert!(last < logits.len(), "class {last} of {}", logits.len());
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

/// `logit`, `probability` or `margin`; [`Score::Over`] needs a class and is not parsed.
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
    fn computes_every_score_of_a_class() {
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
