//! `msdcam explain`: where each exit looks, in pictures and numbers.
//!
//! Images become findings ([`crate::cli::ask`]), findings become layers ([`layers`]: one for each
//! method, tap and class), and each layer becomes files ([`draw`], [`arrays`]) and records
//! ([`report`]). An image's label, where one is known, is [`Photo::label`]: `--class label` asks for
//! it, and an image without one fails alone.
//!
//! [`Photo::label`]: crate::cli::images::Photo

mod arrays;
mod draw;
mod folder;
mod layers;
mod minus;
mod report;
mod run;
mod statuses;
mod view;

use std::path::PathBuf;
use std::time::Instant;

use draw::Style;
use layers::Layers;
use minus::Minus;
use msdcam::cam::{Score, Study};
use msdcam::render::Colormap;
use msdcam::{Error, Result};
use run::{Setting, all_images};

use super::data::DataArgs;
use super::model::{Model, ModelArgs};
use super::outcome::Outcome;
use super::output;
use super::select::Exits;
use super::study::StudyArgs;
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
#[derive(Debug, clap::Args)]
#[command(after_help = super::EXIT_CODES)]
pub struct Args {
    #[command(flatten)]
    data: DataArgs,
    /// Folder for the results; made if missing, files of the same name are replaced
    #[arg(short, long, value_name = "DIR", default_value = "msdcam-out")]
    output: PathBuf,
    /// Which exits: all, or numbers and ranges such as 1,3,10 or 2..5 (both ends included)
    #[arg(long, value_name = "LIST", default_value = "all", allow_hyphen_values = true)]
    exits: Exits,
    /// Long side of the overlays, pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 512, value_parser = clap::value_parser!(u16).range(16..=4096))]
    size: u16,
    /// Colours of the heat maps: jet, viridis, turbo, inferno, magma, cividis, grey or rdbu_r
    #[arg(long, value_name = "NAME", default_value_t)]
    colormap: Colormap,
    /// One JSON object an image on standard output instead of a table
    #[arg(long)]
    json: bool,
    /// Say on standard error where the time went, from the program's start to the last file
    #[arg(long)]
    timings: bool,
    #[command(flatten)]
    study: StudyArgs,
    /// Show differences too, in blue and red: from the same map at another exit (exit3), or from the
    /// next likeliest class (runner-up; the score is then the margin)
    #[arg(long, value_name = "exitN|runner-up", help_heading = "What is explained, and how")]
    minus: Option<Minus>,
    #[command(flatten)]
    model: ModelArgs,
}

/// Explains the images; prints a table or JSON and writes the files. The program began at `start`.
pub fn run(args: Args, start: Instant) -> Result<Outcome> {
    let timings = Timings::since(start);
    let model = args.model.load(&timings)?;
    let study = study(&args, &model)?;
    let dataset = args.data.open(&model.labels)?;
    let style = Style {
        labels: model.labels.clone(),
        layers: Layers::new(&study, args.minus, &model.network, &model.labels)?,
        pixels: study.pixels.clone(),
        colormap: args.colormap,
        input: model.input(),
    };
    let setting = Setting {
        args: &args,
        model: &model,
        dataset: &dataset,
        study: &study,
        style: &style,
        timings: &timings,
    };
    let done = all_images(setting)?;
    done.folder.close(&done.results, about(&args, &model, &study), &done.tally)?;
    let notes = done.statuses.summary().into_iter().filter(|_| !model.quiet);
    notes.chain(done.tally.summary()).for_each(|note| output::note(&note));
    if args.timings {
        output::note(&timings.table());
    }
    Ok(done.tally.outcome())
}

/// What is asked of the network.
fn study(args: &Args, model: &Model) -> Result<Study> {
    let exits = args.exits.resolve(model.exits())?;
    if args.minus != Some(Minus::RunnerUp) {
        return args.study.study(model, exits, Score::Logit);
    }
    let study = args.study.study(model, exits, Score::Margin)?;
    if study.score != Score::Margin {
        let score = study.score.name();
        return Err(Error::usage(format!("minus runner-up: the score is then the margin, not the {score}")));
    }
    Ok(study)
}

/// How the results are made, for the manifest.
fn about(args: &Args, model: &Model, study: &Study) -> serde_json::Value {
    let mut about = args.study.about(study, &model.labels);
    about["program"] = "msdcam".into();
    about["version"] = env!("CARGO_PKG_VERSION").into();
    if let Some(minus) = args.minus {
        about["minus"] = minus.name().into();
    }
    about["size"] = args.size.into();
    about["colormap"] = args.colormap.name().into();
    about["device"] = model.device.description().into();
    about["weights"] = serde_json::json!({ "file": model.weights, "source_sha256": model.source_sha256 });
    about["labels"] = model.labels.clone().into();
    about
}
