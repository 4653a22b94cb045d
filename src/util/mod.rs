//! TODO.

pub mod atomic_file;
pub mod npz;
pub mod parallel;
pub(crate) mod rng;
pub mod sha256;
