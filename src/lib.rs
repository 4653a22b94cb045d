//! Where each exit of a Multi-Scale Dense Network looks when it classifies an image.
//!
//! Data flows one way:
//! image → tensor → [`msdnet`] network → [`graph`] plan → device → maps ([`cam`], [`heat`], [`boxes`]) → pictures ([`render`]).

pub mod boxes;
pub mod cam;
pub mod checksum;
pub mod cpu;
pub mod cuda;
pub mod dataset;
pub mod device;
pub mod error;
pub mod evaluation;
pub mod files;
pub mod graph;
pub mod heat;
pub mod image;
pub mod msdnet;
pub mod npz;
pub mod parallel;
pub mod picture;
pub mod render;
pub mod report;
pub mod resize;
pub mod run;
pub mod tensor;

pub use error::{Error, Result};
pub use tensor::{Shape, Tensor};
