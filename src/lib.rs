//! Where each exit of a Multi-Scale Dense Network looks when it classifies an image.
//!
//! Data flows one way:
//! image → tensor → [`msdnet`] network → [`graph`] plan → device → maps ([`cam`], [`heat`], [`boxes`]) → pictures ([`render`]).

#[doc(hidden)]
pub mod cli;
pub mod dataset;
pub mod engine;
pub mod error;
pub mod evaluation;
pub mod explain;
pub mod faithfulness;
pub mod imaging;
pub mod model;
pub mod render;
pub mod report;
pub mod run;
pub mod util;

pub use crate::engine::tensor::{Shape, Tensor};
pub use crate::error::{Error, Result};
