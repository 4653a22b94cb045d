//! Arguments of `msdcam evaluate`.

use std::path::PathBuf;

use super::early_exit;
use crate::cli::data::DataArgs;
use crate::cli::exits::ExitArgs;
use crate::cli::model::ModelArgs;

/// Evaluate every exit on a data set: accuracy, calibration, hardness, budgets
///
/// A data set is a CIFAR-10 or CIFAR-100 file, a folder of them, or a folder with a subfolder for
/// each class, which is the network's of that name or number. An image that cannot be used is
/// reported and left out, and the exit code is 3.
///
/// Budgets are those of the MSDNet authors: thresholds are determined on every second image and
/// applied to the others. With --early-exit or --budget, the images are run again with early exit,
/// and the savings are measured.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub data: DataArgs,
    /// Output folder for evaluation.json, hardness.csv, hardness.json, confusion.csv and dynamic.txt
    #[arg(short, long, value_name = "DIR", alias = "save")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub exits: ExitArgs,
    /// Table to print: anytime (a line per exit) or dynamic (a line per budget) [default: both, and
    /// more]
    #[arg(long, value_enum, value_name = "TABLE")]
    pub evalmode: Option<EvalMode>,
    /// Instead of tables, list the correct exits of each image: `[1, 0, 1] ID CLASS`, 1 for correct
    #[arg(long)]
    pub list: bool,
    /// Restrict the list to the images of one class, by name or index; implies --list
    #[arg(long, value_name = "CLASS", alias = "cl")]
    pub class: Option<String>,
    /// Early exit at the first exit whose confidence reaches a threshold: one for all exits, above 0
    /// and at most 1, or a JSON file with a list of one per exit (null: no image stops there)
    #[arg(long, value_name = "P|FILE", conflicts_with = "budget", allow_hyphen_values = true)]
    pub early_exit: Option<String>,
    /// Early exit with an average budget of multiply-adds per image, e.g. 50M: thresholds are
    /// determined on every second image and applied to the others
    #[arg(long, value_name = "MADDS", value_parser = early_exit::multiply_adds)]
    pub budget: Option<f64>,
    /// Images per batch
    #[arg(short, long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub batch_size: u16,
    /// Print one JSON object instead of tables; with --list, one per line
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub model: ModelArgs,
}

/// Evaluation modes, in the spelling of the authors' code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum EvalMode {
    Anytime,
    Dynamic,
}
