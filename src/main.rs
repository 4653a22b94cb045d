//! The command line: parse, run, report the error, set the exit code.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
