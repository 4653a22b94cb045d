//! The tensor engine: graphs of tensor operations, plans for their execution, and the devices that
//! execute them. It knows nothing about models, files or images.
//!
//! | module | job |
//! |---|---|
//! | [`graph`] | nodes, ops with their vector-Jacobian products, differentiation, rewrites |
//! | [`plan`] | a graph laid out for execution: levels, jobs, steps, memory |
//! | [`session`] | the trait of a plan that is ready to run on a device |
//! | [`device`] | the choice of a device: [`cpu`] or [`cuda`] |
//! | [`tensor`] | shapes and tensors |
//! | [`bilinear`] | bilinear interpolation of a map, the definition that both devices follow |

pub mod bilinear;
pub mod cpu;
pub mod cuda;
pub mod device;
pub mod graph;
pub mod plan;
pub mod session;
pub mod tensor;
