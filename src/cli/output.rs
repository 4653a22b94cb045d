//! Standard output and standard error.

use std::io::{ErrorKind, Write};
use std::path::Path;

use super::color;
use crate::{Error, Result};

/// Standard output, which a reader may close at any time.
#[derive(Debug, Default)]
pub struct Output {
    closed: bool,
}

impl Output {
    /// Writes `text`. Once a reader has closed the pipe, output is discarded without an error.
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
            Err(e) => return Err(Error::cannot_write(Path::new("standard output"), e)),
            Ok(()) => {}
        }
        Ok(())
    }

    /// Whether the reader has closed the pipe.
    pub fn is_closed(&self) -> bool {
        self.closed
    }
}

/// Writes a line to standard error and ignores failures, which cannot be reported anywhere. On a terminal the word that
/// says what it is has a color.
pub fn note(line: &str) {
    let mut stderr = std::io::stderr();
    let line = color::of_line(line, color::suits(&stderr));
    let _ = writeln!(stderr, "{line}");
}

/// Reports an error on standard error.
pub fn error(error: &Error) {
    note(&format!("error: {error}"));
}
