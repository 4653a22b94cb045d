//! Utilities without knowledge of models or images.
//!
//! - [`atomic_file`]: files that are written completely or not at all
//! - [`npz`]: NumPy archives, written and read
//! - `panic`: panics as values, and in one line
//! - `parallel`: parallel map over a slice
//! - `rng`: seeded random numbers
//! - [`sha256`]: SHA-256 digests as text

pub mod atomic_file;
pub mod npz;
pub(crate) mod panic;
pub(crate) mod parallel;
pub(crate) mod rng;
pub mod sha256;
