//! Lists of paths as text.

use std::path::PathBuf;

use crate::util::text;
use crate::{Error, Result};

/// Parses a list of paths: one per line or, with `ended_by_nul`, each ended by a NUL byte, as written by
/// `find -print0`. Empty lines, and carriage returns at the end of a line, are ignored, and so is a byte order mark;
/// that of UTF-16 is heeded.
///
/// # Errors
/// [`Error::Usage`] when a path is invalid on this platform.
pub fn parse_path_list(text: Vec<u8>, ended_by_nul: bool) -> Result<Vec<PathBuf>> {
    let text = text::to_utf8(text);
    let text = text.map_err(|e| Error::usage(format!("list of paths: not {}: {e}", e.encoding)))?;
    let end = if ended_by_nul { 0 } else { b'\n' };
    let lines = text.split(|&byte| byte == end);
    let lines = lines.map(|line| match line {
        [start @ .., b'\r'] if !ended_by_nul => start,
        line => line,
    });
    lines.filter(|line| !line.is_empty()).map(path).collect()
}

#[cfg(unix)]
fn path(bytes: &[u8]) -> Result<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    if bytes.contains(&0) {
        return Err(Error::usage("list of paths: NUL byte in a line (is the list NUL-separated?)"));
    }
    Ok(std::ffi::OsStr::from_bytes(bytes).into())
}

#[cfg(not(unix))]
fn path(bytes: &[u8]) -> Result<PathBuf> {
    let text = std::str::from_utf8(bytes);
    text.map(PathBuf::from).map_err(|e| Error::usage(format!("list of paths: not UTF-8: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_at_line_ends_or_nul() {
        let names = |text: &[u8], nul| {
            parse_path_list(text.into(), nul)
                .map(|p| p.iter().map(|p| p.to_string_lossy().into_owned()).collect::<Vec<_>>())
        };
        assert_eq!(names(b"a.png\n\nb c.png\r\nd.png", false).unwrap(), ["a.png", "b c.png", "d.png"]);
        assert_eq!(names(b"a\nb.png\0c.png\0", true).unwrap(), ["a\nb.png", "c.png"]);
        assert!(names(b"", false).unwrap().is_empty());
        assert_eq!(names(b"\xef\xbb\xbfa.png\nb.png", false).unwrap(), ["a.png", "b.png"]);
        let utf16: Vec<u8> =
            "\u{feff}a.png\r\n\u{e9}.png\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(names(&utf16, false).unwrap(), ["a.png", "\u{e9}.png"]);
    }

    #[cfg(unix)]
    #[test]
    fn rejects_nul_in_a_line() {
        let error = parse_path_list(b"a.png\0b.png\0".into(), false).unwrap_err().to_string();
        assert!(error.contains("NUL-separated"), "{error}");
    }
}
