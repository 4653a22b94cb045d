//! `msdcam classify`: what each exit says, without maps.

use crate::Result;
use crate::engine::plan::Order;
use crate::error::printable;
use crate::explain::{Classifier, ExitPrediction};
use crate::render::sheet::percent;
use serde::Serialize;

use super::data::DataArgs;
use super::exit_status::{Outcome, Tally};
use super::exits::Exits;
use super::model::ModelArgs;
use super::output::Output;
use super::records::ExitRecord;
use super::timings::Timings;
use super::{images, output, records, table};

/// Say what each exit takes an image for, and how sure it is
///
/// Images are PNG, JPEG or WebP, of any size. One that cannot be used fails alone: the others are
/// done, and the exit code is 3.
#[derive(Debug, clap::Args)]
#[command(after_help = super::EXIT_CODES)]
pub struct Args {
    #[command(flatten)]
    data: DataArgs,
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
    let timings = Timings::default();
    let model = args.model.load(&timings)?;
    let exits = args.exits.resolve(model.exits())?;
    let dataset = args.data.open(&model.labels)?;
    let group = images::group_size(&model, dataset.len());
    let order = if args.early_exit.is_some() { Order::ByExit } else { Order::Depth };
    let mut explainer = Classifier::new(&model.network, &exits, order, &model.device, group)?;
    let costs = explainer.multiply_adds();

    model.announce();
    model.announce_notes(explainer.session().notes());
    let bar = images::progress(&model, dataset.len());
    let (mut output, mut tally) = (Output::default(), Tally::default());
    let mut ask = |(items, photos): images::Group| -> Result<bool> {
        let answered = images::answer_group(photos, |inputs, _| match args.early_exit {
            Some(confidence) => {
                let thresholds = vec![Some(confidence); exits.len()];
                explainer.classify_early_exit(inputs, &thresholds)
            }
            None => explainer.classify(inputs),
        })?;
        for (item, answered) in items.iter().zip(answered) {
            tally.count(&item.id, &answered);
            let found = answered.map(|(_, answers)| Found {
                exits: answers
                    .iter()
                    .map(|answer| ExitRecord::new(answer, &model.labels, item.label))
                    .collect(),
                work: args.early_exit.map(|confidence| Work::new(&answers, confidence, &costs)),
            });
            let text = if args.json {
                records::line(item, &model.labels, &found)
            } else {
                for_people(&item.id, &found)
            };
            bar.suspend(|| {
                if let Err(error) = &found {
                    output::error(error);
                }
                output.print(&text)
            })?;
            bar.inc(1);
        }
        Ok(output.is_closed())
    };
    std::thread::scope(|scope| {
        for photos in images::groups(scope, &model, dataset.items(), group, None, &timings) {
            if ask(photos)? {
                break;
            }
        }
        Ok(())
    })?;
    bar.finish_and_clear();
    if let Some(summary) = tally.summary() {
        output::note(&summary);
    }
    Ok(tally.outcome())
}

impl Work {
    /// What was done for an image to which the exits up to the one that it left at gave `answers`;
    /// `costs` are the multiply-adds up to each exit.
    fn new(answers: &[ExitPrediction], confidence: f32, costs: &[u64]) -> Work {
        let stop = answers.last().filter(|last| last.probabilities[last.class] >= confidence);
        Work {
            stopped_at: stop.map(|last| last.exit),
            multiply_adds: costs[answers.len() - 1],
            multiply_adds_all: costs[costs.len() - 1],
        }
    }
}

fn for_people(id: &str, found: &Result<Found>) -> String {
    let Ok(found) = found else { return String::new() };
    let mut text = format!("{}\n{}", printable(id), table::exits(&found.exits));
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

pub(super) fn probability(text: &str) -> Result<f32, String> {
    let p: f32 = text.parse().map_err(|_| "expected a number above 0 and at most 1".to_string())?;
    // Not a number is in no range.
    if p > 0.0 && p <= 1.0 { Ok(p) } else { Err("expected a number above 0 and at most 1".into()) }
}
