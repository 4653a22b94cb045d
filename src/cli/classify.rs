//! `msdcam classify`: predictions of each exit, without maps.

use crate::Result;
use crate::engine::plan::Order;
use crate::error::printable;
use crate::explain::{Classifier, ExitPrediction};
use crate::render::sheet::percent;
use serde::Serialize;

use super::data::DataArgs;
use super::exit_counts::NonfinitePredictions;
use super::exit_status::{Outcome, Tally};
use super::exits::ExitArgs;
use super::isolation::isolated;
use super::model::ModelArgs;
use super::output::Output;
use super::records::ExitRecord;
use super::timings::Timings;
use super::values::probability;
use super::{images, output, records, table};

/// Print each exit's predicted class and confidence
///
/// Images are JPEG, PNG, WebP, GIF, BMP, PNM or TIFF files of up to 210 megapixels. They are turned upright
/// by their EXIF orientation; transparency is composited over white; samples of 16 bits are divided by 257;
/// CMYK is converted; color profiles are ignored; of an animation, the first frame is read.
///
/// If an image cannot be read, the others are still
/// processed and the exit code is 3.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    exits: ExitArgs,
    /// Stop at the first exit with at least this confidence, above 0 and at most 1
    #[arg(long, value_name = "P", value_parser = probability, allow_hyphen_values = true)]
    early_exit: Option<f32>,
    /// Print one JSON object per image instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelArgs,
}

/// The result of one image.
#[derive(Debug, Serialize)]
struct ClassifyRecord {
    exits: Vec<ExitRecord>,
    #[serde(flatten)]
    work: Option<EarlyExitWork>,
}

/// The cost of an image under early exit.
#[derive(Debug, Serialize)]
struct EarlyExitWork {
    /// The exit that reached the confidence; absent if none did.
    stopped_at: Option<usize>,
    /// Multiply-adds up to the exit at which the image stopped.
    multiply_adds: u64,
    /// Multiply-adds of all requested exits.
    multiply_adds_all: u64,
}

/// Classifies the images and prints a table or JSON.
pub fn run(args: Args) -> Result<Outcome> {
    let timings = Timings::default();
    let mut model = args.model.load(&timings)?;
    let exits = args.exits.resolve(model.exits.len())?;
    let dataset = args.data.open(&mut model)?;
    let group = images::group_size(&model, dataset.len());
    let order = if args.early_exit.is_some() { Order::ByExit } else { Order::Depth };
    let mut classifier = Classifier::new(&model.model, &exits, order, &model.device, group)?;
    let costs = classifier.multiply_adds();

    model.announce();
    model.announce_notes(classifier.session().notes());
    let bar = images::progress(&model, dataset.len());
    let (mut output, mut tally) = (Output::default(), Tally::default());
    let mut nonfinite = NonfinitePredictions::default();
    let mut print = |(items, results): images::Finished<ExitPrediction>| -> Result<bool> {
        for (item, result) in items.iter().zip(results) {
            let record = isolated(item, || {
                let (_, predictions) = result?;
                nonfinite.count(&predictions);
                let exit = |prediction| ExitRecord::new(prediction, &model.labels, item.label);
                Ok(ClassifyRecord {
                    exits: predictions.iter().map(exit).collect(),
                    work: args
                        .early_exit
                        .map(|confidence| EarlyExitWork::new(&predictions, confidence, &costs)),
                })
            });
            tally.count(&item.id, &record);
            let text = if args.json {
                records::line(item, &model.labels, &record)
            } else {
                to_text(&item.id, &record)
            };
            bar.suspend(|| {
                if let Err(error) = &record {
                    output::error(error);
                }
                output.print(&text)
            })?;
            bar.inc(1);
        }
        Ok(output.is_closed())
    };
    let mut in_flight = images::InFlight::default();
    std::thread::scope(|scope| -> Result<()> {
        for (items, photos) in
            images::groups(scope, &model, dataset.items(), group, images::ViewSides::default(), &timings)?
        {
            let finished = match args.early_exit {
                Some(confidence) => {
                    let thresholds = vec![Some(confidence); exits.len()];
                    let early = |inputs: &[f32], _: &[_]| classifier.classify_early_exit(inputs, &thresholds);
                    vec![(items, images::run_group(photos, early)?)]
                }
                None => in_flight.push((items, photos), &mut classifier)?,
            };
            for group in finished {
                if print(group)? {
                    return Ok(());
                }
            }
        }
        for group in in_flight.drain(&mut classifier)? {
            if print(group)? {
                break;
            }
        }
        Ok(())
    })?;
    bar.finish_and_clear();
    for note in [nonfinite.note(), tally.summary()].into_iter().flatten() {
        output::note(&note);
    }
    Ok(tally.outcome())
}

impl EarlyExitWork {
    /// The cost of an image with predictions `predictions`, up to the exit at which it stopped; `costs`
    /// are the multiply-adds up to each exit.
    fn new(predictions: &[ExitPrediction], confidence: f32, costs: &[u64]) -> EarlyExitWork {
        let stop = predictions.last().filter(|last| last.probabilities[last.class] >= confidence);
        EarlyExitWork {
            stopped_at: stop.map(|last| last.exit),
            multiply_adds: costs[predictions.len() - 1],
            multiply_adds_all: costs[costs.len() - 1],
        }
    }
}

/// The text form of a record; empty for an error.
fn to_text(id: &str, record: &Result<ClassifyRecord>) -> String {
    let Ok(record) = record else { return String::new() };
    let mut text = format!("{}\n{}", printable(id), table::exits(&record.exits));
    if let Some(work) = &record.work {
        let end = match work.stopped_at {
            Some(exit) => format!("stopped at exit {exit}"),
            None => "no exit reached the confidence".into(),
        };
        let (done, all) = (work.multiply_adds as f64, work.multiply_adds_all as f64);
        let share = percent((done / all) as f32);
        text += &format!("  {end}: {:.1} of {:.1} million multiply-adds, {share}\n", done / 1e6, all / 1e6);
    }
    text
}
