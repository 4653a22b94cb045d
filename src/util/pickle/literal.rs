//! Numbers and texts of a pickle as they are written in it.

/// An integer in decimal digits, with an L behind it if Python 2 called it long; `None` for more than 128 bits
/// and what is no integer.
pub fn integer(line: &[u8]) -> Option<i128> {
    let line = std::str::from_utf8(line).ok()?;
    line.strip_suffix('L').unwrap_or(line).parse().ok()
}

/// A little-endian two's complement; `None` for more than 128 bits.
pub fn long(bytes: &[u8]) -> Option<i128> {
    let fill = if bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
    let mut le = [fill; 16];
    le.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(i128::from_le_bytes(le))
}

/// Text in Latin-1 with escapes `\\uXXXX` and `\\UXXXXXXXX` alone.
pub fn raw_unicode(line: &[u8]) -> String {
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = match after.first() {
            Some(b'u') if byte == b'\\' => 4,
            Some(b'U') if byte == b'\\' => 8,
            _ => 0,
        };
        let code = after.get(1..1 + digits).filter(|_| digits > 0).and_then(hexadecimal);
        (text, rest) = match code.and_then(char::from_u32) {
            Some(c) => (text + c.encode_utf8(&mut [0; 4]), &after[1 + digits..]),
            None => (text + char::from(byte).encode_utf8(&mut [0; 4]), after),
        };
    }
    text
}

/// A `str` of Python 2 in quotation marks, with the escapes of its `repr`.
pub fn string(line: &[u8]) -> Result<Vec<u8>, String> {
    let quoted = match line {
        [open @ (b'\'' | b'"'), inside @ .., close] if open == close => inside,
        _ => return Err("a string without quotation marks".into()),
    };
    let mut bytes = Vec::with_capacity(quoted.len());
    let mut rest = quoted.iter().copied();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next() {
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'x') => {
                let code: Vec<u8> = rest.by_ref().take(2).collect();
                let code = hexadecimal(&code).filter(|_| code.len() == 2);
                code.ok_or("a string with half an escape")? as u8
            }
            Some(c @ (b'\\' | b'\'' | b'"')) => c,
            _ => return Err("a string with an unknown escape".into()),
        });
    }
    Ok(bytes)
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(digits).ok().filter(|text| !text.starts_with('+'))?;
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_keep_their_sign_and_width() {
        assert_eq!(
            [&b"12"[..], b"-3L", b"01", b"x", b""].map(integer),
            [Some(12), Some(-3), Some(1), None, None]
        );
        assert_eq!([&[][..], &[0xff], &[0, 1]].map(long), [Some(0), Some(-1), Some(256)]);
        assert_eq!((long(&[0; 16]), long(&[0; 17])), (Some(0), None));
    }

    #[test]
    fn texts_are_what_python_reads() {
        assert_eq!(raw_unicode(b"a\\u00e9\xe9\\U0001f408\\n\\u12"), "a\u{e9}\u{e9}\u{1f408}\\n\\u12");
        assert_eq!(string(br#"'a\x00\n\\\'"'"#).unwrap(), b"a\0\n\\'\"");
        for bad in ["", "'", "'a", "'\\x0'", "'\\q'", "a"] {
            assert!(string(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
