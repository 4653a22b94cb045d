//! The `msdcam` program: a thin shell around the library's command line.

use std::time::Instant;

fn main() -> std::process::ExitCode {
    msdcam::cli::main(Instant::now())
}
