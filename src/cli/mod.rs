//! The command line: one module per command, and the options and output that they share.

mod bench;
mod classify;
mod columns;
mod convert;
mod data;
mod drawn_names;
mod evaluate;
mod exit_status;
mod exits;
mod explain;
mod faithfulness;
mod figure;
#[doc(hidden)]
pub mod fuzzing;
mod images;
mod inspect;
mod isolation;
mod merge;
mod method_args;
mod model;
mod output;
mod records;
mod report;
mod run;
mod signals;
mod table;
mod timings;
mod values;

use std::process::ExitCode;
use std::time::Instant;

use crate::error::{path_text, printable};
use crate::util::{panic, parallel};
use clap::Parser;
use exit_status::{Outcome, exit_code};

/// Explain the predictions of Multi-Scale Dense Networks at each of their exits
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 success, 2 usage error, 3 some images failed, 4 input refused (weights or all images), \
5 device error, 6 cannot write output, 130 stopped by Ctrl-C, 143 stopped by SIGTERM";

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

/// Runs the command that the arguments name and returns its exit code. `start` is the start of the
/// program, from which `--timings` counts.
pub fn main(start: Instant) -> ExitCode {
    signals::watch();
    panic::report_in_one_line();
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(message) => return print_message(&message),
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
            ExitCode::from(exit_code(&error))
        }
    }
}

/// Prints clap's message: help, version or a usage error.
fn print_message(message: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    let is_help = matches!(
        message.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    if !is_help {
        output::note(&usage_error(message));
        return ExitCode::from(2);
    }
    match message.print() {
        Err(e) if !message.use_stderr() && e.kind() != std::io::ErrorKind::BrokenPipe => {
            let error = crate::Error::cannot_write(std::path::Path::new("standard output"), e);
            output::error(&error);
            ExitCode::from(exit_code(&error))
        }
        _ => ExitCode::from(if message.use_stderr() { 2 } else { 0 }),
    }
}

/// The text of a usage error on one line. It repeats arguments as they are, so they are parsed again in
/// their printable form.
fn usage_error(message: &clap::Error) -> String {
    let arguments = std::env::args_os().map(|argument| path_text(std::path::Path::new(&argument)));
    let text = match Cli::try_parse_from(arguments) {
        Err(again) if again.kind() == message.kind() => again.to_string(),
        _ => message.to_string(),
    };
    let mut line = String::new();
    for part in text.lines().map(str::trim).filter(|part| !part.is_empty() && !part.starts_with("Usage: ")) {
        let help = part.strip_prefix("For more information, ").and_then(|help| help.strip_suffix('.'));
        let continues = line.ends_with(':') || part.starts_with('[');
        line += if line.is_empty() {
            ""
        } else if continues {
            " "
        } else {
            "; "
        };
        line += help.unwrap_or(part);
    }
    printable(&line)
}
