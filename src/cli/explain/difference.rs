//! What is taken away from a map: `--minus`.

use crate::Result;
use crate::explain::{Score, class_of};

/// The other side of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Minus {
    /// The same map at this exit, from 1.
    Exit(usize),
    /// The same map of the next likeliest class.
    RunnerUp,
    /// The same map of this class.
    Class(usize),
}

impl Minus {
    /// What `text` names: `exit3`, `runner-up`, a class's name among `labels` or its number.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn parse(text: &str, labels: &[String]) -> Result<Minus> {
        let exit = text.strip_prefix("exit").and_then(|number| number.trim_start_matches(':').parse().ok());
        match (text, exit) {
            ("runner-up", _) => Ok(Minus::RunnerUp),
            (_, Some(exit)) => Ok(Minus::Exit(exit)),
            _ => class_of(text, labels, &["runner-up", "exit<number>"]).map(Minus::Class),
        }
    }

    /// What [`Minus::parse`] reads.
    pub fn name(self, labels: &[String]) -> String {
        match self {
            Minus::Exit(exit) => format!("exit{exit}"),
            Minus::RunnerUp => "runner-up".into(),
            Minus::Class(class) => labels[class].clone(),
        }
    }

    /// The score whose signed map is the difference; none for a difference of heat maps.
    pub fn score(self) -> Option<Score> {
        match self {
            Minus::Exit(_) => None,
            Minus::RunnerUp => Some(Score::Margin),
            Minus::Class(class) => Some(Score::Over(class)),
        }
    }

    /// The end of a picture's name.
    pub fn file(self) -> String {
        match self {
            Minus::Exit(exit) => format!("minus_exit{exit:02}"),
            Minus::RunnerUp => "minus_runner-up".into(),
            // A class's name may hold anything.
            Minus::Class(class) => format!("minus_class{class}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_comes_before_an_exit_before_a_class() {
        let labels = ["cat", "exit1", "exit door"].map(String::from);
        for (text, minus) in [
            ("runner-up", Minus::RunnerUp),
            ("exit1", Minus::Exit(1)),
            ("exit:12", Minus::Exit(12)),
            ("Exit Door", Minus::Class(2)),
            ("1", Minus::Class(1)),
        ] {
            assert_eq!(Minus::parse(text, &labels), Ok(minus), "{text}");
        }
        let error = Minus::parse("all", &labels).unwrap_err().to_string();
        assert!(error.ends_with("or by number 0 to 2; and there are runner-up, exit<number>"), "{error}");
    }
}
