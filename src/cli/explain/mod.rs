//! `msdcam explain`: where each exit looks, in pictures and numbers.
//!
//! Images become findings ([`super::ask`]), findings become layers ([`layers`]: one for each
//! method, tap and class), and each layer becomes files ([`draw`]: pictures by [`paint`] and [`strips`],
//! numbers by [`arrays`]) and records
//! ([`report`]). An image's label, where one is known, is [`Photo::label`]: `--class label` asks for
//! it, and an image without one fails alone.
//!
//! [`Photo::label`]: super::images::Photo

mod arrays;
mod article;
mod artifacts;
mod difference;
mod folder;
mod layer_view;
mod layers;
mod picture;
mod pipeline;
mod record;
mod selected;
mod sheets;
mod sink;
mod statuses;
mod style_args;
mod writer;

use std::path::PathBuf;
use std::time::Instant;

use crate::dataset::Dataset;
use crate::explain::{ExplainRequest, PixelMethod, Smoothing};
use crate::render::styles;
use crate::run::Summary;
use crate::{Error, Result};
use artifacts::Style;
use difference::Minus;
use layers::Layers;
use pipeline::{Done, Ended, Setting, all_images};
use sink::End;
use style_args::StyleArgs;

use super::data::DataArgs;
use super::exit_status::Outcome;
use super::exits::Exits;
use super::method_args::MethodArgs;
use super::model::{Model, ModelArgs};
use super::output;
use super::output::Output;
use super::run::{ResolvedSelection, RunArgs, summary_line};
use super::timings::Timings;

/// Show where each exit looks: a heat map for every exit, drawn over the photo
///
/// For each image, writes NAME_exit01_cam.png and so on, the film strip NAME_strip.png that
/// shows them all, and NAME.npz with the numbers; then results.jsonl about all images, and
/// manifest.json last. Images are PNG, JPEG or WebP, of any size. One that cannot be used fails
/// alone: the others are done, and the exit code is 3.
///
/// NAME.npz holds, with E exits: exit, class (E); logits (E, classes); target, score (E); cam
/// (E, h, w), the maps after their ReLU; heatmap, fused (E, H, W) in [0, 1]; difference (E, H, W)
/// in [-1, 1]; pixels.METHOD (E, 3, H, W); tap (E, taps). With several map methods or taps their
/// names follow (cam.layer-cam.scale2); with top3 a dimension of 3 follows E.
///
/// A data set, which is a folder, a CIFAR file or a list on standard input, makes a run: stopped in
/// any way and started again with the same words, it goes on where it was, and a finished one is left
/// as it is. Its pictures lie in images/, a folder for each hundred, numbered in the order of the set;
/// failed.jsonl lists what failed. Another request for the same folder is refused. For photos that are
/// given by name, files of the same name are replaced.
#[derive(Debug, clap::Args)]
#[command(after_help = super::EXIT_CODES)]
pub struct Args {
    #[command(flatten)]
    data: DataArgs,
    /// Folder for the results; made if missing
    #[arg(short, long, value_name = "DIR", default_value = "msdcam-out")]
    output: PathBuf,
    /// Which exits: all, or numbers and ranges such as 1,3,10 or 2..5 (both ends included)
    #[arg(long, value_name = "LIST", default_value = "all", allow_hyphen_values = true)]
    exits: Exits,
    /// One JSON object an image on standard output instead of a table
    #[arg(long)]
    json: bool,
    /// Say on standard error where the time went, from the program's start to the last file
    #[arg(long)]
    timings: bool,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    study: MethodArgs,
    /// Show differences too, in blue and red: from the same map at another exit (exit3), of the next
    /// likeliest class (runner-up) or of a class by its name or number; what is explained is then the
    /// difference of the two classes' logits
    #[arg(
        long,
        value_name = "exitN|runner-up|NAME|INDEX",
        allow_hyphen_values = true,
        help_heading = "What is explained, and how"
    )]
    minus: Option<String>,
    #[command(flatten)]
    look: StyleArgs,
    #[command(flatten)]
    model: ModelArgs,
}

/// Explains the images; prints a table or JSON and writes the files. The program began at `start`.
pub fn run(args: Args, start: Instant) -> Result<Outcome> {
    let timings = Timings::since(start);
    let model = args.model.load(&timings)?;
    let minus = args.minus.as_ref().map(|text| Minus::parse(text, &model.labels)).transpose()?;
    let exits = args.exits.resolve(model.exits())?;
    let mut study = args.study.study(&model, exits, minus.and_then(Minus::score))?;
    let magnitudes = study.fusion.is_none() && study.smoothing == Smoothing::None;
    let looks = args.look.looks(magnitudes)?;
    if looks.look.style == Some(styles::ToolStyle::Article)
        && !study.pixels.contains(&PixelMethod::InputGradient)
    {
        study.pixels.push(PixelMethod::InputGradient);
    }
    let dataset = args.data.open(&model.labels)?;
    let is_set = args.data.is_set(&dataset);
    let chooser = chooser(&args, is_set, &model, &dataset, &study)?;
    let style = Style {
        labels: model.labels.clone(),
        layers: Layers::new(&study, minus, &model.network, &model.labels)?,
        pixels: study.pixels.clone(),
        looks,
        input: model.input(),
    };
    let setting = Setting {
        args: &args,
        model: &model,
        dataset: &dataset,
        is_set,
        study: &study,
        minus,
        style: &style,
        timings: &timings,
    };
    let outcome = match all_images(setting, chooser)? {
        Ended::Before(summary) => of_set(&args, summary)?,
        Ended::Now(done) => end(*done, setting)?,
    };
    if args.timings {
        output::note(&timings.table());
    }
    Ok(outcome)
}

/// What decides for which images of a set there are pictures.
fn chooser<'a>(
    args: &'a Args,
    is_set: bool,
    model: &Model,
    dataset: &Dataset,
    study: &'a ExplainRequest,
) -> Result<Option<ResolvedSelection<'a>>> {
    if let Some(option) = args.run.any().filter(|_| !is_set) {
        let expected = "a folder of images, a CIFAR file or a list on standard input";
        return Err(Error::usage(format!("{option} is about data sets: {expected}")));
    }
    let Some(selection) = &args.run.select else { return Ok(None) };
    if dataset.classes().is_none() {
        let name = dataset.name().to_string_lossy();
        return Err(Error::usage(format!("--select needs labels, and {name} has none")));
    }
    selection.resolve(&model.labels, &study.exits).map(Some)
}

/// Writes and says what comes at the end.
fn end(done: Done, setting: Setting) -> Result<Outcome> {
    let Setting { args, model, .. } = setting;
    let end = done.store.close(setting, &done.tally)?;
    let notes = done.statuses.summary().into_iter().filter(|_| !model.quiet);
    notes.chain(done.tally.summary()).for_each(|note| output::note(&note));
    match (end, done.stopped) {
        (End::Photos(outcome), _) => Ok(outcome),
        (End::Set(summary), _) => of_set(args, summary),
        (End::Cut(summary), code) => {
            let images = setting.dataset.len();
            output::note(&format!(
                "stopped after {} of {images} images; the same command goes on from there",
                summary.images
            ));
            Ok(code.map_or(Outcome::AllDone, Outcome::Stopped))
        }
    }
}

/// Says what a finished run has.
fn of_set(args: &Args, summary: Summary) -> Result<Outcome> {
    if !args.json && !args.model.is_quiet() {
        Output::default().print(&summary_line(&summary, &args.output))?;
    }
    Ok(Outcome::of(summary.images, summary.failed))
}

/// How the results are made, for the manifest.
fn about(setting: Setting) -> serde_json::Value {
    let Setting { args, model, study, minus, .. } = setting;
    let mut about = args.study.about(study, &model.labels);
    about["program"] = "msdcam".into();
    about["version"] = env!("CARGO_PKG_VERSION").into();
    if let Some(minus) = minus {
        about["minus"] = minus.name(&model.labels).into();
    }
    setting.style.looks.about(&mut about);
    about["device"] = model.device.description().into();
    about["weights"] = serde_json::json!({ "file": model.weights, "source_sha256": model.source_sha256 });
    about["labels"] = model.labels.clone().into();
    about
}
