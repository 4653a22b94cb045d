//! `msdcam faithfulness`: how much the maps have to do with what the network does.

mod boxes;
mod charts;
mod files;
mod objects;
mod randomise;
mod report;
mod run;
mod settings;
mod table;

use std::path::PathBuf;

use crate::explain::Method;
use crate::{Error, Result};
use objects::ObjectArgs;
use report::Report;
use settings::SettingArgs;

use super::data::DataArgs;
use super::exit_status::Outcome;
use super::exits::ExitArgs;
use super::model::ModelArgs;
use super::output;
use super::output::Output;
use super::timings::Timings;

/// Measure how faithful heat maps are: does the network need what they show?
///
/// For each method and exit: average drop, increase and gain; complexity, coherency and ADCC;
/// insertion and deletion curves; ROAD; and agreement with the last exit's maps. A map that is
/// empty, constant or not finite says nothing about any pixel: its image is counted and left out of
/// that row. An image that cannot be used fails alone: the others are done, and the exit code is 3.
#[derive(Debug, clap::Args)]
#[command(after_help = super::EXIT_CODES)]
pub struct Args {
    #[command(flatten)]
    data: DataArgs,
    /// Folder for faithfulness.csv, curves.csv, road.csv, randomisation.csv, charts and, last,
    /// manifest.json
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    #[command(flatten)]
    exits: ExitArgs,
    /// Methods, with commas between them: those of `msdcam explain`
    #[arg(long = "method", value_name = "LIST", default_value = "grad-cam", value_delimiter = ',')]
    methods: Vec<Method>,
    /// The class that is explained, and whose probability is watched: predicted (by each exit
    /// itself), final (predicted by the last exit), label (the image's own), or one by name or
    /// number
    #[arg(
        long,
        value_name = "predicted|final|label|NAME|INDEX",
        default_value = "predicted",
        allow_hyphen_values = true
    )]
    class: String,
    /// Also the cascading randomisation check, on the first N images [default: 50]: the weights of
    /// the exit's head, then of one block after another, are drawn anew; a map that stays alike says
    /// nothing about what the network learned
    #[arg(
        long,
        visible_alias = "randomize",
        value_name = "N",
        num_args = 0..=1,
        default_missing_value = "50",
        value_parser = clap::value_parser!(u16).range(1..=4096)
    )]
    randomise: Option<u16>,
    #[command(flatten)]
    settings: SettingArgs,
    #[command(flatten)]
    objects: ObjectArgs,
    /// One JSON object on standard output instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelArgs,
}

/// Measures; prints a table or JSON, and writes files.
pub fn run(args: Args) -> Result<Outcome> {
    let model = args.model.load(&Timings::default())?;
    let study = settings::study(&args, &model)?;
    let settings = args.settings.settings(&model)?;
    let dataset = args.data.open(&model.labels)?;
    let mut objects = args.objects.open(&model)?;
    let measured = run::all_images(&args, &model, &dataset, &study, &settings, objects.as_mut())?;
    if let Some(unknown) = objects.as_ref().and_then(|objects| objects.unknown()) {
        output::note(&unknown);
    }
    if let Some(summary) = measured.tally.summary() {
        output::note(&summary);
    }
    let outcome = measured.tally.outcome();
    if outcome == Outcome::NoneDone {
        return Ok(outcome);
    }
    let randomisation = randomise::check(&args, &model, &study, &settings, &measured)?;
    let report = Report::new(&args, &model, &study, &settings, objects, measured, randomisation);
    if let Some(folder) = &args.output {
        files::write(folder, &report)?;
    }
    let text = if args.json { report.json() + "\n" } else { table::report(&report) };
    Output::default().print(&text)?;
    Ok(outcome)
}

/// Reports an image that could not be used.
fn report_failure(error: &Error) {
    output::error(error);
}
