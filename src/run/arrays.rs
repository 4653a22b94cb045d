//! What the arrays of a run are: their keys, types and dimensions.
//!
//! A run has one .npy file for each key, with a row for each image in the order of the set, so that readers map it
//! into memory. The file has its final size from the beginning and a row is written to its place, in whatever order
//! images are finished; [`super::Entry::rows`] is the checksum of an image's rows.

use serde::{Deserialize, Serialize};

use crate::util::npy;
use crate::util::npz::{Array, Values, npy as array_bytes};

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
    /// The bytes of its file; `None` if its dimensions are not those of its elements.
    pub(super) fn bytes(&self) -> Option<Vec<u8>> {
        let expected = self.shape.iter().try_fold(1_usize, |all, &side| all.checked_mul(side))?;
        let (name, shape) = (&*self.key, &*self.shape);
        let texts: Vec<&str>;
        let (len, values) = match &self.values {
            ConstantValues::I64(values) => (values.len(), Values::I64(values)),
            ConstantValues::Text(values) => {
                texts = values.iter().map(String::as_str).collect();
                (values.len(), Values::Text(&texts))
            }
        };
        (len == expected && shape.len() < 32).then(|| array_bytes(&Array { name, shape, values }))
    }
}

impl ArraySpec {
    /// The keys of all arrays, in the order in which they are written.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let constants = self.constants.iter().map(|constant| &*constant.key);
        constants.chain(self.fields.iter().map(|field| &*field.key))
    }

    /// Whether there are no arrays.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.constants.is_empty()
    }
}
