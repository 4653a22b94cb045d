//! Format detection by magic bytes, never by file name.

/// Supported image formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Png,
    Jpeg,
    WebP,
    Gif,
    Bmp,
    Pnm,
    Tiff,
}

/// The supported formats in messages.
pub(super) const FORMATS: &str = "PNG, JPEG, WebP, GIF, BMP, PNM or TIFF";

impl Format {
    /// Name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Format::Png => "PNG",
            Format::Jpeg => "JPEG",
            Format::WebP => "WebP",
            Format::Gif => "GIF",
            Format::Bmp => "BMP",
            Format::Pnm => "PNM",
            Format::Tiff => "TIFF",
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
    if bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a") {
        return Ok(Format::Gif);
    }
    // The length of the second header tells a bitmap from a text.
    if bytes.starts_with(b"BM") && matches!(bytes.get(14..18), Some(&[12..=124, 0, 0, 0])) {
        return Ok(Format::Bmp);
    }
    if let [b'P', b'1'..=b'7', b' ' | b'\t' | b'\r' | b'\n' | b'#', ..] = bytes {
        return Ok(Format::Pnm);
    }
    if (bytes.starts_with(b"II*\0") || bytes.starts_with(b"MM\0*")) && bytes.get(8..10) != Some(b"CR") {
        return Ok(Format::Tiff);
    }
    Err(looks_like(bytes))
}

/// Description of data that is not a supported image, and what to do with it.
fn looks_like(bytes: &[u8]) -> &'static str {
    if bytes.get(4..8) == Some(b"ftyp") {
        return match bytes.get(8..12) {
            Some(b"avif" | b"avis") => "AVIF; convert it, e.g.: avifdec in.avif out.png",
            Some(b"heic" | b"heix" | b"hevc" | b"heim" | b"heis" | b"mif1" | b"msf1") => {
                "HEIC; convert it, e.g.: heif-convert in.heic out.png"
            }
            Some(b"crx ") => "a camera's raw file; develop it to TIFF or PNG",
            _ => "a video; extract its frames, e.g.: ffmpeg -i in.mp4 %06d.png",
        };
    }
    const JPEG_2000: &str = "JPEG 2000; convert it, e.g.: opj_decompress -i in.jp2 -o out.png";
    const JPEG_XL: &str = "JPEG XL; convert it, e.g.: djxl in.jxl out.png";
    const PICKLE: &str = "a Python pickle; write its pictures to files, or take a binary CIFAR file";
    const UTF_16: &str = "UTF-16 text";
    const MAGIC: [(&[u8], &str); 34] = [
        (b"GIF8", "a damaged GIF"),
        (b"%PDF", "PDF; convert it, e.g.: pdftoppm -png in.pdf out"),
        (b"II*\0", "a camera's raw file; develop it to TIFF or PNG"),
        (b"II+\0", "BigTIFF; convert it, e.g.: tiffcp in.tif out.tif"),
        (b"MM\0+", "BigTIFF; convert it, e.g.: tiffcp in.tif out.tif"),
        (b"IIU\0", "a camera's raw file; develop it to TIFF or PNG"),
        (b"IIRO", "a camera's raw file; develop it to TIFF or PNG"),
        (b"FUJIFILMCCD-RAW", "a camera's raw file; develop it to TIFF or PNG"),
        (b"8BPS", "a Photoshop file; export it as PNG"),
        (b"gimp xcf", "a GIMP file; export it as PNG"),
        (b"\0\0\0\x0cjP  ", JPEG_2000),
        (b"\xff\x4f\xff\x51", JPEG_2000),
        (b"\0\0\0\x0cJXL ", JPEG_XL),
        (b"\xff\x0a", JPEG_XL),
        (b"\x76\x2f\x31\x01", "OpenEXR; convert it to PNG"),
        (b"\0\0\x01\0", "an icon; convert it, e.g. with ImageMagick: magick in.ico out.png"),
        (b"\x93NUMPY", "a NumPy array; write it to PNG files, e.g. with Pillow's Image.fromarray"),
        (b"\x89HDF", "HDF5; write its pictures to files"),
        (b"PK\x03\x04", "a zip archive or a PyTorch checkpoint"),
        (b"\x80\x02", PICKLE),
        (b"\x80\x03", PICKLE),
        (b"\x80\x04", PICKLE),
        (b"\x80\x05", PICKLE),
        (b"(dp", PICKLE),
        (b"(lp", PICKLE),
        (b"\x1f\x8b", "a gzip archive; unpack it"),
        (b"BZh", "a bzip2 archive; unpack it"),
        (b"\xfd7zXZ", "an xz archive; unpack it"),
        (b"\x28\xb5\x2f\xfd", "a zstd archive; unpack it"),
        (b"\x7fELF", "a program"),
        (b"\x89PNG", "a PNG damaged by text conversion"),
        (b"RIFF", "sound or video"),
        (b"\xff\xfe", UTF_16),
        (b"\xfe\xff", UTF_16),
    ];
    if bytes.get(257..262) == Some(b"ustar") {
        return "a tar archive; unpack it";
    }
    if bytes.starts_with(b"version https://git-lfs.github.com/spec/") {
        return "a Git LFS pointer in place of the file; fetch it with: git lfs pull";
    }
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
        let tar = [&[b'a'; 257][..], b"ustar\0"].concat();
        for (bytes, name) in [
            (&b"\0\0\0\x18ftypheic\0\0\0\0"[..], "HEIC; convert it, e.g.: heif-convert in.heic out.png"),
            (b"\0\0\0\x1cftypavif", "AVIF; convert it, e.g.: avifdec in.avif out.png"),
            (b"II+\0\x08\0\0\0", "BigTIFF; convert it, e.g.: tiffcp in.tif out.tif"),
            (b"II*\0\x10\0\0\0CR", "a camera's raw file; develop it to TIFF or PNG"),
            (b"\xff\x4f\xff\x51", "JPEG 2000; convert it, e.g.: opj_decompress -i in.jp2 -o out.png"),
            (
                b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
                "a Git LFS pointer in place of the file; fetch it with: git lfs pull",
            ),
            (&tar, "a tar archive; unpack it"),
            (b"(dp0\nS'data'\n", "a Python pickle; write its pictures to files, or take a binary CIFAR file"),
            (b"\x80\x05\x95", "a Python pickle; write its pictures to files, or take a binary CIFAR file"),
            (b"\xff\xfea\0", "UTF-16 text"),
            (b"%PDF-1.7", "PDF; convert it, e.g.: pdftoppm -png in.pdf out"),
            (b"  \n<!DOCTYPE html><html>", "HTML"),
            (b"<?xml version='1.0'?><svg/>", "SVG"),
            ("\u{feff}na\u{ef}ve".as_bytes(), "text"),
            (b"BMW, Audi, Volkswagen", "text"),
            (b"P12 is a name", "text"),
            (b"\0\0\0\0", "unknown data"),
            (b"\xfe\xfe", "unknown data"),
        ] {
            assert_eq!(sniff(bytes), Err(name), "{bytes:?}");
        }
    }
}
