//! `msdcam evaluate`: how good each exit is on a data set, and what early exit gives.

mod clock;
mod early;
mod files;
mod pass;
mod table;

use std::path::PathBuf;

use crate::dataset::Dataset;
use crate::engine::plan::Order;
use crate::evaluation::{Evaluation, list_line};
use crate::explain::{Classifier, Question, class_of};
use crate::util::atomic_file::make_folder;
use crate::{Error, Result};
use early::{EarlyExit, Rule};
use pass::Passed;
use serde::Serialize;

use super::data::DataArgs;
use super::exit_status::Outcome;
use super::exits::ExitArgs;
use super::model::{LoadedModel, ModelArgs};
use super::output;
use super::output::Output;
use super::timings::Timings;

/// Evaluate every exit on a data set: accuracy, calibration, hardness, budgets
///
/// A data set is a CIFAR-10 or CIFAR-100 binary file, or a folder with a folder for each class.
/// Classes are the network's by name, else in order. An image that cannot be used is left out and
/// named, and the exit code is 3.
///
/// The budgets are the authors': thresholds are found on every second image and applied to the
/// others. With --early-exit or --budget the images really leave early, and what that saves is
/// measured.
#[derive(Debug, clap::Args)]
#[command(after_help = super::EXIT_CODES)]
pub struct Args {
    #[command(flatten)]
    data: DataArgs,
    /// Folder for evaluation.json, hardness.csv, hardness.json, confusion.csv and dynamic.txt
    #[arg(short, long, value_name = "DIR", alias = "save")]
    output: Option<PathBuf>,
    #[command(flatten)]
    exits: ExitArgs,
    /// Which table: anytime is a line an exit, dynamic a line a budget [default: both, and more]
    #[arg(long, value_enum, value_name = "TABLE")]
    evalmode: Option<EvalMode>,
    /// Who is right where instead: a line an image, `[1, 0, 1] ID CLASS`, 1 where an exit is right
    #[arg(long)]
    list: bool,
    /// The same for the images of one class, by name or number
    #[arg(long, value_name = "CLASS", alias = "cl")]
    class: Option<String>,
    /// Let images leave at the first exit that is so sure, above 0 and at most 1; or by the
    /// thresholds in a file, a JSON list with a number for each exit (null: none leaves there)
    #[arg(long, value_name = "P|FILE", conflicts_with = "budget", allow_hyphen_values = true)]
    early_exit: Option<String>,
    /// Let images leave so that one takes so many multiply-adds in the mean, such as 50M:
    /// thresholds are found on every second image and applied to the others
    #[arg(long, value_name = "MADDS", value_parser = early::work)]
    budget: Option<f64>,
    /// Images that go through the network together
    #[arg(short, long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    batch_size: u16,
    /// One JSON object on standard output instead of tables; with --list, one a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelArgs,
}

/// Whose spelling of what is evaluated: the authors'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum EvalMode {
    Anytime,
    Dynamic,
}

/// Everything that is found out. Its JSON form is what `--json` prints and what `evaluation.json`
/// holds: the fields of [`Evaluation`], and these.
#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    evaluation: Evaluation,
    /// Images that could not be used and are in no number.
    failed: usize,
    /// What `--early-exit` or `--budget` gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    early_exit: Option<EarlyExit>,
    /// The weights' file, and the SHA-256 of the checkpoint that they come from.
    weights: String,
    source_sha256: String,
    /// What the milliseconds were measured on.
    device: String,
}

/// Evaluates; prints tables or JSON, and writes files.
pub fn run(args: Args) -> Result<Outcome> {
    let timings = Timings::default();
    let model = args.model.load(&timings)?;
    let exits = args.exits.resolve(model.exits())?;
    let class = args.class.as_deref().map(|class| class_of(class, &model.labels, &[])).transpose()?;
    let dataset = args.data.open(&model.labels)?;
    if dataset.classes().is_none() {
        let cause = "the images have none; expected a folder for each class, or a CIFAR file";
        return Err(Error::refused(dataset.name(), "labels", cause));
    }
    let batch = usize::from(args.batch_size).min(dataset.len());
    let question = Question { exits: exits.clone(), maps: false, order: Order::ByExit };
    let mut explainer = Classifier::new(&model.network, &question, &model.device, batch)?;
    let rule = early::rule(args.early_exit.as_deref(), args.budget, &explainer.multiply_adds())?;
    if let Some(folder) = &args.output {
        make_folder(folder)?;
    }
    model.announce();
    model.announce_notes(explainer.session().notes());

    let passed = pass::all_exits(&model, &dataset, &mut explainer, &timings)?;
    if passed.outcomes.is_empty() {
        passed.note_failures();
        return Ok(passed.tally.outcome());
    }
    let report = report(&model, &dataset, &mut explainer, &exits, &passed, rule)?;
    passed.note_failures();
    if let Some(folder) = &args.output {
        files::write(folder, &report, &dataset, &passed)?;
    }
    if args.list || class.is_some() {
        print_list(&args, &dataset, &passed, class)?;
    } else if args.json {
        Output::default().print(&(json(&report) + "\n"))?;
    } else {
        Output::default().print(&table::report(&report, args.evalmode))?;
    }
    Ok(passed.tally.outcome())
}

/// Evaluates what the exits said, measures how long they take, and lets images leave early.
fn report(
    model: &LoadedModel,
    dataset: &Dataset,
    explainer: &mut Classifier,
    exits: &[usize],
    passed: &Passed,
    rule: Option<Rule>,
) -> Result<Report> {
    let work = explainer.multiply_adds();
    let mut evaluation = Evaluation::new(&passed.outcomes, exits, &model.labels, Some(&work));
    let times = clock::milliseconds(explainer, &passed.sample)?;
    for (exit, &time) in evaluation.exits.iter_mut().zip(&times) {
        exit.milliseconds = Some(time);
    }
    if let Some(budgeted) = &mut evaluation.budgeted {
        budgeted.set_milliseconds(&times);
    }
    let early_exit = rule.map(|rule| early::run(model, dataset, explainer, passed, &rule)).transpose()?;
    Ok(Report {
        evaluation,
        failed: passed.tally.failed(),
        early_exit,
        weights: model.weights.clone(),
        source_sha256: model.source_sha256.clone(),
        device: model.device.description(),
    })
}

fn json(report: &Report) -> String {
    serde_json::to_string(report).expect("plain fields have a JSON form")
}

/// Who is right where.
fn print_list(args: &Args, dataset: &Dataset, passed: &Passed, class: Option<usize>) -> Result<()> {
    let mut output = Output::default();
    let rows = passed.rows(dataset).filter(|(_, outcome)| class.is_none_or(|class| outcome.label == class));
    for (id, outcome) in rows {
        let classes = dataset.classes().unwrap_or_default();
        let line = match args.json {
            true => files::hardness_json(&id, outcome, classes).to_string(),
            false => crate::error::printable(&list_line(&id, outcome, classes)),
        };
        output.print(&(line + "\n"))?;
        if output.is_closed() {
            break;
        }
    }
    Ok(())
}

/// Reports an image that could not be used.
fn report_failure(error: &Error) {
    output::error(error);
}
