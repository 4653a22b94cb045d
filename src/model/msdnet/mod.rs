//! MSD-Net (Huang et al. 2018): architecture, graph, and the tensor names of its two PyTorch ports.

pub mod builder;
pub mod check_tensors;
pub mod config;
pub mod infer;
pub mod layers;
mod pytorchcv_names;
pub mod recognize;
pub mod tensor_names;
pub mod validate;

pub use builder::{build, outline};
pub use check_tensors::confirm;
pub use config::{Config, usual_normalization};
