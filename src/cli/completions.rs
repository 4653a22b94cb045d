//! `msdcam completions`: completion scripts of shells.

use clap_complete::Shell;

use super::output::Output;

/// Print the completion script of a shell
///
/// The script goes to standard output. Where a shell looks for it depends on its configuration; the examples are usual
/// places. PowerShell and Elvish read it at the start: `msdcam completions powershell | Out-String | Invoke-Expression`
/// in $PROFILE, `eval (msdcam completions elvish | slurp)` in rc.elv.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Shell that reads the script
    shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// When standard output cannot be written.
pub fn run(args: &Args) -> crate::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::definitions(), "msdcam", &mut script);
    Output::default().print(&String::from_utf8_lossy(&script))
}
