//! The model: its shape, and its two published key layouts.

pub mod checkpoint;
pub mod config;
pub mod infer;
pub mod names;
pub mod network;
pub mod parts;
pub mod validate;
pub mod weights;

pub use config::Config;
pub use network::{Exit, Network};
