//! Standard output and standard error, for readers that may leave early.

use std::io::{ErrorKind, Write};
use std::path::Path;

use crate::{Error, Result};

/// Standard output.
#[derive(Debug, Default)]
pub struct Output {
    closed: bool,
}

impl Output {
    /// Writes `text`. A reader that closed the pipe has seen enough: nothing more is written, and
    /// that is no error.
    ///
    /// # Errors
    /// [`Error::Write`] for any other failure, such as a full disk.
    pub fn print(&mut self, text: &str) -> Result<()> {
        if self.closed {
            return Ok(());
        }
        let mut stdout = std::io::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Err(e) if e.kind() == ErrorKind::BrokenPipe => self.closed = true,
            Err(e) => return Err(Error::write(Path::new("standard output"), e)),
            Ok(()) => {}
        }
        Ok(())
    }

    /// Whether nobody reads any more.
    pub fn is_closed(&self) -> bool {
        self.closed
    }
}

/// Writes a line to standard error. If that fails there is nobody left to tell.
pub fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Reports an error.
pub fn error(error: &Error) {
    note(&format!("error: {error}"));
}
