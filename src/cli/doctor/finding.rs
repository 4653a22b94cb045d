//! A finding of the check-up, as text and as JSON.

use serde::Serialize;
use serde_json::Value;

use crate::cli::color::{self, painted};
use crate::cli::paragraph::behind;
use crate::error::printable;

/// Whether something is in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// In order.
    Ok,
    /// Missing or unusual, and the program works without it.
    Note,
    /// There, and does not work.
    Wrong,
}

/// What was found about one thing. Field names are JSON keys.
#[derive(Debug, Serialize)]
pub struct Finding {
    pub topic: &'static str,
    pub state: State,
    pub text: String,
    /// What to do about it, in one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// The same as values.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub facts: Value,
}

impl Finding {
    pub fn ok(topic: &'static str, text: impl Into<String>) -> Finding {
        Finding { topic, state: State::Ok, text: printable(&text.into()), advice: None, facts: Value::Null }
    }

    pub fn note(topic: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { state: State::Note, advice: Some(printable(&advice.into())), ..Finding::ok(topic, text) }
    }

    pub fn wrong(topic: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { state: State::Wrong, ..Finding::note(topic, text, advice) }
    }

    pub fn with(self, facts: Value) -> Finding {
        Finding { facts, ..self }
    }

    /// Its lines in a terminal.
    pub fn lines(&self, colors: bool) -> String {
        const INDENT: usize = 21;
        let (word, style) = match self.state {
            State::Ok => ("ok", color::GOOD),
            State::Note => ("note", color::NOTE),
            State::Wrong => ("wrong", color::WRONG),
        };
        let start = format!("{word:<7}{}", self.topic);
        let mut text = behind(&start, INDENT, &self.text).replacen(word, &painted(word, style, colors), 1);
        if let Some(advice) = &self.advice {
            text += &behind(&format!("{:INDENT$}", ""), INDENT, &format!("-> {advice}"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_is_below_what_was_found() {
        let lines = Finding::note("driver", "no driver", "install one").lines(false);
        assert_eq!(lines, format!("note   driver        no driver\n{:21}-> install one\n", ""));
        assert!(Finding::ok("cpu", "a\nb").lines(false).lines().count() == 1);
        assert!(Finding::ok("cpu", "fast").lines(true).starts_with(&format!("{}ok", color::GOOD)));
    }
}
