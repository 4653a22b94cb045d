//! `msdcam man`: manual pages.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use clap::builder::StringValueParser;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::examples::{EXIT_CODES, of};
use super::output::Output;
use super::values::completed;
use crate::error::path_text;
use crate::util::atomic_file::{check_writable, make_folder, write_atomically};
use crate::util::input_file;
use crate::{Error, Result};

/// Print a manual page, or write all of them
///
/// The pages say what --help says. Without a command it is that of the program, msdcam(1).
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Command whose page is printed
    #[arg(conflicts_with = "output", value_parser = completed(StringValueParser::new(), command_names), hide_possible_values = true)]
    command: Option<String>,
    /// Write the pages of the program and of every command into this folder, created if missing: msdcam.1,
    /// msdcam-explain.1 and so on, which replace earlier ones; files of others are refused
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// Names of commands, which shells complete.
fn command_names() -> Vec<&'static str> {
    static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
        super::definitions().get_subcommands().map(|command| command.get_name().to_owned()).collect()
    });
    NAMES.iter().map(String::as_str).collect()
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
    let file = |command: &clap::Command| {
        folder.join(format!("{}.1", command.get_display_name().unwrap_or(command.get_name())))
    };
    commands.iter().try_for_each(|command| check_own(&file(command)))?;
    for command in &commands {
        write_atomically(&file(command), page(command)?.as_bytes())?;
    }
    Output::default().print(&format!("{}: {} manual pages\n", path_text(folder), commands.len()))
}

/// The manual in the title line of every page.
const MANUAL: &str = "\"msdcam manual\"";

/// Refuses a file that is there and is not a page of this program.
///
/// # Errors
/// [`Error::Usage`] with its name.
fn check_own(file: &Path) -> Result<()> {
    let Ok(about) = file.symlink_metadata() else { return Ok(()) };
    let mut start = [0; 256];
    let length = match about.is_file() {
        true => input_file::open(file).and_then(|mut file| file.read(&mut start)).unwrap_or(0),
        false => 0,
    };
    let title = start[..length].split(|&byte| byte == b'\n').next().unwrap_or_default();
    if title.starts_with(b".TH ") && title.ends_with(MANUAL.as_bytes()) {
        return Ok(());
    }
    let cause = "is there, and not a manual page of msdcam; choose another folder with -o";
    Err(Error::usage(format!("{}: {cause}", path_text(file))))
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
    rendered.map_err(|e: std::io::Error| Error::cannot_write(Path::new("memory"), e))?;
    let name = command.get_display_name().unwrap_or(command.get_name());
    // No date: it would be that of the build, and the same program would print other pages.
    let title = format!(".TH {name} 1 \"\" \"msdcam {}\" {MANUAL}\n", env!("CARGO_PKG_VERSION"));
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
