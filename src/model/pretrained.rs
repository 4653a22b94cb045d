//! The built-in weights: a ten-exit CIFAR-10 model, see `weights/README.md`.

use std::path::Path;
use std::sync::Arc;

use super::digest::{Digester, ModelDigest};
use super::weights::Weights;
use crate::Result;

static FILE: &[u8] = msdcam_weights::MSDNET_CIFAR10;

/// The weights that are used if no file is given.
///
/// # Errors
/// Only if the library was built from a damaged file.
pub fn built_in_weights() -> Result<Weights> {
    Weights::from_accepted(Path::new("built-in weights"), Arc::new(FILE))
}

/// The digest of the built-in weights file.
pub fn digest() -> ModelDigest {
    let mut digester = Digester::default();
    digester.file(FILE);
    digester.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_file_is_one_that_would_be_accepted_from_anybody() {
        let accepted = Weights::from_shared(Path::new("built-in weights"), Arc::new(FILE)).unwrap();
        assert_eq!(built_in_weights().unwrap(), accepted);
    }
}
