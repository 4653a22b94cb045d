//! The program from outside: output, files and exit codes.

mod bad_input;
mod bench;
mod classify;
mod colors;
mod completions;
mod data_sets;
mod doctor;
mod evaluate;
mod examples;
mod explain;
mod explain_methods;
mod explain_questions;
mod explain_refusals;
mod faithfulness;
mod files;
mod fit;
#[cfg(target_os = "linux")]
mod interrupted;
mod man;
#[cfg(target_os = "linux")]
mod memory;
mod methods;
mod onnx;
mod output_folder;
mod pictures;
pub mod program;
mod report;
mod run;
mod run_arrays;
mod run_refused;
mod run_select;
mod run_shards;
mod run_stopped;
mod saved_checkpoints;
mod signals;
mod snapshot;
mod streams;
mod texts;
