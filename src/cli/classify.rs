//! `msdcam classify`: what each exit says, without maps.

use std::path::{Path, PathBuf};

use msdcam::cam::{Explainer, Question};
use msdcam::error::printable;
use msdcam::graph::plan::{Order, Plan};
use msdcam::render::strip::percent;
use msdcam::{Error, Result};
use serde::Serialize;

use super::images::{self, Answered};
use super::model::ModelArgs;
use super::outcome::{Outcome, Tally};
use super::output::{self, Output};
use super::records::{self, ExitRecord};
use super::select::Exits;
use super::table;

/// Say what each exit takes an image for, and how sure it is
///
/// Images are PNG, JPEG or WebP, of any size. One that cannot be used fails alone: the others are
/// done, and the exit code is 3.
#[derive(Debug, clap::Args)]
#[command(after_help = super::EXIT_CODES)]
pub struct Args {
    /// Photos to classify
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// Which exits: all, or numbers and ranges such as 1,3,10 or 2..5 (both ends included)
    #[arg(long, value_name = "LIST", default_value = "all", allow_hyphen_values = true)]
    exits: Exits,
    /// Stop at the first exit that is at least so sure, and compute no further; above 0, at most 1
    #[arg(long, value_name = "P", value_parser = probability, allow_hyphen_values = true)]
    early_exit: Option<f32>,
    /// One JSON object an image on standard output instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelArgs,
}

/// What is said about an image besides its path.
#[derive(Debug, Serialize)]
struct Found {
    exits: Vec<ExitRecord>,
    #[serde(flatten)]
    work: Option<Work>,
}

/// What stopping early saved.
#[derive(Debug, Serialize)]
struct Work {
    /// The exit that was sure enough; absent where none was.
    stopped_at: Option<usize>,
    /// Multiply-adds done for this image.
    multiply_adds: u64,
    /// Multiply-adds of all exits asked for.
    multiply_adds_all: u64,
}

/// Classifies the images and prints a table or JSON.
pub fn run(args: Args) -> Result<Outcome> {
    let model = args.model.load()?;
    let exits = args.exits.resolve(model.exits())?;
    let order = if args.early_exit.is_some() { Order::ByExit } else { Order::Depth };
    let group = images::group_size(&model, args.images.len());
    let question = Question { exits, maps: false, order };
    let mut explainer = Explainer::new(&model.network, &question, &model.device, group)?;

    model.announce();
    let bar = images::progress(&model, args.images.len());
    let (mut output, mut tally) = (Output::default(), Tally::default());
    for paths in args.images.chunks(group) {
        let answered = images::answer_group(&model, paths, None, |inputs| match args.early_exit {
            Some(confidence) => explainer.explain_early_exit(inputs, None, confidence),
            None => explainer.explain(inputs, None),
        })?;
        for (path, answered) in paths.iter().zip(answered) {
            tally.count(path, &answered);
            let plan = explainer.runner().plan();
            let found = answered.map(|answered| Found {
                exits: answered.1.iter().map(|answer| ExitRecord::new(answer, &model.labels)).collect(),
                work: args.early_exit.map(|confidence| work(plan, &answered, confidence)),
            });
            let text = if args.json { records::line(path, &found) } else { for_people(path, &found) };
            bar.suspend(|| {
                found.as_ref().err().inspect(|error: &&Error| output::error(error));
                output.print(&text)
            })?;
            bar.inc(1);
        }
        if output.is_closed() {
            break;
        }
    }
    bar.finish_and_clear();
    if let Some(summary) = tally.summary() {
        output::note(&summary);
    }
    Ok(tally.outcome())
}

/// The levels that were run for an image are those up to its last answer.
fn work(plan: &Plan, (_, answers): &Answered, confidence: f32) -> Work {
    let last = answers.last().expect("the first exit always answers");
    let levels = &plan.levels[..plan.exits[last.exit - 1]];
    let jobs = levels.iter().flat_map(|level| &level.jobs);
    Work {
        stopped_at: Some(last.exit).filter(|_| last.probabilities[last.class] >= confidence),
        multiply_adds: jobs.flat_map(|job| &job.steps).map(|step| step.multiply_adds()).sum(),
        multiply_adds_all: plan.multiply_adds(),
    }
}

fn for_people(path: &Path, found: &Result<Found>) -> String {
    let Ok(found) = found else { return String::new() };
    let mut text = format!("{}\n{}", printable(&path.to_string_lossy()), table::exits(&found.exits));
    if let Some(work) = &found.work {
        let end = match work.stopped_at {
            Some(exit) => format!("stopped at exit {exit}"),
            None => "no exit was sure enough".into(),
        };
        let (done, all) = (work.multiply_adds as f64, work.multiply_adds_all as f64);
        let share = percent((done / all) as f32);
        text += &format!("  {end}: {:.1} of {:.1} million multiply-adds, {share}\n", done / 1e6, all / 1e6);
    }
    text
}

fn probability(text: &str) -> Result<f32, String> {
    let p: f32 = text.parse().map_err(|_| "expected a number above 0 and at most 1".to_string())?;
    // Not a number is in no range.
    if p > 0.0 && p <= 1.0 { Ok(p) } else { Err("expected a number above 0 and at most 1".into()) }
}
