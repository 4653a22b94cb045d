//! How a command about several images ended.

use crate::Error;
use crate::error::printable;

/// Whether all images, some or none could be used, or a signal ended the command before.
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

/// How many images went well, and which failed.
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

    /// The end of the command.
    pub fn outcome(&self) -> Outcome {
        Outcome::of(self.images(), self.failed.len())
    }

    /// `2 of 7 images failed: a.png, b.png`; nothing if none failed or there was only one image.
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
