//! The commands, one file each.

mod convert;
mod inspect;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Convert(convert::Args),
    Inspect(inspect::Args),
}

/// Parses the arguments, runs the command and returns its exit code.
pub fn main() -> std::process::ExitCode {
    let result = match Cli::parse().command {
        Command::Convert(args) => convert::run(args),
        Command::Inspect(args) => inspect::run(args),
    };
    if let Err(e) = result {
        eprintln!("error: {e}");
        return e.exit_code().into();
    }
    std::process::ExitCode::SUCCESS
}
