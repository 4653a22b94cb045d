//! Opening a model file: the content decides which reader it gets.

use std::path::Path;

use super::weights::Weights;
use super::{Model, msdnet, source_file};
use crate::Result;

/// The model in the file at `path`. Its name does not matter; its content does: weights files made
/// by `msdcam convert` are read, and other formats are refused by name.
///
/// # Errors
/// When the file cannot be read, its format is not one of ours, or its content is damaged.
pub fn open(path: &Path) -> Result<Model> {
    let (bytes, _) = source_file::read(path)?;
    // Weights files are the only format so far; their reader names what it finds instead.
    msdnet::from_weights(&Weights::from_bytes(path, &bytes)?)
}
