//! `msdcam evaluate`: accuracy of every exit on a data set, and the effect of early exit.

mod args;
pub(super) mod early_exit;
mod files;
mod predictions;
mod report;
mod table;
mod timing;

use crate::Result;
use crate::dataset::Dataset;
use crate::engine::plan::Order;
use crate::error::printable;
use crate::evaluation::list_line;
use crate::explain::{Classifier, class_of};
use crate::run::OutputFolder;
use crate::util::atomic_file::check_writable;
use predictions::Predictions;
use report::EvaluationReport;

use super::exit_status::Outcome;
use super::output::Output;
use super::timings::Timings;

pub use args::Args;

/// Evaluates a data set, writes the files and prints tables or JSON.
pub fn run(args: Args) -> Result<Outcome> {
    args.output.as_deref().map_or(Ok(()), check_writable)?;
    let timings = Timings::default();
    let mut model = args.model.load(&timings)?;
    let exits = args.exits.resolve(model.exits.len())?;
    let class = args.class.as_deref().map(|class| class_of(class, &model.labels, &[])).transpose()?;
    let dataset = args.data.open_labeled(&mut model)?;
    let batch = usize::from(args.batch_size).min(dataset.len());
    let mut classifier = Classifier::new(&model.model, &exits, Order::ByExit, &model.device, batch)?;
    let rule = early_exit::rule(args.early_exit.as_deref(), args.budget, &classifier.multiply_adds())?;
    let images = || dataset.files();
    let folder = args.output.as_ref().map(|path| OutputFolder::claim(path, files::EVALUATION, images()));
    let folder = folder.transpose()?;
    model.announce();
    model.announce_notes(classifier.session().notes());

    let predictions = predictions::all_exits(&model, &dataset, &mut classifier, &timings)?;
    if predictions.outcomes.is_empty() {
        predictions.note_failures();
        return Ok(predictions.tally.outcome());
    }
    let mut report = EvaluationReport::new(&model, &mut classifier, &exits, &dataset, &predictions)?;
    report.early_exit = rule
        .map(|rule| early_exit::run(&model, &dataset, &mut classifier, &predictions, &rule))
        .transpose()?;
    predictions.note_failures();
    if let Some(folder) = folder {
        files::write(folder, &report, &dataset, &predictions)?;
    }
    if args.list || class.is_some() {
        print_list(&args, &dataset, &predictions, class)?;
    } else if args.json {
        Output::default().print(&(report.json() + "\n"))?;
    } else if args.output.is_none() || !model.quiet {
        Output::default().print(&table::report(&report, args.evalmode))?;
    }
    Ok(predictions.tally.outcome())
}

/// Prints the correct exits of each image, or of each image of `class`.
fn print_list(args: &Args, dataset: &Dataset, predictions: &Predictions, class: Option<usize>) -> Result<()> {
    let mut output = Output::default();
    let rows =
        predictions.rows(dataset).filter(|(_, outcome)| class.is_none_or(|class| outcome.label == class));
    for (id, outcome) in rows {
        let classes = dataset.classes().unwrap_or_default();
        let line = match args.json {
            true => files::hardness_json(&id, outcome, classes).to_string(),
            false => printable(&list_line(&id, outcome, classes)),
        };
        output.print(&(line + "\n"))?;
        if output.is_closed() {
            break;
        }
    }
    Ok(())
}
