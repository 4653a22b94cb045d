//! The model: its shape, and its two published key layouts.

pub mod checkpoint;
pub mod config;
pub mod confirm;
pub mod convert;
pub mod file;
pub mod infer;
pub mod inspect;
pub mod names;
pub mod network;
pub mod parts;
pub mod validate;
pub mod weights;

mod built_in;
mod load;

pub use built_in::{built_in_sha256, built_in_weights};
pub use config::Config;
pub use confirm::confirm;
pub use load::load;
pub use network::{Exit, Network};
pub use weights::Weights;
