//! `msdcam explain`: where each exit looks, in pictures and numbers.

mod draw;
mod folder;
mod names;
mod report;

use std::path::PathBuf;

use draw::{Drawing, Item, Style};
use folder::Folder;
use indicatif::ProgressBar;
use msdcam::Result;
use msdcam::cam::{Explainer, Question};
use msdcam::graph::plan::Order;
use msdcam::render::Colormap;
use names::Names;

use super::images::{self, Answered};
use super::model::{Model, ModelArgs};
use super::outcome::{Outcome, Tally};
use super::output::{self, Output};
use super::select::{Class, Exits};
use super::{parallel, records};

/// Show where each exit looks: a heat map for every exit, drawn over the photo
///
/// For each image, writes NAME_exit01_cam.png and so on, the film strip NAME_strip.png that
/// shows them all, and NAME.npz with the numbers; then results.jsonl about all images, and
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

/// Explains the images; prints a table or JSON and writes the files.
pub fn run(args: Args) -> Result<Outcome> {
    let model = args.model.load()?;
    let exits = args.exits.resolve(model.exits())?;
    let target = args.class.resolve(&model.labels)?;
    let folder = Folder::open(&args.output)?;
    let question = Question { exits, maps: true, order: Order::Depth };
    let group = images::group_size(&model, args.images.len());
    let mut explainer = Explainer::new(&model.network, &question, &model.device, group)?;
    let about = about(&args, &model, &question.exits, target);

    model.announce();
    let style = Style { labels: model.labels.clone(), target, colormap: args.colormap, input: model.input() };
    let mut run = Run {
        args: &args,
        model: &model,
        folder,
        names: Names::default(),
        bar: images::progress(&model, args.images.len()),
        output: Output::default(),
        tally: Tally::default(),
        results: String::new(),
    };
    for paths in args.images.chunks(group) {
        let side = Some(usize::from(args.size));
        let answered = images::answer_group(&model, paths, side, |inputs| explainer.explain(inputs, target))?;
        let drawings = run.drawings(&style, paths, &answered);
        run.draw(&drawings)?;
        run.tell(paths, &drawings)?;
    }
    run.bar.finish_and_clear();
    run.folder.close(&run.results, about, &run.tally)?;
    if let Some(summary) = run.tally.summary() {
        output::note(&summary);
    }
    Ok(run.tally.outcome())
}

/// How the results are made, for the manifest.
fn about(args: &Args, model: &Model, exits: &[usize], target: Option<usize>) -> serde_json::Value {
    serde_json::json!({
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
    })
}

/// A run under way.
struct Run<'a> {
    args: &'a Args,
    model: &'a Model,
    folder: Folder,
    names: Names,
    bar: ProgressBar,
    output: Output,
    tally: Tally,
    /// The text of results.jsonl.
    results: String,
}

impl Run<'_> {
    /// How each image is to be drawn, or why it cannot be.
    fn drawings<'a>(
        &mut self,
        style: &'a Style,
        paths: &[PathBuf],
        answered: &'a [Result<Answered>],
    ) -> Vec<Result<Drawing<'a>>> {
        let drawing = |(path, answered): (&PathBuf, &'a Result<Answered>)| {
            let (photo, answers) = answered.as_ref().map_err(Clone::clone)?;
            let title = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Ok(Drawing { style, stem: self.names.stem(path), title, photo, answers })
        };
        paths.iter().zip(answered).map(drawing).collect()
    }

    /// Writes all files of a group's images.
    fn draw(&self, drawings: &[Result<Drawing>]) -> Result<()> {
        let items = drawings.iter().flatten().flat_map(|d| d.items().map(move |item| (d, item)));
        let items: Vec<(&Drawing, Item)> = items.collect();
        let write = |(drawing, item): &(&Drawing, Item)| drawing.write(*item, self.folder.path());
        parallel::map(self.model.threads, &items, write).into_iter().collect()
    }

    /// Says what was found, on the terminal and for results.jsonl.
    fn tell(&mut self, paths: &[PathBuf], drawings: &[Result<Drawing>]) -> Result<()> {
        for (path, drawing) in paths.iter().zip(drawings) {
            self.tally.count(path, drawing);
            self.results += &records::line(path, &drawing.as_ref().map(|d| report::found(d, None)));
            let found = drawing.as_ref().map(|d| report::found(d, Some(self.folder.path())));
            let text = match &found {
                _ if self.args.json => records::line(path, &found),
                Ok(found) if !self.model.quiet => report::for_people(path, found),
                _ => String::new(),
            };
            let output = &mut self.output;
            self.bar.suspend(|| {
                if let Err(error) = &found {
                    output::error(error);
                }
                output.print(&text)
            })?;
            self.bar.inc(1);
        }
        Ok(())
    }
}
