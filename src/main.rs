//! The `msdcam` program: a thin shell around the library's command line.

mod reserve;

use std::time::Instant;

#[global_allocator]
static ALLOCATOR: reserve::WithReserve = reserve::WithReserve::new();

fn main() -> std::process::ExitCode {
    let start = Instant::now();
    ALLOCATOR.fill();
    reserve::share_arenas();
    msdcam::cli::main(std::env::args_os(), start).into()
}
