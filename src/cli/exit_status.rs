//! Exit codes, and the counts of images that decide them.

use crate::Error;
use crate::error::printable;

/// The process exit code for an error: 2 usage, 4 input refused, 5 device, 6 cannot write.
pub fn exit_code(error: &Error) -> u8 {
    match error {
        Error::Usage(_) | Error::Request(_) | Error::Graph(_) => 2,
        Error::Refused { .. } => 4,
        Error::Device(_) => 5,
        Error::Write { .. } => 6,
    }
}

/// The outcome of a command that ran to its end or was stopped by a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    AllDone,
    SomeFailed,
    NoneDone,
    /// With this exit code.
    Stopped(u8),
}

impl Outcome {
    /// The outcome for `images` images, of which `failed` failed.
    pub fn of(images: usize, failed: usize) -> Outcome {
        match failed {
            0 => Outcome::AllDone,
            _ if failed < images => Outcome::SomeFailed,
            _ => Outcome::NoneDone,
        }
    }

    /// The process exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Outcome::AllDone => 0,
            Outcome::SomeFailed => 3,
            Outcome::NoneDone => 4,
            Outcome::Stopped(code) => code,
        }
    }
}

/// The number of images that succeeded, and the names of those that failed.
#[derive(Debug, Default)]
pub struct Tally {
    done: usize,
    failed: Vec<String>,
}

impl Tally {
    /// Counts the image called `id`.
    pub fn count<T>(&mut self, id: &str, result: &Result<T, Error>) {
        match result {
            Ok(_) => self.done += 1,
            Err(_) => self.failed.push(printable(id)),
        }
    }

    /// Images counted.
    pub fn images(&self) -> usize {
        self.done + self.failed.len()
    }

    /// Images that failed.
    pub fn failed(&self) -> usize {
        self.failed.len()
    }

    /// The outcome of the command.
    pub fn outcome(&self) -> Outcome {
        Outcome::of(self.images(), self.failed.len())
    }

    /// `2 of 7 images failed: a.png, b.png`; `None` if no image failed or there was only one.
    pub fn summary(&self) -> Option<String> {
        const SHOWN: usize = 10;
        let (failed, all) = (self.failed.len(), self.images());
        if failed == 0 || all == 1 {
            return None;
        }
        let more = if failed > SHOWN { format!(" and {} more", failed - SHOWN) } else { String::new() };
        let shown = self.failed[..failed.min(SHOWN)].join(", ");
        Some(format!("{failed} of {all} images failed: {shown}{more}"))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::error::{GraphError, RequestError};

    #[test]
    fn every_kind_of_error_has_its_exit_code() {
        let file = Path::new("a");
        let errors = [
            Error::usage("x"),
            RequestError::NoMethod.into(),
            GraphError::NoOutputs.into(),
            Error::refused(file, "place", "cause"),
            Error::device("x"),
            Error::write(file, "cause"),
        ];
        assert_eq!(errors.each_ref().map(exit_code), [2, 2, 2, 4, 5, 6]);
    }
}
