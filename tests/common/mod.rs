//! What the engine's tests share.
#![allow(dead_code)] // each test file uses a part of it

#[macro_use]
pub mod skipped;

pub mod close;
pub mod golden;
pub mod gpu;
pub mod nets;
pub mod random;
pub mod reference;
pub mod run;
