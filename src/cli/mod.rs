//! The commands, one file each.

mod bench;
mod classify;
mod convert;
mod data;
mod evaluate;
mod exit_status;
mod exits;
mod explain;
mod faithfulness;
mod figure;
mod images;
mod inspect;
mod merge;
mod method_args;
mod model;
mod output;
mod records;
mod report;
mod run;
mod table;
mod timings;

use std::process::ExitCode;
use std::time::Instant;

use crate::util::parallel;
use clap::Parser;
use exit_status::Outcome;

/// See where each exit of a Multi-Scale Dense Network looks
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 all done, 2 usage, 3 some of several images failed, 4 input refused (no image was usable, \
or the weights are not), 5 device, 6 cannot write, 130 stopped by Ctrl-C (143: by SIGTERM)";

#[derive(Debug, clap::Subcommand)]
enum Command {
    Explain(Box<explain::Args>),
    Merge(merge::Args),
    Classify(classify::Args),
    Evaluate(evaluate::Args),
    Faithfulness(Box<faithfulness::Args>),
    Bench(bench::Args),
    Convert(convert::Args),
    Inspect(inspect::Args),
    Report(report::Args),
    Figure(figure::Args),
}

/// Parses the arguments, runs the command and returns its exit code. The program began at `start`.
pub fn main(start: Instant) -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(told) => return tell(&told),
    };
    let outcome = match command {
        Command::Explain(args) => explain::run(*args, start),
        Command::Merge(args) => merge::run(args),
        Command::Classify(args) => classify::run(args),
        Command::Evaluate(args) => evaluate::run(args),
        Command::Faithfulness(args) => faithfulness::run(*args),
        Command::Bench(args) => bench::run(args).map(|()| Outcome::AllDone),
        Command::Convert(args) => convert::run(args).map(|()| Outcome::AllDone),
        Command::Inspect(args) => inspect::run(args).map(|()| Outcome::AllDone),
        Command::Report(args) => report::run(args).map(|()| Outcome::AllDone),
        Command::Figure(args) => figure::run(args).map(|()| Outcome::AllDone),
    };
    match outcome {
        Ok(outcome) => ExitCode::from(outcome.exit_code()),
        Err(error) => {
            output::error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

/// Prints clap's help, version or usage error.
fn tell(told: &clap::Error) -> ExitCode {
    match told.print() {
        Err(e) if !told.use_stderr() && e.kind() != std::io::ErrorKind::BrokenPipe => {
            let error = crate::Error::write(std::path::Path::new("standard output"), e);
            output::error(&error);
            ExitCode::from(error.exit_code())
        }
        _ => ExitCode::from(if told.use_stderr() { 2 } else { 0 }),
    }
}
