//! TODO.

pub mod bilinear;
pub mod cpu;
pub mod cuda;
pub mod device;
pub mod graph;
pub mod plan;
pub mod session;
pub mod tensor;
