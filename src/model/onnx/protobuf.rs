//! A reader of protocol buffers (the wire format of proto2 and proto3) from a stream.
//!
//! A message is read field by field, and every length is checked against what is left of the message around it, so
//! that nothing is allocated that the file does not hold. Groups, which ONNX does not use, are refused.

use std::io::Read;

/// Longest text that is read, in bytes.
const LONGEST_TEXT: u64 = 1 << 20;

/// A stream and the number of bytes read from it.
pub struct Input<R> {
    stream: R,
    at: u64,
    /// Where the outermost message ends, and with it the stream.
    end: u64,
}

/// What is left of a message.
pub struct Message<'a, R> {
    input: &'a mut Input<R>,
    end: u64,
}

/// A field of a message. One of its methods has to be called, which reads its value.
pub struct Field<'a, R> {
    /// Its number in the message's definition.
    pub number: u64,
    kind: Kind,
    input: &'a mut Input<R>,
}

/// The wire type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Varint,
    Fixed64,
    /// Bytes of this length.
    Bytes(u64),
    Fixed32,
}

impl<R: Read> Input<R> {
    pub fn new(stream: R) -> Input<R> {
        Input { stream, at: 0, end: 0 }
    }

    /// The message of `length` bytes that begins here.
    pub fn message(&mut self, length: u64) -> Message<'_, R> {
        let end = self.at.saturating_add(length);
        self.end = end;
        Message { input: self, end }
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<(), String> {
        self.stream.read_exact(bytes).map_err(|e| format!("ends at {}: {e}", self.at))?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// An integer of up to 64 bits, the lowest seven first.
    fn varint(&mut self) -> Result<u64, String> {
        let (start, mut value) = (self.at, 0_u64);
        for shift in (0..70).step_by(7) {
            let mut byte = [0];
            self.read(&mut byte)?;
            let bits = u64::from(byte[0] & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte[0] & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(format!("damaged at {start}: an integer of more than 64 bits"))
    }

    fn skip(&mut self, mut bytes: u64) -> Result<(), String> {
        let mut passed = [0; 4096];
        while bytes > 0 {
            let now = bytes.min(passed.len() as u64) as usize;
            self.read(&mut passed[..now])?;
            bytes -= now as u64;
        }
        Ok(())
    }
}

impl<'a, R: Read> Message<'a, R> {
    /// The next field; `None` at the end of the message.
    ///
    /// # Errors
    /// When it is damaged, or reaches beyond the end of the message.
    pub fn field(&mut self) -> Result<Option<Field<'_, R>>, String> {
        let start = self.input.at;
        if start == self.end {
            return Ok(None);
        }
        let file_end = self.input.end;
        let beyond = |what: &str, end: u64| {
            let place = if end == file_end { "the file ends: is it cut off?" } else { "its message ends" };
            Err(format!("damaged at {start}: {what} ends beyond {end}, where {place}"))
        };
        let tag = self.input.varint()?;
        let kind = match tag & 7 {
            0 => Kind::Varint,
            1 => Kind::Fixed64,
            2 => Kind::Bytes(self.input.varint()?),
            5 => Kind::Fixed32,
            other => return Err(format!("damaged at {start}: a field of wire type {other}")),
        };
        let length = match kind {
            Kind::Varint => 0,
            Kind::Fixed64 => 8,
            Kind::Bytes(length) => length,
            Kind::Fixed32 => 4,
        };
        if self.input.at > self.end || self.end - self.input.at < length {
            return beyond("a field", self.end);
        }
        Ok(Some(Field { number: tag >> 3, kind, input: self.input }))
    }
}

impl<'a, R: Read> Field<'a, R> {
    /// Passes over the value.
    pub fn skip(self) -> Result<(), String> {
        match self.kind {
            Kind::Varint => self.input.varint().map(drop),
            Kind::Fixed64 => self.input.skip(8),
            Kind::Bytes(length) => self.input.skip(length),
            Kind::Fixed32 => self.input.skip(4),
        }
    }

    /// The value as an integer.
    pub fn integer(self) -> Result<i64, String> {
        match self.kind {
            Kind::Varint => Ok(self.input.varint()? as i64),
            _ => Err(self.unexpected("an integer")),
        }
    }

    /// The value as a number of 32 bits.
    pub fn float(self) -> Result<f32, String> {
        if self.kind != Kind::Fixed32 {
            return Err(self.unexpected("a floating-point number"));
        }
        let mut bytes = [0; 4];
        self.input.read(&mut bytes)?;
        Ok(f32::from_le_bytes(bytes))
    }

    /// Reads the message that the value is with `read`.
    pub fn message<T>(self, read: impl FnOnce(Message<'_, R>) -> Result<T, String>) -> Result<T, String> {
        let Kind::Bytes(length) = self.kind else { return Err(self.unexpected("a message")) };
        let end = self.input.at + length;
        let value = read(Message { input: self.input, end })?;
        self.input.skip(end - self.input.at)?;
        Ok(value)
    }

    /// The value as a message of two texts, a key and a value.
    pub fn entry(self) -> Result<(String, String), String> {
        self.message(|mut entry| {
            let (mut key, mut value) = (String::new(), String::new());
            while let Some(field) = entry.field()? {
                match field.number {
                    1 => key = field.text()?,
                    2 => value = field.text()?,
                    _ => field.skip()?,
                }
            }
            Ok((key, value))
        })
    }

    /// The value as UTF-8 text.
    pub fn text(self) -> Result<String, String> {
        let start = self.input.at;
        if matches!(self.kind, Kind::Bytes(length) if length > LONGEST_TEXT) {
            return Err(self.unexpected("a text of at most a million bytes"));
        }
        String::from_utf8(self.bytes()?).map_err(|_| format!("damaged at {start}: a text that is not UTF-8"))
    }

    /// The value as bytes.
    pub fn bytes(self) -> Result<Vec<u8>, String> {
        let length = self.length()?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length).map_err(|_| format!("not enough memory for {length} bytes"))?;
        bytes.resize(length, 0);
        self.input.read(&mut bytes)?;
        Ok(bytes)
    }

    /// The number of bytes of the value.
    pub fn length(&self) -> Result<usize, String> {
        match self.kind {
            Kind::Bytes(length) => {
                usize::try_from(length).map_err(|_| format!("not enough memory for {length} bytes"))
            }
            _ => Err(self.unexpected("bytes")),
        }
    }

    /// Reads the value, which has as many bytes as `bytes`.
    pub fn read_into(self, bytes: &mut [u8]) -> Result<(), String> {
        debug_assert_eq!(self.length(), Ok(bytes.len()));
        self.input.read(bytes)
    }

    /// Adds the integers of a repeated field, of which the value is one or several.
    pub fn integers(self, to: &mut Vec<i64>) -> Result<(), String> {
        let Kind::Bytes(length) = self.kind else {
            to.push(self.integer()?);
            return Ok(());
        };
        let end = self.input.at + length;
        while self.input.at < end {
            to.push(self.input.varint()? as i64);
        }
        if self.input.at > end {
            Err(format!("damaged at {end}: integers end beyond their list"))
        } else {
            Ok(())
        }
    }

    /// Adds the numbers of `N` bytes of a repeated field, of which the value is one or several.
    pub fn numbers<const N: usize, T>(
        self,
        to: &mut Vec<T>,
        convert: fn([u8; N]) -> T,
    ) -> Result<(), String> {
        let length = match (self.kind, N) {
            (Kind::Bytes(length), _) if length % N as u64 == 0 => length,
            (Kind::Fixed32, 4) => 4,
            (Kind::Fixed64, 8) => 8,
            _ => return Err(self.unexpected("a list of floating-point numbers")),
        };
        for _ in 0..length / N as u64 {
            let mut bytes = [0; N];
            self.input.read(&mut bytes)?;
            to.push(convert(bytes));
        }
        Ok(())
    }

    fn unexpected(&self, expected: &str) -> String {
        format!("damaged at {}: field {} is not {expected}", self.input.at, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(bytes: &[u8]) -> Result<Vec<(u64, String)>, String> {
        let mut input = Input::new(bytes);
        let mut message = input.message(bytes.len() as u64);
        let mut found = Vec::new();
        while let Some(field) = message.field()? {
            let number = field.number;
            let value = match number {
                1 => field.integer()?.to_string(),
                2 => field.text()?,
                3 => field.float()?.to_string(),
                4 => field.message(|mut inner| Ok(inner.field()?.is_some().to_string()))?,
                5 => {
                    let mut list = Vec::new();
                    field.integers(&mut list)?;
                    format!("{list:?}")
                }
                _ => field.skip().map(|()| String::new())?,
            };
            found.push((number, value));
        }
        Ok(found)
    }

    #[test]
    fn fields_of_every_wire_type_are_read() {
        let bytes = [&[0x08, 0x96, 0x01, 0x12, 2][..], b"hi", &[0x1d, 0, 0, 0x80, 0x3f, 0x2a, 3, 1, 0x80, 1]]
            .concat();
        let expected = [(1, "150"), (2, "hi"), (3, "1"), (5, "[1, 128]")];
        assert_eq!(fields(&bytes).unwrap(), expected.map(|(n, text)| (n, text.to_string())));
        let negative = [&[0x08][..], &[0xff; 9], &[1]].concat();
        assert_eq!(fields(&negative).unwrap()[0].1, "-1");
        assert_eq!(fields(&[0x31, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap()[0].0, 6);
    }

    #[test]
    fn lengths_that_lie_are_refused_before_anything_is_allocated() {
        for bytes in [
            &[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f][..],
            &[0x12, 3, b'a', b'b'],
            &[0x08],
            &[0x1d, 0, 0],
            &[0x0b],
            &[0x12, 1, 0xff],
            &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        ] {
            assert!(fields(bytes).is_err(), "{bytes:?}");
        }
    }
}
