//! The built-in weights: a ten-exit CIFAR-10 network, see `weights/README.md`.

use std::path::Path;

use super::weights::Weights;
use crate::Result;
use crate::util::sha256;

static FILE: &[u8] = include_bytes!("../../weights/msdnet_cifar10.safetensors");

/// The weights that are used if no file is given.
///
/// # Errors
/// Only if the library was built from a damaged file.
pub fn built_in_weights() -> Result<Weights> {
    Weights::from_bytes(Path::new("built-in weights"), FILE)
}

/// SHA-256 of the built-in weights file, in lower-case hexadecimal.
pub fn built_in_sha256() -> String {
    sha256::sha256(FILE)
}
