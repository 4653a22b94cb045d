//! The crate's error type: one group for each way in which a caller can react, with the values that
//! disagree, and the underlying error where there is one.

mod device;
mod graph;
mod request;
mod source;

use std::io;
use std::path::Path;

pub use device::DeviceError;
pub use graph::GraphError;
pub use request::RequestError;
pub use source::ErrorSource;

/// Result of a fallible call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error, grouped by what the caller can do about it.
///
/// `Display` is always one line, with text from files escaped.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The command line or the options of a run are invalid.
    #[error("{0}")]
    Usage(String),
    /// The model or an explanation of it cannot be made as requested, such as for an unknown class.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A graph cannot be built, planned, or run on the given batch.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// An input file cannot be used: `file: place: cause`.
    #[error("{file}: {place}: {cause}")]
    Refused {
        /// The file as the user named it, escaped.
        file: String,
        /// Place in the file: a tensor, an offset, a header field.
        place: String,
        /// The facts that disagree.
        cause: String,
        /// The underlying error, such as an [`io::Error`].
        source: Option<ErrorSource>,
    },
    /// The device is missing or failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// An output cannot be written: `file: cause`.
    #[error("{file}: cannot write: {cause}")]
    Write {
        /// The output as the user named it, escaped.
        file: String,
        /// Why it cannot be written, such as the operating system's message.
        cause: String,
        /// The underlying error, such as an [`io::Error`].
        source: Option<ErrorSource>,
    },
}

impl Error {
    /// An [`Error::Refused`] for `file`; `place` and `cause` may contain text from the file.
    pub fn refused(file: &Path, place: impl AsRef<str>, cause: impl AsRef<str>) -> Self {
        Error::Refused {
            file: path_text(file),
            place: printable(place.as_ref()),
            cause: printable(cause.as_ref()),
            source: None,
        }
    }

    /// An [`Error::Refused`] for `file`, which cannot be read.
    pub(crate) fn cannot_read(file: &Path, error: io::Error) -> Self {
        Error::refused(file, "file", format!("cannot read: {error}")).with_source(error)
    }

    /// An [`Error::Refused`] for `place` in `file`, whose cause is `error`.
    pub(crate) fn refused_by(
        file: &Path,
        place: impl AsRef<str>,
        error: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Error::refused(file, place, error.to_string()).with_source(error)
    }

    /// An [`Error::Write`] for `file`.
    pub fn write(file: &Path, cause: impl std::fmt::Display) -> Self {
        Error::Write { file: path_text(file), cause: printable(&cause.to_string()), source: None }
    }

    /// An [`Error::Write`] for `file`, whose cause is `error`.
    pub(crate) fn cannot_write(file: &Path, error: io::Error) -> Self {
        Error::write(file, &error).with_source(error)
    }

    /// An [`Error::Usage`].
    pub fn usage(cause: impl AsRef<str>) -> Self {
        Error::Usage(printable(cause.as_ref()))
    }

    /// An [`Error::Device`] in words.
    pub fn device(cause: impl AsRef<str>) -> Self {
        DeviceError::Other(cause.as_ref().into()).into()
    }

    /// The same [`Error::Refused`] or [`Error::Write`] with `error` as its source; other errors are
    /// returned unchanged.
    pub(crate) fn with_source(mut self, error: impl std::error::Error + Send + Sync + 'static) -> Self {
        if let Error::Refused { source, .. } | Error::Write { source, .. } = &mut self {
            *source = Some(ErrorSource::new(error));
        }
        self
    }
}

/// `text` with control characters, line separators and invisible characters escaped, so that it is safe on
/// a terminal, stays on one line and reads as what it is. Invisible are those that turn the direction of
/// reading, and all that Unicode has ignored where they are not supported (`Default_Ignorable_Code_Point`):
/// joiners, selectors, tags, fillers.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_invisible(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// A path as [`printable`] text, with [`reversible_text`].
pub fn path_text(path: &Path) -> String {
    printable(&reversible_text(path))
}

/// A path as text from which it can be made again, also where it is not UTF-8: such a byte is written as `\xNN`
/// with two hexadecimal digits, and so is the backslash of a name that has such an escape itself.
pub fn reversible_text(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        let mut rest = chunk.valid();
        while let Some(at) = rest.find("\\x") {
            let is_escape =
                rest.as_bytes()[at + 2..].iter().take(2).filter(|b| b.is_ascii_hexdigit()).count() == 2;
            text += &rest[..at];
            text += if is_escape { "\\x5cx" } else { "\\x" };
            rest = &rest[at + 2..];
        }
        text += rest;
        chunk.invalid().iter().for_each(|byte| text += &format!("\\x{byte:02x}"));
    }
    text
}

fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// As [`printable`], of the elements of a list separated by commas.
fn printable_list(elements: &[String]) -> String {
    printable(&elements.join(", "))
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;
    use crate::engine::tensor::Shape;

    #[test]
    fn messages_are_one_line_for_any_file_name() {
        let e = Error::refused(Path::new("a\nb\u{1b}[31m.pth"), "tensor 'x\u{202e}'", "bad");
        assert_eq!(e.to_string(), "a\\nb\\u{1b}[31m.pth: tensor 'x\\u{202e}': bad");
    }

    #[test]
    fn what_cannot_be_seen_is_escaped() {
        for hidden in "\u{ad}\u{61c}\u{180e}\u{200b}\u{200d}\u{2028}\u{202e}\u{2060}\u{2069}\u{feff}\u{fe0f}\u{fff9}\u{e0001}\u{e007f}\u{e0100}\u{7f}\u{9b}\t\r\n\0".chars() {
            let text = printable(&format!("a{hidden}b"));
            assert!(text.starts_with("a\\") && text.ends_with('b') && text.is_ascii(), "{text}");
        }
        let seen = "na\u{ef}ve \u{5e9}\u{5dc}\u{5d5}\u{5dd} \u{732b}.png \u{1f431} it's \\ ok";
        assert_eq!(printable(seen), seen);
    }

    #[cfg(unix)]
    #[test]
    fn names_that_are_not_utf_8_stay_different_and_can_be_made_again() {
        use std::os::unix::ffi::OsStrExt;
        for (name, text) in [
            (&b"caf\xe9.png"[..], r"caf\xe9.png"),
            (b"caf\xe8.png", r"caf\xe8.png"),
            (br"caf\xe9.png", r"caf\x5cxe9.png"),
            (br"a\xb\n\x", r"a\xb\n\x"),
            ("caf\u{e9}/\u{732b}".as_bytes(), "caf\u{e9}/\u{732b}"),
            (b"\xff\\xff", r"\xff\x5cxff"),
        ] {
            let path = Path::new(std::ffi::OsStr::from_bytes(name));
            assert_eq!(reversible_text(path), text);
            let mut bytes = Vec::new();
            let mut rest = text;
            while let Some(c) = rest.chars().next() {
                let code =
                    rest.strip_prefix("\\x").and_then(|code| u8::from_str_radix(code.get(..2)?, 16).ok());
                let len = if code.is_some() { 4 } else { c.len_utf8() };
                match code {
                    Some(byte) => bytes.push(byte),
                    None => bytes.extend(rest[..len].bytes()),
                }
                rest = &rest[len..];
            }
            assert_eq!(bytes, name, "{text}");
        }
    }

    #[test]
    fn errors_can_be_sent_between_threads_and_kept() {
        fn check<T: Send + Sync + 'static>() {}
        check::<Error>();
        check::<GraphError>();
        check::<RequestError>();
        check::<DeviceError>();
    }

    #[test]
    fn the_source_of_an_unreadable_file_is_the_io_error() {
        let path = Path::new("missing\nfile");
        let error = std::fs::read(path).map_err(|e| Error::cannot_read(path, e)).unwrap_err();
        let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        assert_eq!(source.map(io::Error::kind), Some(io::ErrorKind::NotFound), "{error:?}");
        assert!(error.to_string().starts_with("missing\\nfile: file: cannot read: "), "{error}");
        assert!(!error.to_string().contains('\n'), "{error}");
        assert_eq!(error, error.clone());
        assert!(Error::refused(path, "file", "empty").source().is_none());
    }

    #[test]
    fn the_source_of_a_failed_write_is_the_io_error() {
        let error = Error::cannot_write(Path::new("a"), io::ErrorKind::StorageFull.into());
        let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        assert_eq!(source.map(io::Error::kind), Some(io::ErrorKind::StorageFull));
    }

    #[test]
    fn the_source_of_a_nested_error_is_reached_through_its_group() {
        let error = Error::from(DeviceError::Threads {
            threads: 2,
            source: ErrorSource::new(io::Error::from(io::ErrorKind::WouldBlock)),
        });
        assert!(error.source().is_some_and(|source| source.is::<io::Error>()));
    }

    #[test]
    fn typed_messages_are_one_line_and_escaped() {
        let name = || "a\nb\u{202e}".to_string();
        let errors: [Error; 5] = [
            RequestError::UnknownTap { tap: name(), taps: vec![name(), name()] }.into(),
            RequestError::UnknownName { what: "method", name: name(), expected: vec![name()] }.into(),
            RequestError::ElementCount { given: 1, shape: Shape::new(3, 2, 2) }.into(),
            DeviceError::Unavailable { what: "cuda".into(), reason: name() }.into(),
            Error::device(name()),
        ];
        for error in errors {
            let text = error.to_string();
            assert!(!text.contains(['\n', '\u{202e}']), "{text:?}");
        }
    }
}
