//! What is taken away from a map: `--minus`.

use std::str::FromStr;

/// The other side of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Minus {
    /// The same map at this exit, from 1.
    Exit(usize),
    /// The same map of the next likeliest class.
    RunnerUp,
}

impl Minus {
    /// The word on the command line and in files.
    pub fn name(self) -> String {
        match self {
            Minus::Exit(exit) => format!("exit{exit}"),
            Minus::RunnerUp => "runner-up".into(),
        }
    }
}

impl FromStr for Minus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let exit = text.strip_prefix("exit").map(|number| number.trim_start_matches(':').parse());
        match (text, exit) {
            ("runner-up", _) => Ok(Minus::RunnerUp),
            (_, Some(Ok(exit))) => Ok(Minus::Exit(exit)),
            _ => Err(format!("'{text}' cannot be taken away; expected runner-up, or an exit such as exit3")),
        }
    }
}
