//! A cursor over a pickle's operands, which never reads past the end.

/// A position in a pickle.
pub struct Cursor<'a> {
    bytes: &'a [u8],
    /// Offset of the next byte.
    pub at: usize,
}

type Step<T> = Result<T, String>;

impl<'a> Cursor<'a> {
    /// A cursor at offset `at` of `bytes`, which must not be past their end.
    pub fn new(bytes: &'a [u8], at: usize) -> Self {
        Cursor { bytes, at: at.min(bytes.len()) }
    }

    /// The next `n` bytes.
    pub fn take(&mut self, n: usize) -> Step<&'a [u8]> {
        let bytes = self.bytes;
        let end = self.at.checked_add(n).filter(|&end| end <= bytes.len());
        let end = end.ok_or_else(|| format!("the file ends inside the pickle: {n} bytes wanted"))?;
        let taken = &bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    /// As [`Cursor::take`], for a length from the file.
    pub fn take_counted(&mut self, n: u64) -> Step<&'a [u8]> {
        let left = self.bytes.len() - self.at;
        let n = usize::try_from(n).ok().filter(|&n| n <= left);
        let n = n.ok_or_else(|| format!("a value longer than the {left} bytes left"))?;
        self.take(n)
    }

    /// A little-endian integer of `width` bytes.
    pub fn unsigned(&mut self, width: usize) -> Step<u64> {
        Ok(self.take(width)?.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b)))
    }

    /// The bytes up to the next line feed, which is skipped.
    pub fn line(&mut self) -> Step<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let n = rest.iter().position(|&b| b == b'\n').ok_or("an unterminated line")?;
        self.at += n + 1;
        Ok(&rest[..n])
    }
}
