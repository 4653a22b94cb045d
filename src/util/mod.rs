//! Utilities without knowledge of models or images.
//!
//! - `allocation`: memory that the system may refuse
//! - [`atomic_file`]: files that are written completely or not at all
//! - [`npz`]: NumPy archives, written and read
//! - `parallel`: parallel map over a slice
//! - `rng`: seeded random numbers
//! - [`sha256`]: SHA-256 digests as text

pub(crate) mod allocation;
pub mod atomic_file;
pub mod npz;
pub(crate) mod parallel;
pub(crate) mod rng;
pub mod sha256;
