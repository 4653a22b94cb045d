//! SHA-256 of the bytes that a model is made of, taken as they are read.

use std::io::{self, Read};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::util::sha256::hex;

/// SHA-256 of the bytes that a model was made of, in lower-case hexadecimal. Field names are JSON keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelDigest {
    /// Of the file.
    pub sha256: String,
    /// Of the tensors that an ONNX file keeps in files beside it, one after another in the order of their names, if
    /// there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_data_sha256: Option<String>,
}

/// Takes the digest of a model.
#[derive(Default, Clone)]
pub struct Digester {
    file: Sha256,
    external_data: Sha256,
    has_external_data: bool,
}

impl Digester {
    /// Adds bytes of the file.
    pub fn file(&mut self, bytes: &[u8]) {
        self.file.update(bytes);
    }

    /// Adds bytes of a tensor in a file beside it.
    pub fn external_data(&mut self, bytes: &[u8]) {
        self.external_data.update(bytes);
    }

    /// Says that all external data was added; before, there is no digest of it.
    pub fn end_external_data(&mut self) {
        self.has_external_data = true;
    }

    /// The digest of what was added.
    pub fn finish(self) -> ModelDigest {
        ModelDigest {
            sha256: hex(&self.file.finalize()),
            external_data_sha256: self.has_external_data.then(|| hex(&self.external_data.finalize())),
        }
    }
}

/// The stream of a model's file, which adds what is read from it to a digest, if one is taken.
pub struct Digested<'a, R> {
    stream: R,
    digester: Option<&'a mut Digester>,
}

impl<'a, R: Read> Digested<'a, R> {
    pub fn new(stream: R, digester: Option<&'a mut Digester>) -> Self {
        Digested { stream, digester }
    }
}

impl<R: Read> Read for Digested<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        if let Some(digester) = &mut self.digester {
            digester.file(&buffer[..count]);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_has_the_digest_of_its_bytes() {
        let mut digester = Digester::default();
        let mut read = Vec::new();
        Digested::new(&b"abc"[..], Some(&mut digester)).read_to_end(&mut read).unwrap();
        digester.external_data(b"ab");
        digester.external_data(b"c");
        assert_eq!(digester.clone().finish().external_data_sha256, None, "of a part");
        digester.end_external_data();
        // FIPS 180-2, appendix B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let expected = ModelDigest { sha256: abc.into(), external_data_sha256: Some(abc.into()) };
        assert_eq!((digester.finish(), &read[..]), (expected, &b"abc"[..]));
        assert_eq!(Digester::default().finish().external_data_sha256, None);
    }
}
