//! Reading of .npz archives as [`super::encode`] and `numpy.savez` write them.

use std::io::{Cursor, Read};
use std::path::Path;

use zip::ZipArchive;

use crate::util::npy::{Header, read_header};
use crate::{Error, Result};

/// An archive in memory.
#[derive(Debug)]
pub struct Archive<'a> {
    /// Path in messages.
    file: &'a Path,
    zip: ZipArchive<Cursor<&'a [u8]>>,
}

/// An array of `float32` elements.
#[derive(Debug, Clone, PartialEq)]
pub struct Floats {
    /// Dimensions.
    pub shape: Vec<usize>,
    /// Elements in C order, as many as the product of `shape`.
    pub values: Vec<f32>,
}

impl<'a> Archive<'a> {
    /// Opens the archive in `bytes`; messages name it `file`.
    ///
    /// # Errors
    /// [`Error::Refused`] when it is not a zip archive.
    pub fn open(file: &'a Path, bytes: &'a [u8]) -> Result<Archive<'a>> {
        let zip = ZipArchive::new(Cursor::new(bytes));
        let zip = zip.map_err(|e| Error::refused_by(file, "archive", e))?;
        Ok(Archive { file, zip })
    }

    /// Names of the arrays.
    pub fn names(&self) -> Vec<String> {
        let names = self.zip.file_names().flatten();
        names.filter_map(|name| Some(name.strip_suffix(".npy")?.to_string())).collect()
    }

    /// The array called `name`.
    ///
    /// # Errors
    /// [`Error::Refused`] when it is missing, damaged, or not little-endian `float32` in C order.
    pub fn floats(&mut self, name: &str) -> Result<Floats> {
        let bytes = self.entry(name);
        bytes
            .and_then(|bytes| parse(&bytes))
            .map_err(|cause| Error::refused(self.file, format!("array '{name}'"), cause))
    }

    /// Dimensions and elements of the array of texts called `name`; `None` where there is none.
    ///
    /// # Errors
    /// [`Error::Refused`] when it is damaged, or not little-endian text in C order.
    pub fn texts(&mut self, name: &str) -> Result<Option<(Vec<usize>, Vec<String>)>> {
        if !self.names().iter().any(|found| found == name) {
            return Ok(None);
        }
        let read = self.entry(name).and_then(|bytes| parse_texts(&bytes));
        read.map(Some).map_err(|cause| Error::refused(self.file, format!("array '{name}'"), cause))
    }

    /// The .npy bytes of an array.
    fn entry(&mut self, name: &str) -> std::result::Result<Vec<u8>, String> {
        let entry = self.zip.by_name(&format!("{name}.npy")).map_err(|e| e.to_string())?;
        let mut bytes = Vec::new();
        // A compressed array may expand to any size.
        entry.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(format!("more than {MAX_BYTES} bytes"));
        }
        Ok(bytes)
    }
}

/// Maximum size of an array in bytes, above that of any array that msdcam writes.
const MAX_BYTES: u64 = 1 << 30;

/// An array of `<f4`.
fn parse(bytes: &[u8]) -> std::result::Result<Floats, String> {
    let (kind, shape, elements) = parts(bytes)?;
    if kind != "<f4" {
        return Err(format!("expected '<f4', the header says '{kind}'"));
    }
    let (floats, rest) = elements.as_chunks();
    let expected = shape.iter().try_fold(1_usize, |all, &side| all.checked_mul(side));
    if expected != Some(floats.len()) || !rest.is_empty() {
        return Err(format!("shape {shape:?} and {} bytes", elements.len()));
    }
    Ok(Floats { shape, values: floats.iter().map(|b| f32::from_le_bytes(*b)).collect() })
}

/// An array of `<U`: UTF-32 of one length, padded with zeros.
pub(crate) fn parse_texts(bytes: &[u8]) -> std::result::Result<(Vec<usize>, Vec<String>), String> {
    let (kind, shape, elements) = parts(bytes)?;
    let letters = kind.strip_prefix("<U").and_then(|letters| letters.parse::<usize>().ok());
    let Some(letters) = letters.filter(|&letters| letters > 0) else {
        return Err(format!("expected '<U', the header says '{kind}'"));
    };
    let (units, rest) = elements.as_chunks();
    let expected = shape.iter().try_fold(letters, |all, &side| all.checked_mul(side));
    if expected != Some(units.len()) || !rest.is_empty() {
        return Err(format!("shape {shape:?} and {} bytes", elements.len()));
    }
    let letter = |unit: &[u8; 4]| char::from_u32(u32::from_le_bytes(*unit)).ok_or("not Unicode");
    let text = |units: &[[u8; 4]]| units.iter().map(letter).collect::<std::result::Result<String, _>>();
    let texts = units.chunks(letters).map(|units| Ok(text(units)?.trim_end_matches('\0').to_string()));
    Ok((shape, texts.collect::<std::result::Result<_, String>>()?))
}

/// Type, dimensions and bytes of the elements.
fn parts(bytes: &[u8]) -> std::result::Result<(String, Vec<usize>, &[u8]), String> {
    let Header { kind, shape, len } = read_header(&mut &*bytes)?;
    Ok((kind, shape, &bytes[len..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::npz::{Array, Values, encode};

    fn read(bytes: &[u8], name: &str) -> Result<Floats> {
        Archive::open(Path::new("a.npz"), bytes)?.floats(name)
    }

    #[test]
    fn arrays_round_trip() {
        let values = [0.5, -1.25, f32::MAX, 1e-40, 0.0, -0.0];
        for shape in [&[2, 3][..], &[6], &[1, 2, 1, 3]] {
            let bytes = encode(&[
                Array { name: "class", shape: &[1], values: Values::I64(&[7]) },
                Array { name: "cam", shape, values: Values::F32(&values) },
            ]);
            assert_eq!(read(&bytes, "cam"), Ok(Floats { shape: shape.into(), values: values.into() }));
            let names = Archive::open(Path::new("a.npz"), &bytes).unwrap().names();
            assert_eq!(names, ["class", "cam"]);
        }
    }

    #[test]
    fn files_of_numpy_are_read() {
        let logits = parse(include_bytes!("../../../tests/golden/npy/logits.npy")).unwrap();
        assert_eq!((logits.shape, logits.values[1]), (vec![2, 3], -1.25));
        let none = parse(include_bytes!("../../../tests/golden/npy/none.npy")).unwrap();
        assert_eq!((none.shape, none.values.len()), (vec![0, 8, 8], 0));
        assert_eq!(parse(include_bytes!("../../../tests/golden/npy/one.npy")).unwrap().values, [2.0]);
    }

    #[test]
    fn texts_are_read_as_they_were_written() {
        let words = ["exit1", "", "\u{e4}\u{1f408}"];
        let bytes = encode(&[Array { name: "tap", shape: &[3, 1], values: Values::Text(&words) }]);
        let mut archive = Archive::open(Path::new("a.npz"), &bytes).unwrap();
        assert_eq!(archive.texts("tap"), Ok(Some((vec![3, 1], words.map(String::from).into()))));
        assert_eq!(archive.texts("cam"), Ok(None));
        let npy = include_bytes!("../../../tests/golden/npy/tap.npy");
        assert_eq!(parse_texts(npy).unwrap().1, ["exit1", "\u{e4}\u{1f408}"]);
        for end in 0..npy.len() {
            assert!(parse_texts(&npy[..end]).is_err(), "{end} bytes");
        }
        assert!(parse_texts(include_bytes!("../../../tests/golden/npy/logits.npy")).is_err());
    }

    #[test]
    fn errors_name_the_file_and_the_array() {
        let bytes = encode(&[Array { name: "class", shape: &[1], values: Values::I64(&[7]) }]);
        let cause = |bytes: &[u8], name: &str| read(bytes, name).unwrap_err().to_string();
        assert!(cause(b"nothing", "cam").starts_with("a.npz: archive: "));
        assert!(cause(&bytes, "cam").starts_with("a.npz: array 'cam': "));
        assert!(cause(&bytes, "class").contains("expected '<f4', the header says '<i8'"));
        let npy = include_bytes!("../../../tests/golden/npy/logits.npy");
        for end in 0..npy.len() {
            assert!(parse(&npy[..end]).is_err(), "{end} bytes");
        }
        let mut huge = b"\x93NUMPY\x01\x00\x60\x00".to_vec();
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999, 9999999999, 9), }";
        huge.extend(format!("{header:96}").bytes());
        assert!(parse(&huge).unwrap_err().starts_with("shape [9999999999, 9999999999, 9] and 0 bytes"));
    }
}
