//! NumPy archives (.npz): uncompressed zip files of .npy arrays.

mod read;

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::npy::header;

pub(crate) use read::parse_texts;
pub use read::{Archive, Floats};

/// Elements of an array in C order.
#[derive(Debug, Clone, Copy)]
pub enum Values<'a> {
    /// `float32`.
    F32(&'a [f32]),
    /// `int64`.
    I64(&'a [i64]),
    /// Text, `<U` with the length of the longest string in characters.
    Text(&'a [&'a str]),
}

/// One array of an archive.
#[derive(Debug, Clone, Copy)]
pub struct Array<'a> {
    /// Key in `numpy.load`.
    pub name: &'a str,
    /// Dimensions; empty for a scalar.
    pub shape: &'a [usize],
    /// Elements, as many as the product of `shape`.
    pub values: Values<'a>,
}

/// The bytes of an .npz archive; equal arrays give equal bytes.
///
/// # Panics
/// When the shape of an array does not match its values or has hundreds of dimensions, two arrays share a name, or
/// a name is too long for a zip file, 65,535 bytes with its extension.
pub fn encode(arrays: &[Array]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for array in arrays {
        let bytes = npy(array);
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(DateTime::default()) // 1980, so that the bytes do not depend on the clock
            .unix_permissions(0o644)
            .large_file(bytes.len() >= u32::MAX as usize);
        let name = format!("{}.npy", array.name);
        assert!(name.len() <= usize::from(u16::MAX), "the name of an array has {} bytes", name.len());
        zip.start_file(name, options).expect("names are unique");
        zip.write_all(&bytes).expect("writing into memory succeeds");
    }
    zip.finish().expect("writing into memory succeeds").into_inner()
}

/// The array in the .npy format.
pub fn npy(array: &Array) -> Vec<u8> {
    let letters = match array.values {
        Values::Text(v) => v.iter().map(|text| text.chars().count()).fold(1, usize::max),
        _ => 0,
    };
    let (kind, len) = match array.values {
        Values::F32(v) => ("<f4".to_string(), v.len()),
        Values::I64(v) => ("<i8".into(), v.len()),
        Values::Text(v) => (format!("<U{letters}"), v.len()),
    };
    let product = array.shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
    assert_eq!(product, Some(len), "elements of array '{}' of shape {:?}", array.name, array.shape);
    let mut bytes = header(&kind, array.shape);
    match array.values {
        Values::F32(v) => bytes.extend(v.iter().flat_map(|x| x.to_le_bytes())),
        Values::I64(v) => bytes.extend(v.iter().flat_map(|x| x.to_le_bytes())),
        // UTF-32, padded with zeros.
        Values::Text(v) => bytes.extend(v.iter().flat_map(|text| {
            let letters = text.chars().chain(std::iter::repeat('\0')).take(letters);
            letters.flat_map(|letter| u32::from(letter).to_le_bytes())
        })),
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_have_the_bytes_that_numpy_writes() {
        let logits = [0.5, -1.25, f32::MAX, 1e-40, 0.0, -0.0];
        let classes = [3, -1, i64::MAX];
        for (array, expected) in [
            (
                Array { name: "logits", shape: &[2, 3], values: Values::F32(&logits) },
                &include_bytes!("../../tests/golden/npy/logits.npy")[..],
            ),
            (
                Array { name: "class", shape: &[3], values: Values::I64(&classes) },
                include_bytes!("../../tests/golden/npy/class.npy"),
            ),
            (
                Array { name: "one", shape: &[], values: Values::F32(&[2.0]) },
                include_bytes!("../../tests/golden/npy/one.npy"),
            ),
            (
                Array { name: "none", shape: &[0, 8, 8], values: Values::F32(&[]) },
                include_bytes!("../../tests/golden/npy/none.npy"),
            ),
            (
                Array { name: "tap", shape: &[2, 1], values: Values::Text(&["exit1", "\u{e4}\u{1f408}"]) },
                include_bytes!("../../tests/golden/npy/tap.npy"),
            ),
        ] {
            assert!(npy(&array) == expected, "{}: {:?}", array.name, String::from_utf8_lossy(&npy(&array)));
        }
    }

    #[test]
    fn the_archive_is_uncompressed_and_deterministic() {
        let arrays = [
            Array { name: "cam", shape: &[1, 2], values: Values::F32(&[1.0, 2.0]) },
            Array { name: "class", shape: &[1], values: Values::I64(&[7]) },
        ];
        let bytes = encode(&arrays);
        assert_eq!(bytes, encode(&arrays));
        let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        assert_eq!(zip.file_names().map(|n| n.unwrap()).collect::<Vec<_>>(), ["cam.npy", "class.npy"]);
        for (i, array) in arrays.iter().enumerate() {
            let mut entry = zip.by_index(i).unwrap();
            assert_eq!(entry.compression(), CompressionMethod::Stored);
            assert_eq!(entry.last_modified(), Some(DateTime::default()));
            let mut back = Vec::new();
            std::io::copy(&mut entry, &mut back).unwrap();
            assert_eq!(back, npy(array));
        }
    }
}
