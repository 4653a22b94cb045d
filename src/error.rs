//! The crate's error type: names the file, the place in it, and the facts that disagree.

use std::path::Path;

/// Result of a fallible call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error, grouped by what the caller can do about it.
///
/// `Display` is always one line, with text from files escaped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The request is invalid, such as an unknown class or an exit that the model lacks.
    #[error("{0}")]
    Usage(String),
    /// An input file cannot be used: `file: place: cause`.
    #[error("{file}: {place}: {cause}")]
    Refused {
        /// The file as the user named it, escaped.
        file: String,
        /// Place in the file: a tensor, an offset, a header field.
        place: String,
        /// The facts that disagree.
        cause: String,
    },
    /// The device is missing or failed.
    #[error("{0}")]
    Device(String),
    /// An output cannot be written: `file: cause`.
    #[error("{file}: cannot write: {cause}")]
    Write {
        /// The output as the user named it, escaped.
        file: String,
        /// The operating system's message.
        cause: String,
    },
}

impl Error {
    /// An [`Error::Refused`] for `file`; `place` and `cause` may contain text from the file.
    pub fn refused(file: &Path, place: impl AsRef<str>, cause: impl AsRef<str>) -> Self {
        Error::Refused {
            file: printable(&file.to_string_lossy()),
            place: printable(place.as_ref()),
            cause: printable(cause.as_ref()),
        }
    }

    /// An [`Error::Write`] for `file`.
    pub fn write(file: &Path, cause: impl std::fmt::Display) -> Self {
        Error::Write { file: printable(&file.to_string_lossy()), cause: printable(&cause.to_string()) }
    }

    /// An [`Error::Usage`].
    pub fn usage(cause: impl AsRef<str>) -> Self {
        Error::Usage(printable(cause.as_ref()))
    }

    /// An [`Error::Device`].
    pub fn device(cause: impl AsRef<str>) -> Self {
        Error::Device(printable(cause.as_ref()))
    }
}

/// `text` with control characters, line separators and bidirectional formatting characters escaped, so
/// that it is safe on a terminal and stays on one line.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let reorders =
            matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || reorders || matches!(c, '\u{2028}' | '\u{2029}') {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_one_line_for_any_file_name() {
        let e = Error::refused(Path::new("a\nb\u{1b}[31m.pth"), "tensor 'x\u{202e}'", "bad");
        assert_eq!(e.to_string(), "a\\nb\\u{1b}[31m.pth: tensor 'x\\u{202e}': bad");
    }
}
