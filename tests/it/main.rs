//! The integration tests, linked once: each module is about one part of the library or the program.
//!
//! `cargo test --test it cuda::` runs the tests of one module.

#[macro_use]
mod common;

mod allocations;
mod any_network;
mod architecture;
mod batches;
mod browser;
mod checkpoint;
mod checkpoint_damage;
mod cifar_python;
mod classifier;
mod cli;
mod cuda;
mod cuda_failures;
mod dataset;
mod derived;
mod docs;
mod evaluation;
mod faithfulness;
mod faithfulness_randomization;
mod film_strip;
mod fuzz_corpus;
mod image_input;
mod in_flight;
mod infer;
mod kernels;
mod methods;
mod misuse;
mod names;
mod network;
mod odd_images;
mod onnx;
mod ops;
mod packages;
mod passes;
mod plan;
mod progress;
mod public_api;
mod random_graphs;
mod reference;
mod resizes;
mod run;
mod serve;
mod shapes;
mod standin;
mod styles;
mod weights;
