//! What the arrays of a run are: their keys, types and dimensions.
//!
//! A run has one .npy file for each key, with a row for each image in the order of the set, so that readers map it
//! into memory. The file has its final size from the beginning and a row is written to its place, in whatever order
//! images are finished; [`super::Entry::rows`] is the checksum of an image's rows.

use serde::{Deserialize, Serialize};

use crate::util::npy;
use crate::util::npz::{Array, Values, npy as array_bytes};

/// Limit of the rows of one image, in bytes: of each array, and of all together, which are in memory at once.
pub(super) const LARGEST_ROWS: usize = 1 << 30;

/// Limit of an array that all images have in common, in bytes.
pub(super) const LARGEST_CONSTANT: usize = 1 << 26;

/// Limit of an array's dimensions, which is NumPy's of the 1.x versions.
const MAX_DIMENSIONS: usize = 32;

/// Type of the elements, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ElementKind {
    /// `float32`.
    #[serde(rename = "<f4")]
    F32,
    /// `float16`.
    #[serde(rename = "<f2")]
    F16,
    /// `int64`.
    #[serde(rename = "<i8")]
    I64,
    /// `uint8`.
    #[serde(rename = "|u1")]
    U8,
}

/// An array with a row for each image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArrayField {
    /// Name of its file, without `.npy`.
    pub key: String,
    /// Type of its elements.
    pub kind: ElementKind,
    /// Dimensions of the row of one image.
    pub shape: Vec<usize>,
}

/// Elements of a [`ConstantArray`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ConstantValues {
    /// `int64`.
    I64(Vec<i64>),
    /// Text.
    Text(Vec<String>),
}

/// An array that all images of the set have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConstantArray {
    /// Name of its file, without `.npy`.
    pub key: String,
    /// Dimensions.
    pub shape: Vec<usize>,
    /// Elements in C order.
    pub values: ConstantValues,
}

/// All arrays of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArraySpec {
    /// Arrays that all images have in common.
    pub constants: Vec<ConstantArray>,
    /// Arrays with a row for each image.
    pub fields: Vec<ArrayField>,
}

impl ElementKind {
    /// Its name in a .npy header.
    pub fn name(self) -> &'static str {
        match self {
            ElementKind::F32 => "<f4",
            ElementKind::F16 => "<f2",
            ElementKind::I64 => "<i8",
            ElementKind::U8 => "|u1",
        }
    }

    /// Size of an element in bytes.
    pub fn bytes(self) -> usize {
        match self {
            ElementKind::F32 => 4,
            ElementKind::F16 => 2,
            ElementKind::I64 => 8,
            ElementKind::U8 => 1,
        }
    }
}

impl ArrayField {
    /// Size of the row of one image in bytes; `None` if it cannot be counted.
    pub fn row_bytes(&self) -> Option<usize> {
        self.shape.iter().try_fold(self.kind.bytes(), |bytes, &side| bytes.checked_mul(side))
    }

    /// The bytes of its file before the rows of `images` images.
    pub(super) fn header(&self, images: usize) -> Vec<u8> {
        npy::header(self.kind.name(), &[&[images], &self.shape[..]].concat())
    }
}

impl ConstantArray {
    /// The bytes of its file.
    ///
    /// # Panics
    /// Unless [`ArraySpec::check`] has passed.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let (name, shape) = (&*self.key, &*self.shape);
        let texts: Vec<&str>;
        let values = match &self.values {
            ConstantValues::I64(values) => Values::I64(values),
            ConstantValues::Text(values) => {
                texts = values.iter().map(String::as_str).collect();
                Values::Text(&texts)
            }
        };
        array_bytes(&Array { name, shape, values })
    }

    /// Refuses what cannot be a file, or is too large to be in memory.
    fn check(&self) -> Result<(), String> {
        check_dimensions(&self.shape)?;
        let (len, element) = match &self.values {
            ConstantValues::I64(values) => (values.len(), size_of::<i64>()),
            // Each takes four bytes for every character of the longest.
            ConstantValues::Text(values) => {
                (values.len(), 4 * values.iter().map(|text| text.chars().count()).max().unwrap_or(0))
            }
        };
        let expected = self.shape.iter().try_fold(1_usize, |all, &side| all.checked_mul(side));
        let bytes = len.saturating_mul(element);
        match expected == Some(len) {
            true if bytes <= LARGEST_CONSTANT => Ok(()),
            true => Err(format!("{bytes} bytes, the limit is {LARGEST_CONSTANT}")),
            false => Err(format!("{len} elements for the shape {:?}", self.shape)),
        }
    }
}

/// Refuses more dimensions than the file of an array can have besides that of the images.
fn check_dimensions(shape: &[usize]) -> Result<(), String> {
    match shape.len() {
        ..MAX_DIMENSIONS => Ok(()),
        dimensions => Err(format!("{dimensions} dimensions, the limit is {}", MAX_DIMENSIONS - 1)),
    }
}

impl ArraySpec {
    /// The keys of all arrays, in the order in which they are written.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let constants = self.constants.iter().map(|constant| &*constant.key);
        constants.chain(self.fields.iter().map(|field| &*field.key))
    }

    /// Refuses arrays that cannot be files, or are too large to be in memory: those of a journal are what a file claims.
    ///
    /// # Errors
    /// The key, and the facts that disagree.
    pub(super) fn check(&self) -> Result<(), String> {
        let named = |key: &str, cause: String| Err(format!("{key}: {cause}"));
        for constant in &self.constants {
            constant.check().or_else(|cause| named(&constant.key, cause))?;
        }
        let mut together = 0_usize;
        for field in &self.fields {
            check_dimensions(&field.shape).or_else(|cause| named(&field.key, cause))?;
            let Some(row) = field.row_bytes() else {
                return named(&field.key, format!("rows of shape {:?} are too large", field.shape));
            };
            if row > LARGEST_ROWS {
                return named(&field.key, format!("rows of {row} bytes, the limit is {LARGEST_ROWS}"));
            }
            together += row;
            if together > LARGEST_ROWS {
                let cause =
                    format!("with its rows an image has {together} bytes, the limit is {LARGEST_ROWS}");
                return named(&field.key, cause);
            }
        }
        Ok(())
    }

    /// Whether there are no arrays.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.constants.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_that_are_too_large_are_refused_by_key_and_size() {
        let field = |key: &str, shape: &[usize]| ArrayField {
            key: key.into(),
            kind: ElementKind::F32,
            shape: shape.into(),
        };
        let constant =
            |shape: &[usize], values| ConstantArray { key: "tap".into(), shape: shape.into(), values };
        let text = |of: usize, len: usize| {
            ConstantValues::Text(
                (0..of).map(|i| if i == 0 { "x".repeat(len) } else { String::new() }).collect(),
            )
        };
        let quarter = 1 << 26;
        for (constants, fields, cause) in [
            (vec![], vec![field("cam", &[1 << 28])], ""),
            (
                vec![],
                vec![field("cam", &[1 << 31])],
                "cam: rows of 8589934592 bytes, the limit is 1073741824",
            ),
            (
                vec![],
                ["a", "b", "c", "d", "e"].map(|key| field(key, &[quarter])).into(),
                "e: with its rows an image has 1342177280 bytes, the limit is 1073741824",
            ),
            (
                vec![],
                vec![field("cam", &[usize::MAX / 2, 4])],
                "cam: rows of shape [9223372036854775807, 4] are too",
            ),
            (vec![], vec![field("cam", &[1; 32])], "cam: 32 dimensions, the limit is 31"),
            (vec![constant(&[2], ConstantValues::I64(vec![1, 4]))], vec![], ""),
            (
                vec![constant(&[3], ConstantValues::I64(vec![1, 4]))],
                vec![],
                "tap: 2 elements for the shape [3]",
            ),
            // A short text each, of which one is long.
            (vec![constant(&[1 << 12], text(1 << 12, 1 << 12))], vec![], ""),
            (
                vec![constant(&[1 << 13], text(1 << 13, 1 << 12))],
                vec![],
                "tap: 134217728 bytes, the limit is 67108864",
            ),
        ] {
            let found = ArraySpec { constants, fields }.check().err().unwrap_or_default();
            assert!(found.starts_with(cause) && found.is_empty() == cause.is_empty(), "{found}");
        }
    }
}
