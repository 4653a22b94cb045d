//! Format detection by magic bytes, never by file name.

/// Supported image formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Png,
    Jpeg,
    WebP,
}

impl Format {
    /// Name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Format::Png => "PNG",
            Format::Jpeg => "JPEG",
            Format::WebP => "WebP",
        }
    }
}

/// Whether `bytes` start like an image that [`super::decode`] supports.
pub fn is_image(bytes: &[u8]) -> bool {
    sniff(bytes).is_ok()
}

/// Format of `bytes`, or a description of what they look like instead.
pub(super) fn sniff(bytes: &[u8]) -> Result<Format, &'static str> {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Ok(Format::Png);
    }
    if bytes.starts_with(b"\xff\xd8\xff") {
        return Ok(Format::Jpeg);
    }
    if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        return Ok(Format::WebP);
    }
    Err(looks_like(bytes))
}

/// Description of data that is not a supported image.
fn looks_like(bytes: &[u8]) -> &'static str {
    if bytes.get(4..8) == Some(b"ftyp") {
        return match bytes.get(8..12) {
            Some(b"avif" | b"avis") => "AVIF",
            Some(b"heic" | b"heix" | b"hevc" | b"heim" | b"heis" | b"mif1" | b"msf1") => "HEIC",
            _ => "a video",
        };
    }
    const MAGIC: [(&[u8], &str); 17] = [
        (b"GIF8", "GIF"),
        (b"%PDF", "PDF"),
        (b"II*\0", "TIFF or a camera's raw file"),
        (b"MM\0*", "TIFF or a camera's raw file"),
        (b"BM", "BMP"),
        (b"8BPS", "a Photoshop file"),
        (b"\0\0\0\x0cjP  ", "JPEG 2000"),
        (b"\0\0\0\x0cJXL ", "JPEG XL"),
        (b"\xff\x0a", "JPEG XL"),
        (b"\0\0\x01\0", "an icon"),
        (b"\x93NUMPY", "a NumPy array"),
        (b"PK\x03\x04", "a zip archive or a PyTorch checkpoint"),
        (b"\x80\x02", "a Python pickle"),
        (b"\x1f\x8b", "a gzip archive"),
        (b"\x7fELF", "a program"),
        (b"\x89PNG", "a PNG damaged by text conversion"),
        (b"RIFF", "sound or video"),
    ];
    if let Some((_, name)) = MAGIC.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return name;
    }
    let head = &bytes[..bytes.len().min(1024)];
    // A character truncated by the end of `head` does not mean binary data.
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(e) if e.error_len().is_none() => {
            std::str::from_utf8(&head[..e.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return "unknown data",
    };
    let lower = text.trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();
    if lower.starts_with("<!doctype html") || lower.starts_with("<html") {
        "HTML"
    } else if lower.starts_with("<svg") || (lower.starts_with("<?xml") && lower.contains("<svg")) {
        "SVG"
    } else if lower.starts_with("<?xml") {
        "XML"
    } else if !lower.is_empty() && !lower.contains('\0') {
        "text"
    } else {
        "unknown data"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_formats_are_named() {
        for (bytes, name) in [
            (&b"\0\0\0\x18ftypheic\0\0\0\0"[..], "HEIC"),
            (b"\0\0\0\x1cftypavif", "AVIF"),
            (b"GIF89a", "GIF"),
            (b"%PDF-1.7", "PDF"),
            (b"  \n<!DOCTYPE html><html>", "HTML"),
            (b"<?xml version='1.0'?><svg/>", "SVG"),
            ("\u{feff}na\u{ef}ve".as_bytes(), "text"),
            (b"\0\0\0\0", "unknown data"),
            (b"\xfe\xfe", "unknown data"),
        ] {
            assert_eq!(sniff(bytes), Err(name), "{bytes:?}");
        }
    }
}
