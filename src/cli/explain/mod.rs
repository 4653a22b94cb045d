//! `msdcam explain`: where each exit looks, in pictures and numbers.

mod draw;
mod folder;
mod names;

use std::path::PathBuf;

use draw::{Drawing, Item, Style};
use folder::Folder;
use indicatif::ProgressBar;
use msdcam::cam::{Explainer, Question};
use msdcam::error::printable;
use msdcam::graph::plan::Order;
use msdcam::render::Colormap;
use msdcam::{Error, Result};
use names::Names;
use serde::Serialize;

use super::images::{self, Answered};
use super::model::{Model, ModelArgs};
use super::outcome::{Outcome, Tally};
use super::output::{self, Output};
use super::records::{self, ExitRecord, MapFiles, MapRecord};
use super::select::{Class, Exits};
use super::{parallel, table};

/// Show where each exit looks: a heat map for every exit, drawn over the photo
///
/// For each image, writes <name>_exit01_cam.png and so on, the film strip <name>_strip.png that
/// shows them all, and <name>.npz with the numbers; then results.jsonl about all images, and
/// manifest.json last. Images are PNG, JPEG or WebP, of any size. One that cannot be used fails
/// alone: the others are done, and the exit code is 3.
#[derive(Debug, clap::Args)]
#[command(after_help = super::EXIT_CODES)]
pub struct Args {
    /// Photos to explain
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// Folder for the results; made if missing, files of the same name are replaced
    #[arg(short, long, value_name = "DIR", default_value = "msdcam-out")]
    output: PathBuf,
    /// Which exits: all, or numbers and ranges such as 1,3,10 or 2..5 (both ends included)
    #[arg(long, value_name = "LIST", default_value = "all", allow_hyphen_values = true)]
    exits: Exits,
    /// What the maps look for: the class that each exit predicts, or one class by name or number
    #[arg(
        long,
        value_name = "predicted|NAME|INDEX",
        default_value = "predicted",
        allow_hyphen_values = true
    )]
    class: Class,
    /// Long side of the overlays, pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 512, value_parser = clap::value_parser!(u16).range(16..=4096))]
    size: u16,
    /// Colours of the heat maps: jet, viridis, turbo, inferno, magma, cividis, grey or rdbu_r
    #[arg(long, value_name = "NAME", default_value_t)]
    colormap: Colormap,
    /// One JSON object an image on standard output instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelArgs,
}

/// What is said about an image besides its path.
#[derive(Debug, Serialize)]
struct Found {
    /// Size of the photo, upright.
    width: usize,
    height: usize,
    exits: Vec<ExitRecord>,
    files: Files,
}

/// The files about all exits together.
#[derive(Debug, Serialize)]
struct Files {
    strip: String,
    arrays: String,
}

/// Explains the images; prints a table or JSON and writes the files.
pub fn run(args: Args) -> Result<Outcome> {
    let model = args.model.load()?;
    let exits = args.exits.resolve(model.exits())?;
    let target = args.class.resolve(&model.labels)?;
    let folder = Folder::open(&args.output)?;
    let question = Question { exits: exits.clone(), maps: true, order: Order::Depth };
    let group = images::group_size(&model, args.images.len());
    let mut explainer = Explainer::new(&model.network, &question, &model.device, group)?;

    model.announce();
    let mut run = Run {
        style: Style {
            labels: model.labels.clone(),
            subtitle: subtitle(&model, target),
            colormap: args.colormap,
            input: model.input(),
        },
        bar: images::progress(&model, args.images.len()),
        folder,
        names: Names::default(),
        output: Output::default(),
        tally: Tally::default(),
        results: String::new(),
        args: &args,
        model: &model,
    };
    for paths in args.images.chunks(group) {
        let side = Some(usize::from(args.size));
        let answered = images::answer_group(&model, paths, side, |inputs| explainer.explain(inputs, target))?;
        run.finish_group(paths, answered)?;
    }
    run.bar.finish_and_clear();
    let about = serde_json::json!({
        "program": "msdcam",
        "version": env!("CARGO_PKG_VERSION"),
        "method": "grad-cam",
        "class": target.map_or("predicted", |class| model.labels[class].as_str()),
        "exits": exits,
        "size": args.size,
        "colormap": args.colormap.name(),
        "device": model.device.description(),
        "weights": { "file": model.weights, "source_sha256": model.source_sha256 },
        "labels": model.labels,
        "images": args.images.len(),
        "failed": run.tally.failed(),
        "results": folder::RESULTS,
    });
    run.folder.close(&run.results, &about)?;
    if let Some(summary) = run.tally.summary() {
        output::note(&summary);
    }
    Ok(run.tally.outcome())
}

fn subtitle(model: &Model, target: Option<usize>) -> String {
    let class = match target {
        None => "the class that each exit predicts".into(),
        Some(class) => format!("the class {}", model.labels[class]),
    };
    format!("Grad-CAM of {class}; the network sees {0} x {0} pixels", model.input())
}

/// A run under way.
struct Run<'a> {
    args: &'a Args,
    model: &'a Model,
    style: Style,
    folder: Folder,
    names: Names,
    bar: ProgressBar,
    output: Output,
    tally: Tally,
    /// The text of results.jsonl.
    results: String,
}

impl Run<'_> {
    /// Writes the files of a group's images and says what was found.
    fn finish_group(&mut self, paths: &[PathBuf], answered: Vec<Result<Answered>>) -> Result<()> {
        let drawings = drawings(&self.style, &mut self.names, paths, &answered);
        let work: Vec<(&Drawing, Item)> =
            drawings.iter().flatten().flat_map(|d| d.items().map(move |item| (d, item))).collect();
        let written =
            parallel::map(self.model.threads, &work, |(d, item)| d.write(*item, self.folder.path()));
        written.into_iter().collect::<Result<()>>()?;

        for ((path, answered), drawing) in paths.iter().zip(&answered).zip(&drawings) {
            self.tally.count(path, answered);
            let found = |prefix: Option<&Folder>| match (answered, drawing) {
                (Ok((photo, _)), Some(drawing)) => Ok(found(drawing, (photo.width, photo.height), prefix)),
                (Err(error), _) => Err(error.clone()),
                (Ok(_), None) => unreachable!("what is answered is drawn"),
            };
            self.results += &records::line(path, &found(None));
            let told = found(Some(&self.folder));
            let text = match (&told, self.args.json) {
                (_, true) => records::line(path, &told),
                (Ok(found), false) if !self.model.quiet => {
                    let name = printable(&path.to_string_lossy());
                    let strip = printable(&found.files.strip);
                    let (width, height) = (found.width, found.height);
                    let table = table::exits(&found.exits);
                    format!("{name} ({width} x {height})\n{table}  film strip: {strip}\n")
                }
                _ => String::new(),
            };
            let output = &mut self.output;
            self.bar.suspend(|| {
                told.as_ref().err().inspect(|error: &&Error| output::error(error));
                output.print(&text)
            })?;
            self.bar.inc(1);
        }
        Ok(())
    }
}

/// How each image that was answered is to be drawn.
fn drawings<'a>(
    style: &'a Style,
    names: &mut Names,
    paths: &[PathBuf],
    answered: &'a [Result<Answered>],
) -> Vec<Option<Drawing<'a>>> {
    let drawing = |(path, answered): (&PathBuf, &'a Result<Answered>)| {
        let (photo, answers) = answered.as_ref().ok()?;
        let title = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let view = photo.view.as_ref().expect("explain asks for a view");
        Some(Drawing { style, stem: names.stem(path), title, view, answers })
    };
    paths.iter().zip(answered).map(drawing).collect()
}

/// What is said about an image; file names with the folder where `folder` is given.
fn found(drawing: &Drawing, (width, height): (usize, usize), folder: Option<&Folder>) -> Found {
    let name = |item| {
        let name = drawing.name(item);
        folder.map_or(name.clone(), |folder| folder.path().join(&name).to_string_lossy().into_owned())
    };
    let labels = &drawing.style.labels;
    let exit = |(i, answer): (usize, &msdcam::cam::ExitAnswer)| {
        let heat = drawing.heat(i, drawing.style.input, drawing.style.input);
        let target = answer.map.as_ref().map_or(answer.class, |map| map.target);
        let map = MapRecord {
            target,
            target_label: labels[target].clone(),
            status: heat.status,
            map_min: heat.min,
            map_max: heat.max,
            files: MapFiles { cam: name(Item::Overlay(i)) },
        };
        ExitRecord { map: Some(map), ..ExitRecord::new(answer, labels) }
    };
    Found {
        width,
        height,
        exits: drawing.answers.iter().enumerate().map(exit).collect(),
        files: Files { strip: name(Item::Strip), arrays: name(Item::Arrays) },
    }
}
