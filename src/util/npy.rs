//! The .npy format: magic, length of the header, a Python dictionary, the elements.
//!
//! <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>

use std::io::Read;

const MAGIC: &[u8] = b"\x93NUMPY";

/// Maximum length of a header that is read, in bytes: one of few dimensions is far shorter.
const LONGEST: usize = 1 << 12;

/// The bytes before the elements of an array of `kind`, such as `<f4`, in C order: version 1.0, padded so that the
/// elements begin at a multiple of 64 bytes.
///
/// # Panics
/// When the array has hundreds of dimensions.
pub fn header(kind: &str, shape: &[usize]) -> Vec<u8> {
    let shape = match shape {
        [one] => format!("{one},"),
        more => more.iter().map(usize::to_string).collect::<Vec<_>>().join(", "),
    };
    let mut text = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}");
    const BEFORE: usize = 10;
    let padded = (BEFORE + text.len() + 1).next_multiple_of(64) - BEFORE;
    text.extend(std::iter::repeat_n(' ', padded - 1 - text.len()));
    text.push('\n');
    let length = u16::try_from(text.len()).expect("the header of few dimensions is short");
    [MAGIC, b"\x01\x00", &length.to_le_bytes(), text.as_bytes()].concat()
}

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Type of the elements, such as `<f4`.
    pub kind: String,
    /// Dimensions, in C order.
    pub shape: Vec<usize>,
    /// Bytes before the elements.
    pub len: usize,
}

/// Reads the header of an array in C order, versions 1 to 3, up to its elements.
///
/// # Errors
/// What is not as expected.
pub fn read_header(file: &mut impl Read) -> Result<Header, String> {
    let mut bytes = Vec::new();
    let mut take = |count: usize| -> Result<Vec<u8>, String> {
        let start = bytes.len();
        let read = file.by_ref().take(count as u64).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
        if read < count { Err("ends inside the header".into()) } else { Ok(bytes[start..].to_vec()) }
    };
    let begin = take(8).ok().filter(|begin| begin.starts_with(MAGIC)).ok_or("no .npy header")?;
    let length = match (begin[6], begin[7]) {
        (1, 0) => u16::from_le_bytes(take(2)?.try_into().expect("two bytes")) as usize,
        (2 | 3, 0) => u32::from_le_bytes(take(4)?.try_into().expect("four bytes")) as usize,
        (major, minor) => return Err(format!("version {major}.{minor} of .npy, expected 1.0, 2.0 or 3.0")),
    };
    if length > LONGEST {
        return Err(format!("a header of {length} bytes, the limit is {LONGEST}"));
    }
    let text = String::from_utf8(take(length)?).map_err(|_| "the header is not text")?;
    if !text.contains("'fortran_order': False") {
        return Err("expected C order, the array is in Fortran order".into());
    }
    let kind = text.split("'descr': '").nth(1).and_then(|rest| rest.split('\'').next());
    let kind = kind.ok_or("the header has no type")?.to_string();
    let shape = text.split(['(', ')']).nth(1).ok_or("the header has no shape")?;
    let sides = shape.split(',').map(str::trim).filter(|side| !side.is_empty());
    let shape =
        sides.map(|side| side.parse().map_err(|_| format!("side {side}"))).collect::<Result<_, _>>()?;
    Ok(Header { kind, shape, len: bytes.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_written() {
        for (kind, shape) in
            [("<f4", &[2, 3][..]), ("<i8", &[7]), ("|u1", &[]), ("<U5", &[1_281_167, 5, 7, 7])]
        {
            let bytes = header(kind, shape);
            assert_eq!(bytes.len() % 64, 0);
            let read = read_header(&mut &[&bytes[..], b"elements"].concat()[..]).unwrap();
            assert_eq!(read, Header { kind: kind.into(), shape: shape.into(), len: bytes.len() });
            for end in 0..bytes.len() {
                assert!(read_header(&mut &bytes[..end]).is_err(), "{end} bytes");
            }
        }
    }

    #[test]
    fn other_versions_are_refused_by_number() {
        let mut bytes = header("<f4", &[2]);
        for (version, named) in [([0, 0], "0.0"), ([1, 1], "1.1"), ([4, 0], "4.0"), ([9, 0], "9.0")] {
            bytes[6..8].copy_from_slice(&version);
            let error = read_header(&mut &bytes[..]).unwrap_err();
            assert_eq!(error, format!("version {named} of .npy, expected 1.0, 2.0 or 3.0"));
        }
        for major in [2, 3] {
            let length = (bytes.len() - 10) as u32;
            let newer = [MAGIC, &[major, 0], &length.to_le_bytes(), &bytes[10..]].concat();
            assert_eq!(read_header(&mut &newer[..]).unwrap().shape, [2], "version {major}");
        }
    }

    #[test]
    fn the_length_that_a_header_claims_is_not_believed() {
        let claimed = [MAGIC, b"\x02\x00", &u32::MAX.to_le_bytes()].concat();
        assert_eq!(
            read_header(&mut &claimed[..]).unwrap_err(),
            "a header of 4294967295 bytes, the limit is 4096"
        );
        let fortran = header("<f4", &[2]);
        let fortran = String::from_utf8_lossy(&fortran[10..]).replace("False", "True ");
        let fortran =
            [MAGIC, b"\x01\x00", &(fortran.len() as u16).to_le_bytes(), fortran.as_bytes()].concat();
        assert!(read_header(&mut &fortran[..]).unwrap_err().contains("C order"));
    }
}
