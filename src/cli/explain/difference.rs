//! The `--minus` option: what is subtracted from a map.

use crate::Result;
use crate::explain::{Score, class_of};

/// The map that is subtracted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subtrahend {
    /// The same map at this exit, from 1.
    Exit(usize),
    /// The same map of another class.
    Class(OtherClass),
}

/// The class whose logit is subtracted from the target's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherClass {
    /// The likeliest class besides the target.
    RunnerUp,
    /// The class with this index.
    Index(usize),
}

impl Subtrahend {
    /// Parses `exit3`, `runner-up`, or a class by its name in `labels` or its index.
    ///
    /// # Errors
    /// When `text` is none of these.
    pub fn parse(text: &str, labels: &[String]) -> Result<Subtrahend> {
        let exit = text.strip_prefix("exit").and_then(|number| number.trim_start_matches(':').parse().ok());
        match (text, exit) {
            ("runner-up", _) => Ok(Subtrahend::Class(OtherClass::RunnerUp)),
            (_, Some(exit)) => Ok(Subtrahend::Exit(exit)),
            _ => {
                let class = class_of(text, labels, &["runner-up", "exit<number>"])?;
                Ok(Subtrahend::Class(OtherClass::Index(class)))
            }
        }
    }

    /// The text form, which [`Subtrahend::parse`] reads.
    pub fn name(self, labels: &[String]) -> String {
        match self {
            Subtrahend::Exit(exit) => format!("exit{exit}"),
            Subtrahend::Class(class) => class.name(labels),
        }
    }

    /// The score whose signed map is the difference; `None` for a difference of heatmaps.
    pub fn score(self) -> Option<Score> {
        match self {
            Subtrahend::Exit(_) => None,
            Subtrahend::Class(OtherClass::RunnerUp) => Some(Score::Margin),
            Subtrahend::Class(OtherClass::Index(class)) => Some(Score::Over(class)),
        }
    }
}

impl OtherClass {
    /// The text form, which [`Subtrahend::parse`] reads.
    pub fn name(self, labels: &[String]) -> String {
        match self {
            OtherClass::RunnerUp => "runner-up".into(),
            OtherClass::Index(class) => labels[class].clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_take_precedence_over_exits_and_exits_over_classes() {
        let labels = ["cat", "exit1", "exit door"].map(String::from);
        for (text, subtrahend) in [
            ("runner-up", Subtrahend::Class(OtherClass::RunnerUp)),
            ("exit1", Subtrahend::Exit(1)),
            ("exit:12", Subtrahend::Exit(12)),
            ("Exit Door", Subtrahend::Class(OtherClass::Index(2))),
            ("1", Subtrahend::Class(OtherClass::Index(1))),
        ] {
            assert_eq!(Subtrahend::parse(text, &labels), Ok(subtrahend), "{text}");
        }
        let error = Subtrahend::parse("all", &labels).unwrap_err().to_string();
        assert!(error.ends_with("runner-up, exit<number>"), "{error}");
    }
}
