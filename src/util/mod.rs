//! Utilities without knowledge of models or images.
//!
//! - [`atomic_file`]: files that are written completely or not at all
//! - `below`: paths out of files, kept inside of their folder
//! - [`npz`]: NumPy archives, written and read
//! - `parallel`: parallel map over a slice
//! - `rng`: seeded random numbers
//! - [`sha256`]: SHA-256 digests as text

pub mod atomic_file;
pub(crate) mod below;
pub mod npz;
pub(crate) mod parallel;
pub(crate) mod rng;
pub mod sha256;
