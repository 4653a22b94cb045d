//! The command line: one module per command, and the options and output that they share.

mod bench;
mod classify;
mod color;
mod columns;
mod completions;
mod convert;
mod data;
mod doctor;
mod drawn_names;
mod evaluate;
mod examples;
mod exit_counts;
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
mod man;
mod merge;
mod method_args;
mod methods;
mod model;
mod output;
mod paragraph;
mod records;
mod report;
mod run;
mod serve;
mod signals;
mod table;
mod timings;
mod values;

use std::ffi::OsString;
use std::path::Path;
use std::time::Instant;

use crate::error::{path_text, printable};
use crate::util::{panic, parallel};
use clap::{CommandFactory, FromArgMatches, Parser};
use exit_status::{Outcome, exit_code};

#[doc(hidden)]
pub use explain::drawing;

/// Show where an image classifier looks: Grad-CAM and other methods at every exit of a network
#[derive(Debug, Parser)]
#[command(version, styles = color::HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

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
    Serve(serve::Args),
    Methods(methods::Args),
    Doctor(doctor::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// The arguments of the program: those of its commands, with the end of each help text.
fn definitions() -> clap::Command {
    let commands = Cli::command().mut_subcommands(|command| {
        let ending = examples::ending(Some(command.get_name()));
        command.after_help(ending)
    });
    commands.after_help(examples::ending(None))
}

/// Parses the arguments of the program, its name first.
fn parse(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Cli, clap::Error> {
    let mut definitions = definitions();
    let matches = definitions.try_get_matches_from_mut(arguments)?;
    Cli::from_arg_matches(&matches).map_err(|e| e.format(&mut definitions))
}

/// Runs the command that `arguments` name, the program's name first, and returns the exit code for the process.
/// `start` is the start of the program, from which `--timings` counts.
///
/// For programs: it catches signals and panics of the process, which is to end afterwards.
pub fn main(arguments: impl IntoIterator<Item = OsString>, start: Instant) -> u8 {
    signals::watch();
    panic::report_in_one_line();
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let command = match parse(&arguments) {
        Ok(cli) => cli.command,
        Err(message) => return print_message(&message, &arguments),
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
        Command::Serve(args) => serve::run(&args),
        Command::Methods(args) => methods::run(&args).map(|()| Outcome::AllDone),
        Command::Doctor(args) => doctor::run(&args).map(|()| Outcome::AllDone),
        Command::Completions(args) => completions::run(&args).map(|()| Outcome::AllDone),
        Command::Man(args) => man::run(&args).map(|()| Outcome::AllDone),
    };
    match outcome {
        Ok(outcome) => outcome.exit_code(),
        Err(error) => {
            output::error(&error);
            exit_code(&error)
        }
    }
}

/// The arguments of an `explain` command, the program's name and the command's left out.
///
/// # Errors
/// As a usage error of the command.
fn explain_arguments(arguments: Vec<OsString>) -> crate::Result<explain::Args> {
    let all: Vec<OsString> = ["msdcam", "explain"].map(OsString::from).into_iter().chain(arguments).collect();
    match parse(&all) {
        Ok(Cli { command: Command::Explain(args) }) => Ok(*args),
        Ok(_) => unreachable!("the command is explain"),
        Err(message) => Err(crate::Error::Usage(usage_error(&message, &all))),
    }
}

/// Prints clap's message about `arguments`: help, version or a usage error.
fn print_message(message: &clap::Error, arguments: &[OsString]) -> u8 {
    use clap::error::ErrorKind;
    let is_help = matches!(
        message.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    if !is_help {
        output::note(&usage_error(message, arguments));
        return 2;
    }
    match message.print() {
        Err(e) if !message.use_stderr() && e.kind() != std::io::ErrorKind::BrokenPipe => {
            let error = crate::Error::cannot_write(Path::new("standard output"), e);
            output::error(&error);
            exit_code(&error)
        }
        _ if message.use_stderr() => 2,
        _ => 0,
    }
}

/// The text of a usage error on one line. It repeats arguments as they are, so they are parsed again in
/// their printable form.
fn usage_error(message: &clap::Error, arguments: &[OsString]) -> String {
    let printable_arguments = arguments.iter().map(|argument| path_text(Path::new(argument)));
    let text = match parse(printable_arguments) {
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
