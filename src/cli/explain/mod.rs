//! `msdcam explain`: where each exit looks, in pictures and numbers.

mod draw;
mod folder;
mod names;
mod report;

use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Instant;

use draw::{Drawing, Style};
use folder::Folder;
use indicatif::ProgressBar;
use msdcam::Result;
use msdcam::cam::{Explainer, Question};
use msdcam::dataset::{Dataset, Item};
use msdcam::graph::plan::Order;
use msdcam::render::Colormap;
use names::Names;

use super::data::DataArgs;
use super::images::{self, Answered};
use super::model::{Model, ModelArgs};
use super::outcome::{Outcome, Tally};
use super::output::{self, Output};
use super::select::{Class, Exits};
use super::timings::{Stage, Timings};
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
    #[command(flatten)]
    data: DataArgs,
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
    /// Say on standard error where the time went, from the program's start to the last file
    #[arg(long)]
    timings: bool,
    #[command(flatten)]
    model: ModelArgs,
}

/// Explains the images; prints a table or JSON and writes the files. The program began at `start`.
pub fn run(args: Args, start: Instant) -> Result<Outcome> {
    let timings = Timings::since(start);
    let model = args.model.load(&timings)?;
    let exits = args.exits.resolve(model.exits())?;
    let target = args.class.resolve(&model.labels)?;
    let dataset = args.data.open(&model.labels)?;
    let folder = Folder::open(&args.output)?;
    let question = Question { exits, maps: true, order: Order::Depth };
    let about = about(&args, &model, &question.exits, target);
    let style = Style { labels: model.labels.clone(), target, colormap: args.colormap, input: model.input() };
    let run = Run {
        args: &args,
        model: &model,
        dataset: &dataset,
        timings: &timings,
        style: &style,
        folder,
        names: Names::default(),
        bar: images::progress(&model, dataset.len()),
        output: Output::default(),
        tally: Tally::default(),
        results: String::new(),
    };
    let run = run.all_images(&question, target)?;
    run.bar.finish_and_clear();
    run.folder.close(&run.results, about, &run.tally)?;
    if let Some(summary) = run.tally.summary() {
        output::note(&summary);
    }
    if args.timings {
        output::note(&timings.table());
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

/// Some images, and what each exit says about them.
type Group = (Vec<Item>, Vec<Result<Answered>>);

/// A run under way.
struct Run<'a> {
    args: &'a Args,
    model: &'a Model,
    dataset: &'a Dataset,
    timings: &'a Timings,
    style: &'a Style,
    folder: Folder,
    names: Names,
    bar: ProgressBar,
    output: Output,
    tally: Tally,
    /// The text of results.jsonl.
    results: String,
}

impl<'r> Run<'r> {
    /// Reads, asks and draws side by side: while one group of images is drawn, the network has
    /// the next and the one behind it is being read. No more than these three are in memory.
    /// The first group is read beside the planning.
    fn all_images(self, question: &Question, target: Option<usize>) -> Result<Self> {
        let Run { args, model, dataset, timings, .. } = self;
        let group = images::group_size(model, dataset.len());
        std::thread::scope(|scope| {
            // A stage that ends early drops its end of a channel, and its neighbours end too.
            let view = Some(usize::from(args.size));
            let photos = images::groups(scope, model, dataset, group, view, timings);
            let load = || Explainer::new(&model.network, question, &model.device, group);
            let mut explainer = timings.time(Stage::Plan, load)?;
            model.announce();
            model.announce_notes(&explainer);
            let (answer, answered) = sync_channel(0);
            let drawn = scope.spawn(move || self.draw_all(answered));
            for (items, photos) in photos {
                let ask = |inputs: &[f32]| timings.time(Stage::Run, || explainer.explain(inputs, target));
                if answer.send((items, images::answer_group(photos, ask)?)).is_err() {
                    break;
                }
            }
            drop(answer);
            drawn.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    /// Draws and tells about every group, in the order in which they come.
    fn draw_all(mut self, groups: Receiver<Group>) -> Result<Self> {
        for (items, answered) in groups {
            let drawings = self.drawings(&items, &answered);
            self.draw(&drawings)?;
            self.tell(&items, &drawings)?;
        }
        Ok(self)
    }

    /// How each image is to be drawn, or why it cannot be.
    fn drawings<'a>(&mut self, items: &[Item], answered: &'a [Result<Answered>]) -> Vec<Result<Drawing<'a>>>
    where
        'r: 'a,
    {
        let style = self.style;
        let drawing = |(item, answered): (&Item, &'a Result<Answered>)| {
            let (photo, answers) = answered.as_ref().map_err(Clone::clone)?;
            let path = Path::new(&item.id);
            let title = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Ok(Drawing { style, stem: self.names.stem(path), title, label: item.label, photo, answers })
        };
        items.iter().zip(answered).map(drawing).collect()
    }

    /// Writes all files of a group's images.
    fn draw(&self, drawings: &[Result<Drawing>]) -> Result<()> {
        let files = drawings.iter().flatten().flat_map(|d| d.files().map(move |file| (d, file)));
        let files: Vec<(&Drawing, draw::File)> = files.collect();
        let write =
            |(drawing, file): &(&Drawing, draw::File)| drawing.write(*file, self.folder.path(), self.timings);
        parallel::map(self.model.threads, &files, write).into_iter().collect()
    }

    /// Says what was found, on the terminal and for results.jsonl.
    fn tell(&mut self, items: &[Item], drawings: &[Result<Drawing>]) -> Result<()> {
        for (item, drawing) in items.iter().zip(drawings) {
            self.tally.count(&item.id, drawing);
            self.results +=
                &records::line(item, &self.model.labels, &drawing.as_ref().map(|d| report::found(d, None)));
            let found = drawing.as_ref().map(|d| report::found(d, Some(self.folder.path())));
            let text = match &found {
                _ if self.args.json => records::line(item, &self.model.labels, &found),
                Ok(found) if !self.model.quiet => report::for_people(&item.id, found),
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
