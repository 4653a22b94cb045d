//! `msdcam man`: manual pages.

use std::path::PathBuf;

use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::examples::{EXIT_CODES, of};
use super::output::Output;
use crate::error::path_text;
use crate::util::atomic_file::{check_writable, make_folder, write_atomically};
use crate::{Error, Result};

/// Print a manual page, or write all of them
///
/// The pages say what --help says. Without a command it is that of the program, msdcam(1).
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Command whose page is printed
    #[arg(conflicts_with = "output")]
    command: Option<String>,
    /// Write the pages of the program and of every command into this folder, created if missing: msdcam.1,
    /// msdcam-explain.1 and so on, which replace earlier ones
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// Prints a page, or writes all of them and prints how many.
///
/// # Errors
/// When there is no such command, or the output cannot be written.
pub fn run(args: &Args) -> Result<()> {
    let mut program = super::definitions().disable_help_subcommand(true);
    program.build();
    let Some(folder) = &args.output else {
        let command = match &args.command {
            None => &program,
            Some(name) => program.find_subcommand(name).ok_or_else(|| {
                let names: Vec<&str> = program.get_subcommands().map(clap::Command::get_name).collect();
                Error::usage(format!("command '{name}': there are {}", names.join(", ")))
            })?,
        };
        return Output::default().print(&page(command)?);
    };
    check_writable(folder)?;
    make_folder(folder)?;
    let commands: Vec<&clap::Command> = std::iter::once(&program).chain(program.get_subcommands()).collect();
    for command in &commands {
        let name = command.get_display_name().unwrap_or(command.get_name());
        write_atomically(&folder.join(format!("{name}.1")), page(command)?.as_bytes())?;
    }
    Output::default().print(&format!("{}: {} manual pages\n", path_text(folder), commands.len()))
}

/// The manual page of a command that was built.
fn page(command: &clap::Command) -> Result<String> {
    let is_program = command.get_subcommands().next().is_some();
    let man = Man::new(command.clone().mut_args(with_aliases));
    let mut text = Vec::new();
    let rendered = (|| {
        man.render_name_section(&mut text)?;
        synopsis(command).to_writer(&mut text)?;
        man.render_description_section(&mut text)?;
        man.render_options_section(&mut text)?;
        if is_program {
            man.render_subcommands_section(&mut text)?;
        }
        ending(command, is_program).to_writer(&mut text)
    })();
    rendered.map_err(|e: std::io::Error| Error::cannot_write(std::path::Path::new("memory"), e))?;
    let name = command.get_display_name().unwrap_or(command.get_name());
    // No date: it would be that of the build, and the same program would print other pages.
    let title = format!(".TH {name} 1 \"\" \"msdcam {}\" \"msdcam manual\"\n", env!("CARGO_PKG_VERSION"));
    Ok(title + &tidied(&String::from_utf8_lossy(&text)))
}

/// An option whose help names its other spellings, which the page would leave out.
fn with_aliases(argument: clap::Arg) -> clap::Arg {
    let aliases: Vec<String> =
        argument.get_visible_aliases().unwrap_or_default().iter().map(|alias| format!("--{alias}")).collect();
    let help = argument.get_long_help().or(argument.get_help()).map(ToString::to_string);
    match (help, aliases.is_empty()) {
        (Some(help), false) => argument.help(format!("{help} [also {}]", aliases.join(", "))),
        _ => argument,
    }
}

/// The sections with what every one of them defines, an apostrophe, at the start only, and with one space for a line break on
/// each side of an empty line, on which linters of manual pages insist.
fn tidied(sections: &str) -> String {
    let is_definition = |line: &str| line.starts_with(".ie ") || line.starts_with(".el ");
    let lines = sections.lines().enumerate().filter(|(i, line)| *i < 2 || !is_definition(line));
    let text: String = lines.flat_map(|(_, line)| [line, "\n"]).collect();
    text.replace("\n.br\n\n.br\n", "\n.sp\n")
}

/// The usage line of the help, which is shorter than all options.
fn synopsis(command: &clap::Command) -> Roff {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.strip_prefix("Usage: ").unwrap_or(&usage);
    let name = command.get_bin_name().unwrap_or(command.get_name());
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]);
    match usage.strip_prefix(name) {
        Some(rest) => roff.text([bold(name), roman(rest)]),
        None => roff.text([roman(usage)]),
    };
    roff
}

/// Exit codes, examples, and for a command the program's page.
fn ending(command: &clap::Command, is_program: bool) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in EXIT_CODES {
        roff.control("TP", ["6"]).text([bold(code.to_string())]).text([roman(meaning)]);
    }
    roff.control("SH", ["EXAMPLES"]);
    for (line, does) in of((!is_program).then_some(command.get_name())) {
        roff.control("TP", ["4"]).text([bold(*line)]).text([roman(*does)]);
    }
    if !is_program {
        roff.control("SH", ["SEE ALSO"]).text([bold("msdcam"), roman("(1)")]);
    }
    roff
}
