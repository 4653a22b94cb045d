//! `msdcam merge`: one run of all shards.

use std::path::PathBuf;

use crate::run::RealDisk;
use crate::{Error, Result, run};

use super::exit_status::Outcome;
use super::output::Output;

/// Make one run of the shards that `msdcam explain --shard` did
///
/// The result is, byte for byte, that of a run that was never divided. Pictures become links to the
/// shards' where the file system has them, copies elsewhere. Shards that are missing, not finished,
/// there twice or of another run are refused by name.
#[derive(Debug, clap::Args)]
#[command(after_help = super::EXIT_CODES)]
pub struct Args {
    /// Folders with all shards
    #[arg(required = true, value_name = "DIR")]
    shards: Vec<PathBuf>,
    /// Folder for the whole [default: the shards' own, if they are all in one]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// Merges the shards and says what they are together.
pub fn run(args: Args) -> Result<Outcome> {
    let out = match (args.output, &args.shards[..]) {
        (Some(out), _) => out,
        (None, [only]) => only.clone(),
        (None, _) => {
            return Err(Error::usage("the shards are in several folders: -o says where to merge them"));
        }
    };
    let summary = run::merge(&RealDisk, &args.shards, &out)?;
    Output::default().print(&super::run::told(&summary, &out))?;
    Ok(Outcome::of(summary.images, summary.failed))
}
