//! What a TIFF file says of its first image that the decoder passes over (TIFF 6.0, section 8).

use std::io::{Read, Seek};

use super::CONVERT;
use super::exif::number;

const KIND: u16 = 254;
const BIT_ORDER: u16 = 266;
const PLANES: u16 = 284;
const TILE_WIDTH: u16 = 322;
const FURTHER_SAMPLES: u16 = 338;

/// Refuses what the decoder would take for something else.
///
/// # Errors
/// A description of it.
pub(super) fn check(file: &mut (impl Read + Seek)) -> Result<(), String> {
    if number(file, KIND).is_some_and(|kind| kind & 1 == 1) {
        return Err("a preview comes first, as in a camera's raw file; develop it to TIFF or PNG".into());
    }
    if number(file, BIT_ORDER) == Some(2) {
        return Err(format!("bytes with the lowest bit first are not supported; {CONVERT}"));
    }
    if number(file, PLANES) == Some(2) && number(file, TILE_WIDTH).is_some() {
        return Err(format!("tiles of one color each are not supported; {CONVERT}"));
    }
    Ok(())
}

/// Whether colors are multiplied by their opacity.
pub(super) fn is_premultiplied(file: &mut (impl Read + Seek)) -> bool {
    number(file, FURTHER_SAMPLES) == Some(1)
}
