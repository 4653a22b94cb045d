//! Reading of .npz archives as [`super::encode`] and `numpy.savez` write them.

use std::io::{Cursor, Read};
use std::path::Path;

use zip::ZipArchive;

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

/// The .npy format, versions 1 to 3.
fn parse(bytes: &[u8]) -> std::result::Result<Floats, String> {
    let begin = bytes.get(..8).filter(|begin| begin.starts_with(b"\x93NUMPY")).ok_or("no .npy header")?;
    let short = "ends inside the header";
    let (at, length): (usize, usize) = if begin[6] == 1 {
        let length = bytes.get(8..10).ok_or(short)?;
        (10, u16::from_le_bytes([length[0], length[1]]) as usize)
    } else {
        let length = bytes.get(8..12).ok_or(short)?;
        (12, u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize)
    };
    let header = bytes.get(at..at.saturating_add(length)).ok_or(short)?;
    let header = std::str::from_utf8(header).map_err(|_| "the header is not text")?;
    if !header.contains("'<f4'") {
        return Err(format!("expected '<f4', the header says {}", header.trim_end()));
    }
    if !header.contains("'fortran_order': False") {
        return Err("expected C order, the array is in Fortran order".into());
    }
    let shape = header.split(['(', ')']).nth(1).ok_or("the header has no shape")?;
    let sides = shape.split(',').map(str::trim).filter(|side| !side.is_empty());
    let shape: Vec<usize> = sides
        .map(|side| side.parse().map_err(|_| format!("side {side}")))
        .collect::<std::result::Result<_, _>>()?;
    let (elements, rest) = bytes[at + length..].as_chunks();
    let expected = shape.iter().try_fold(1_usize, |all, &side| all.checked_mul(side));
    if expected != Some(elements.len()) || !rest.is_empty() {
        return Err(format!("shape {shape:?} and {} bytes", bytes.len() - at - length));
    }
    Ok(Floats { shape, values: elements.iter().map(|b| f32::from_le_bytes(*b)).collect() })
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
    fn errors_name_the_file_and_the_array() {
        let bytes = encode(&[Array { name: "class", shape: &[1], values: Values::I64(&[7]) }]);
        let cause = |bytes: &[u8], name: &str| read(bytes, name).unwrap_err().to_string();
        assert!(cause(b"nothing", "cam").starts_with("a.npz: archive: "));
        assert!(cause(&bytes, "cam").starts_with("a.npz: array 'cam': "));
        assert!(cause(&bytes, "class").contains("expected '<f4', the header says {'descr': '<i8'"));
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
