//! `msdcam merge`: merges all shards of a run.

use std::path::PathBuf;

use crate::run::RealDisk;
use crate::{Error, Result, run};

use super::exit_status::Outcome;
use super::output::Output;

/// Merge the shards of `msdcam explain --shard` into one run
///
/// The result is byte for byte that of a run of the whole set. Arrays are copied; pictures become hard links to those of
/// the shards, or copies where the file system does not support links. Missing, unfinished, duplicate
/// or foreign shards are refused by name.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folders that hold the shards
    #[arg(required = true, value_name = "DIR")]
    shards: Vec<PathBuf>,
    /// Folder of the merged run [default: the shards' folder, if they share one]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// Merges the shards and prints the counts of the whole run.
pub fn run(args: Args) -> Result<Outcome> {
    let out = match (args.output, &args.shards[..]) {
        (Some(out), _) => out,
        (None, [only]) => only.clone(),
        (None, _) => {
            return Err(Error::usage(
                "the shards are in several folders: name the folder of the merged run with -o",
            ));
        }
    };
    let summary = run::merge(&RealDisk, &args.shards, &out)?;
    Output::default().print(&super::run::summary_line(&summary, &out))?;
    Ok(Outcome::of(summary.images, summary.failed))
}
