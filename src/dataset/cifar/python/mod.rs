//! CIFAR batches as Python pickles, which PyTorch users have: a dictionary with a list of labels and an array of
//! pixels. Nothing of the pickle is executed: the few calls that make an array are understood, any other is
//! refused.

mod machine;
#[cfg(test)]
mod tests;
mod value;

use std::borrow::Cow;
use std::rc::Rc;

use super::PIXELS;
use value::{Array, Fields};

/// What a batch holds.
#[derive(Debug)]
pub struct PythonBatch<'a> {
    pub labels: PythonLabels,
    /// The red, green and blue planes of each image.
    pub pixels: Cow<'a, [u8]>,
}

/// The labels of a batch.
#[derive(Debug)]
pub enum PythonLabels {
    Ten(Vec<u32>),
    Hundred { coarse: Vec<u32>, fine: Vec<u32> },
}

/// The place in a batch that cannot be used, and why.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    pub place: String,
    pub cause: String,
}

/// Whether a file that starts with these bytes is a pickle of a dictionary; 12 are enough.
pub fn is_pickle(start: &[u8]) -> bool {
    match start {
        [0x80, 4..=5, 0x95, _, _, _, _, _, _, _, _, first, ..] => *first == b'}',
        [0x80, 2..=5, first, ..] => *first == b'}',
        [b'}', b'q' | b'r', ..] | [b'(', b'd', b'p', ..] => true,
        _ => false,
    }
}

/// Reads a batch, whose memory is of the order of its file's.
pub fn read(bytes: &[u8]) -> Result<PythonBatch<'_>, Refused> {
    let fields = machine::fields(bytes);
    let fields =
        fields.map_err(|(offset, cause)| Refused { place: format!("pickle byte {offset}"), cause })?;
    batch(fields).map_err(|(place, cause)| Refused { place: place.into(), cause })
}

/// The batch, or the entry that is wrong and why.
fn batch(fields: Fields<'_>) -> Result<PythonBatch<'_>, (&'static str, String)> {
    let missing = || ("data", "expected a NumPy array of the images; is it a batch of CIFAR?".to_string());
    let Array { shape, columns_first, bytes } = fields.data.ok_or_else(missing)?;
    let images = bytes.len() / PIXELS;
    if images == 0 || images * PIXELS != bytes.len() || shape != [images as u32, PIXELS as u32] {
        let cause = format!("{} bytes in dimensions {shape:?}, expected [images, {PIXELS}]", bytes.len());
        return Err(("data", cause));
    }
    let pixels = match columns_first {
        false => Rc::unwrap_or_clone(bytes),
        true => (0..bytes.len()).map(|i| bytes[i % PIXELS * images + i / PIXELS]).collect::<Vec<_>>().into(),
    };
    let checked = |place, labels: Vec<u32>| match labels.len() == images {
        true => Ok(labels),
        false => Err((place, format!("{} labels for {images} images", labels.len()))),
    };
    let labels = match (fields.labels, fields.coarse, fields.fine) {
        (Some(labels), None, None) => PythonLabels::Ten(checked("labels", labels)?),
        (None, Some(coarse), Some(fine)) => PythonLabels::Hundred {
            coarse: checked("coarse_labels", coarse)?,
            fine: checked("fine_labels", fine)?,
        },
        _ => {
            let expected = "expected a list 'labels', or 'coarse_labels' and 'fine_labels'";
            return Err(("labels", expected.into()));
        }
    };
    Ok(PythonBatch { labels, pixels })
}
