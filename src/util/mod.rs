//! Utilities without knowledge of models or images.
//!
//! - `allocation`: memory that the system may refuse
//! - [`atomic_file`]: files that are written completely or not at all
//! - `below`: paths out of files, kept inside of their folder
//! - [`csv`]: cells of CSV files
//! - `file_id`: identity of a file, whatever its path
//! - `imagenet`: the classes of ImageNet
//! - `input_file`: input files, opened without blocking and read up to a limit
//! - `listed`: names in a message
//! - `npy`: headers of NumPy arrays
//! - [`npz`]: NumPy archives, written and read
//! - `panic`: panics as values, and in one line
//! - `parallel`: parallel map over a slice
//! - `pickle`: the opcodes of Python pickles
//! - `private`: files and folders that nobody else can have written
//! - `rng`: seeded random numbers
//! - [`sha256`]: SHA-256 digests as text
//! - `text`: text in UTF-8 or UTF-16, with or without a byte order mark
//! - `temporary`: temporary files, which do not outlive their process

pub(crate) mod allocation;
pub mod atomic_file;
pub(crate) mod below;
pub mod csv;
pub(crate) mod file_id;
pub(crate) mod imagenet;
pub(crate) mod input_file;
pub(crate) mod listed;
pub(crate) mod npy;
pub mod npz;
pub(crate) mod panic;
pub(crate) mod parallel;
pub(crate) mod pickle;
pub(crate) mod private;
pub(crate) mod rng;
pub mod sha256;
pub(crate) mod temporary;
pub(crate) mod text;
