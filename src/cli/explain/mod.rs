//! `msdcam explain`: heatmaps and pixel attributions of each exit, as pictures, arrays and result
//! lines.
//!
//! The arguments are resolved to an [`ExplainJob`]; the [`pipeline`] turns images into explanations
//! and these into files ([`artifacts`]: pictures by [`picture`] and [`sheets`], arrays by
//! [`arrays`]) and result lines ([`record`]), which the [`writer`] writes to a [`sink`]. What is
//! drawn is a list of [`layers`], one for each method, tap and target.

#[cfg(test)]
mod any_network;
mod array_args;
mod arrays;
mod article;
mod artifacts;
mod difference;
pub mod drawing;
mod job;
mod layer_view;
mod layers;
mod map_arrays;
pub mod one_photo;
mod picture;
mod picture_set;
mod pipeline;
mod record;
mod rows;
mod selected;
mod sheets;
mod sink;
mod style_args;
mod writer;

use std::path::PathBuf;
use std::time::Instant;

use crate::explain::{ExplainRequest, PixelMethod, Smoothing};
use crate::model::{InputSpec, Normalization, Source};
use crate::render::styles;
use crate::{Error, Result};
use array_args::ArrayArgs;
use artifacts::{ArticlePictures, ArtifactSpec};
use difference::Subtrahend;
use job::ExplainJob;
use layers::{LayerKind, Layers};
use pipeline::{PipelineEnd, process_images};
use rows::RowLayout;
use sink::ClosedSink;
use style_args::StyleArgs;
use writer::Completed;

use super::data::DataArgs;
use super::drawn_names;
use super::exit_status::Outcome;
use super::exits::ExitArgs;
use super::method_args::MethodArgs;
use super::model::{LoadedModel, ModelArgs};
use super::output;
use super::output::Output;
use super::run::{RunArgs, summary_line};
use super::timings::Timings;

/// Draw a heatmap for each exit over every image
///
/// Images are JPEG, PNG, WebP, GIF, BMP, PNM or TIFF files of up to 210 megapixels. They are turned upright
/// by their EXIF orientation; transparency is composited over white; samples of 16 bits are divided by 257;
/// CMYK is converted; color profiles are ignored; of an animation, the first frame is read.
///
/// For each image, explain writes
/// NAME_exit01_cam.png and so on, NAME_strip.png with all exits, and NAME.npz with the arrays; then
/// results.jsonl with a line for each image and, last, manifest.json. If an image cannot be read,
/// the others are still processed and the exit code is 3.
///
/// With E exits, NAME.npz holds: exit, class (E); logits (E, classes); target, score (E); cam
/// (E, h, w), the activation maps after their ReLU; heatmap, fused (E, H, W) in [0, 1]; difference
/// (E, H, W) in [-1, 1]; pixels.METHOD (E, 3, H, W); tap (E, taps). With several CAM methods or
/// taps, their names follow the key (cam.layer-cam.scale2); with --class topN, a dimension of N
/// follows E. If the exits' taps differ in size, cam.exit1, cam.exit2, ... of (h, w) replace cam.
///
/// A data set (a folder, a CIFAR file or a list on standard input) is processed as a run: if it is
/// interrupted, the same command resumes it, and a finished run is left unchanged. Its arrays are in
/// arrays/KEY.npy, with a row for each image in the order of the data set (np.load with mmap_mode="r");
/// input (H, W, 3), label and state (0: failed, 1: not selected, 2: explained) are there as well. Its
/// pictures, by default the film strips, are in images/, in a folder for each hundred images;
/// failed.jsonl lists the images that failed. A folder that holds the run of another request is
/// refused. For photos given by name, the files of an earlier call are replaced; inputs and files of
/// other programs are not.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    data: DataArgs,
    /// Folder for the results, created if missing
    #[arg(short, long, value_name = "DIR", default_value = "msdcam-out")]
    output: PathBuf,
    #[command(flatten)]
    exits: ExitArgs,
    /// Print one JSON object per image instead of a table
    #[arg(long)]
    json: bool,
    /// Print the time of each stage on standard error
    #[arg(long)]
    timings: bool,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    arrays: ArrayArgs,
    #[command(flatten)]
    methods: MethodArgs,
    /// Also show differences, in blue and red: minus the same map at another exit (exit3), of the
    /// runner-up class (runner-up), or of a class by its name or index. For a class, the score is
    /// the difference of the two logits
    #[arg(
        long,
        value_name = "exitN|runner-up|NAME|INDEX",
        allow_hyphen_values = true,
        help_heading = "Explanation options"
    )]
    minus: Option<String>,
    #[command(flatten)]
    style: StyleArgs,
}

/// Explains the images, writes the files and prints a table or JSON. `start` is the start of the
/// program.
pub fn run(args: Args, start: Instant) -> Result<Outcome> {
    let timings = Timings::since(start);
    let print_timings = args.timings;
    let job = args.resolve(&timings)?;
    let chooser = job.chooser()?;
    let outcome = match process_images(&job, chooser, &timings)? {
        PipelineEnd::AlreadyFinished(summary) => finished_run(&job, summary)?,
        PipelineEnd::Completed(completed, stopped) => close(*completed, stopped, &job)?,
    };
    if print_timings {
        output::note(&timings.table());
    }
    Ok(outcome)
}

impl Args {
    /// What is explained, and which files are made of it; those of a photo given by name.
    ///
    /// # Errors
    /// When the options do not fit the model or each other.
    fn spec(&self, model: &LoadedModel, minus: Option<Subtrahend>) -> Result<(ExplainRequest, ArtifactSpec)> {
        let exits = self.exits.resolve(model.exits.len())?;
        let mut request = self.methods.request(model, exits, minus.and_then(Subtrahend::score))?;
        let has_magnitudes = request.fusion.is_none() && request.smoothing == Smoothing::None;
        let pictures = self.style.resolve(has_magnitudes)?;
        let is_article = pictures.overlay.style == Some(styles::ToolStyle::Article);
        if is_article && !request.pixels.contains(&PixelMethod::InputGradient) {
            request.pixels.push(PixelMethod::InputGradient);
        }
        let drawn_labels = drawn_names::classes(&model.labels);
        let layers = Layers::new(&request, minus, &model.model, &drawn_labels)?;
        let spec = ArtifactSpec {
            labels: model.labels.clone(),
            drawn_labels,
            article: is_article.then(|| article_pictures(&layers, &request.pixels)),
            layers,
            pixels: request.pixels.clone(),
            pictures,
            archive: true,
            set: self.style.picture_set(false),
            format: self.style.picture_format(),
            input: (model.input.height, model.input.width),
        };
        Ok((request, spec))
    }

    /// Loads the model, lists the images and checks that the options agree.
    fn resolve(self, timings: &Timings) -> Result<ExplainJob> {
        let mut model = self.model.load(timings)?;
        let minus = self.minus.as_ref().map(|text| Subtrahend::parse(text, &model.labels)).transpose()?;
        let (request, mut spec) = self.spec(&model, minus)?;
        let dataset = self.data.open(&mut model)?;
        let is_set = self.data.is_set(&dataset);
        if let Some(option) = self.run.any().or(self.arrays.any()).filter(|_| !is_set) {
            let expected = "a folder of images, a CIFAR file or a list on standard input";
            return Err(Error::usage(format!("{option} applies to data sets only: {expected}")));
        }
        if self.run.select.is_some() && dataset.classes().is_none() {
            let name = dataset.name().to_string_lossy();
            return Err(Error::usage(format!("--select needs labels, and {name} has none")));
        }
        let note = drawn_names::note(&model.labels, Some(&dataset));
        note.iter().filter(|_| !model.quiet).for_each(|note| output::note(note));
        spec.archive = !is_set;
        spec.set = self.style.picture_set(is_set);
        let mut manifest = self.methods.manifest(&request, &model.labels);
        manifest["fit"] = model.input.resize.to_string().into();
        manifest["version"] = env!("CARGO_PKG_VERSION").into();
        if let Some(minus) = minus {
            manifest["minus"] = minus.name(&model.labels).into();
        }
        spec.pictures.add_to_manifest(&mut manifest);
        manifest["pictures"] = spec.set.name().into();
        manifest["format_of_pictures"] = spec.format.name().into();
        manifest["device"] = model.device.description().into();
        manifest["weights"] = model.weights_fields();
        manifest["labels"] = model.labels.clone().into();
        // A weights file says these itself.
        if let Source::Onnx { .. } = model.source {
            let InputSpec { height, width, normalization: Normalization { mean, std }, .. } = model.input;
            let (mean, std) = (mean.map(short), std.map(short));
            manifest["input"] =
                serde_json::json!({ "height": height, "width": width, "mean": mean, "std": std });
        }
        let (run, rows) = match is_set {
            true => {
                let arrays = self.arrays.resolve();
                let classes = model.labels.len();
                let rows = RowLayout::new(&spec, &request.exits, classes, &request.smoothing, &arrays)?;
                manifest["arrays"] = rows.keys().into();
                manifest["dtype"] = arrays.dtype_name().into();
                (Some(self.run.resolve()?), Some(rows))
            }
            false => (None, None),
        };
        let (output, json) = (self.output, self.json);
        Ok(ExplainJob { model, dataset, request, spec, rows, manifest, output, run, json })
    }
}

/// `x` with the few digits that tell it from other numbers of single precision: 0.485, not 0.48500001430511475.
fn short(x: f32) -> f64 {
    x.to_string().parse().unwrap_or(f64::from(x))
}

/// The article's `_cam_gb` is drawn from the first heatmap and the gradient.
fn article_pictures(layers: &Layers, pixels: &[PixelMethod]) -> ArticlePictures {
    let heatmap = match layers.all[0].kind {
        LayerKind::Heatmap(source) => Some(source),
        LayerKind::Difference(_) | LayerKind::Pixels { .. } => None,
    };
    let gradient = pixels.iter().position(|&method| method == PixelMethod::InputGradient);
    ArticlePictures { cam_gb: heatmap.zip(gradient) }
}

/// Closes the sink and reports what failed or is pending.
fn close(completed: Completed, stopped: Option<u8>, job: &ExplainJob) -> Result<Outcome> {
    let Completed { sink, tally, statuses } = completed;
    let closed = sink.close(job, &tally)?;
    let notes = statuses.summary().into_iter().filter(|_| !job.model.quiet);
    notes.chain(tally.summary()).for_each(|note| output::note(&note));
    match closed {
        ClosedSink::Photos(outcome) => Ok(outcome),
        ClosedSink::Finished(summary) => finished_run(job, summary),
        ClosedSink::Interrupted(summary) => {
            output::note(&format!(
                "stopped after {} of {} images; the same command resumes the run",
                summary.images,
                job.dataset.len()
            ));
            Ok(stopped.map_or(Outcome::AllDone, Outcome::Stopped))
        }
    }
}

/// Prints the summary of a finished run.
fn finished_run(job: &ExplainJob, summary: crate::run::Summary) -> Result<Outcome> {
    if !job.json && !job.model.quiet {
        Output::default().print(&summary_line(&summary, &job.output))?;
    }
    Ok(Outcome::of(summary.images, summary.failed))
}
