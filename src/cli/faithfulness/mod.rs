//! `msdcam faithfulness`: faithfulness metrics of heatmaps over a data set.

mod args;
mod charts;
mod files;
mod measured;
pub(super) mod object_boxes;
mod objects;
mod randomize;
mod report;
mod run;
mod settings;
mod table;

use crate::Result;
use crate::run::OutputFolder;
use crate::util::atomic_file::check_writable;
use report::FaithfulnessReport;

use super::exit_status::Outcome;
use super::output;
use super::output::Output;
use super::timings::Timings;

pub use args::Args;

/// Evaluates the maps of a data set, writes the files and prints a table or JSON.
pub fn run(args: Args) -> Result<Outcome> {
    args.output.as_deref().map_or(Ok(()), check_writable)?;
    let mut model = args.model.load(&Timings::default())?;
    let request = args.request(&model)?;
    let settings = args.settings.settings(&model)?;
    let dataset = args.data.open(&mut model)?;
    let mut objects = args.objects.open(&model)?;
    let inputs = dataset.files().chain(args.objects.file());
    let folder = args.output.as_ref().map(|path| OutputFolder::claim(path, files::FAITHFULNESS, inputs));
    let folder = folder.transpose()?;
    let measured = run::all_images(&args, &model, &dataset, &request, &settings, objects.as_mut())?;
    if let Some(note) = objects.as_ref().and_then(|objects| objects.unused_boxes()) {
        output::note(&note);
    }
    if let Some(summary) = measured.tally.summary() {
        output::note(&summary);
    }
    let outcome = measured.tally.outcome();
    if outcome == Outcome::NoneDone {
        return Ok(outcome);
    }
    let randomization = randomize::check(&args, &model, &request, &settings, &measured.sample)?;
    let report =
        FaithfulnessReport::new(&args, &model, &request, &settings, objects, measured, randomization);
    if let Some(folder) = folder {
        files::write(folder, &report)?;
    }
    if args.json {
        Output::default().print(&(report.json() + "\n"))?;
    } else if args.output.is_none() || !model.quiet {
        Output::default().print(&table::report(&report))?;
    }
    Ok(outcome)
}
