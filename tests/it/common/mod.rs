//! What tests share: golden answers, the reference implementation, networks and devices.

#[macro_use]
pub mod skipped;
#[macro_use]
pub mod process;

pub mod cifar;
pub mod close;
pub mod golden;
pub mod gpu;
pub mod nets;
pub mod port_options;
pub mod random;
pub mod reference;
pub mod run;
