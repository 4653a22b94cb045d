//! Text as people's programs write it: UTF-8, with or without a byte order mark, or UTF-16 with one.

/// Text that is neither UTF-8 nor UTF-16: the encoding that it claims, and where it breaks it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct NotText {
    /// `UTF-8` or `UTF-16`.
    pub encoding: &'static str,
    cause: String,
}

/// The text of these bytes.
///
/// # Errors
/// When they are not valid in their encoding.
pub fn decode(bytes: Vec<u8>) -> Result<String, NotText> {
    let text = String::from_utf8(to_utf8(bytes)?);
    text.map_err(|e| NotText { encoding: "UTF-8", cause: e.utf8_error().to_string() })
}

/// `text` in which every byte that is not `plain` is `%XX`, as in addresses.
pub fn percent_encoded(text: &str, plain: impl Fn(u8) -> bool) -> String {
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// The bytes without a byte order mark, and in UTF-8 if the mark is that of UTF-16. Without a mark they are
/// returned as they are, whatever they are: names of files need not be text.
///
/// # Errors
/// When they begin with a mark of UTF-16 and are not valid UTF-16.
pub fn to_utf8(mut bytes: Vec<u8>) -> Result<Vec<u8>, NotText> {
    let unit: fn([u8; 2]) -> u16 = match bytes[..] {
        [0xef, 0xbb, 0xbf, ..] => {
            bytes.drain(..3);
            return Ok(bytes);
        }
        [0xff, 0xfe, ..] => u16::from_le_bytes,
        [0xfe, 0xff, ..] => u16::from_be_bytes,
        _ => return Ok(bytes),
    };
    let refuse = |cause: &str| Err(NotText { encoding: "UTF-16", cause: cause.into() });
    let (pairs, []) = bytes[2..].as_chunks::<2>() else { return refuse("half a character at the end") };
    let decoded: Result<String, _> = char::decode_utf16(pairs.iter().map(|&pair| unit(pair))).collect();
    decoded.map(String::into_bytes).or_else(|_| refuse("half of a pair of surrogates"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_taken_off_and_utf_16_is_converted() {
        let text = "[0.5]\r\n\u{e9}\u{732b}\u{1f408}";
        let utf16 = |to: fn(u16) -> [u8; 2]| -> Vec<u8> {
            [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(to).collect()
        };
        let with_mark = [b"\xef\xbb\xbf", text.as_bytes()].concat();
        for bytes in [text.into(), with_mark, utf16(u16::to_le_bytes), utf16(u16::to_be_bytes)] {
            assert_eq!(decode(bytes).unwrap(), text);
        }
        assert_eq!(decode(Vec::new()).unwrap(), "");
    }

    #[test]
    fn what_is_not_text_is_refused_by_its_encoding() {
        let refused = |bytes: &[u8]| decode(bytes.into()).unwrap_err();
        assert_eq!(refused(b"caf\xe9").encoding, "UTF-8");
        assert_eq!(refused(b"\xff\xfea").to_string(), "half a character at the end");
        assert_eq!(refused(b"\xfe\xff\xd8\0").to_string(), "half of a pair of surrogates");
        assert_eq!(to_utf8(b"caf\xe9".into()).unwrap(), b"caf\xe9", "a name of a file");
    }
}
