//! The command line: parse, run, report the error, set the exit code.

mod cli;

use std::time::Instant;

fn main() -> std::process::ExitCode {
    cli::main(Instant::now())
}
