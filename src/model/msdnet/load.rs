//! From weights to a network.

use super::Network;
use crate::Result;
use crate::model::weights::Weights;

/// The network of `weights`.
///
/// # Errors
/// When a tensor is missing or has other dimensions than the architecture wants; never for
/// weights that were read from a file.
pub fn load(weights: &Weights) -> Result<Network> {
    Network::new(&weights.config, |name, dims| weights.get(name, dims).cloned())
}
