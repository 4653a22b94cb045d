//! `msdcam figure`: images by exits, as in the article's Figures 2 and 3.

use std::path::PathBuf;

use crate::error::printable;
use crate::imaging::heatmap::{Heatmap, MapStatus};
use crate::imaging::rgb_image::RgbImage;
use crate::imaging::{Filter, Region, resample};
use crate::render::Colormap;
use crate::render::figure::{Row, figure};
use crate::render::overlay::{HEAT_ALPHA, overlay};
use crate::render::placeholder::{reason, reason_picture};
use crate::render::sheet::{Cell, Legend, Options};
use crate::report::{Record, outcomes};
use crate::util::atomic_file;
use crate::util::npz::Floats;
use crate::{Error, Result, imaging};

use super::exits::Exits;
use super::output::Output;
use super::run::Selection;
use crate::cli::report::run::Run;
use crate::cli::report::tiles;

/// Draw images by exits: the photo and how hard it is, then where each exit looks
///
/// RUN is a folder that `msdcam explain -o RUN` has written, of images with labels. Under each
/// picture stands Correctly-classified or Mis-classified, as in Figures 2 and 3 of the article.
#[derive(Debug, clap::Args)]
#[command(after_help = super::EXIT_CODES)]
pub struct Args {
    /// The run's folder
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Images from top to bottom, by their names in results.jsonl or the end of one: dog/7.png or 7.png
    #[arg(long, value_name = "IMAGE", required_unless_present = "select", value_delimiter = ',', num_args = 1..)]
    rows: Vec<String>,
    /// Instead, the first images for which all of this holds, as for `msdcam explain`
    #[arg(long, value_name = "TERMS", conflicts_with = "rows")]
    select: Option<Selection>,
    /// How many images --select takes
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=100))]
    most: u16,
    /// Columns: all, or numbers and ranges such as 1,3,5,10
    #[arg(long, value_name = "LIST", default_value = "all", allow_hyphen_values = true)]
    exits: Exits,
    /// The picture to write
    #[arg(short, long, value_name = "FILE", default_value = "figure.png")]
    output: PathBuf,
    /// Headline
    #[arg(long, value_name = "TEXT", default_value = "")]
    title: String,
    /// Colours of the heat maps, if not the run's own
    #[arg(long, value_name = "NAME")]
    colormap: Option<Colormap>,
    /// Opacity of the heat maps, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = HEAT_ALPHA, value_parser = share)]
    heat_alpha: f32,
}

/// An image of the figure.
struct Image {
    record: Record,
    photo: RgbImage,
    /// For each column where the exit looks.
    pictures: Vec<RgbImage>,
}

/// Reads the run, draws the figure, says where it is.
pub fn run(args: Args) -> Result<()> {
    let run = Run::open(&args.run)?;
    let exits = match &args.exits {
        // Those of the run, which need not be all of the network's.
        Exits::All => run.exits.clone(),
        ranges => ranges.resolve(run.exits.last().copied().unwrap_or(0))?,
    };
    if let Some(missing) = exits.iter().find(|exit| !run.exits.contains(exit)) {
        return Err(Error::usage(format!("exit {missing}: the run has exits {}", list(&run.exits))));
    }
    let colormap = args.colormap.or(run.colormap()).unwrap_or_default();
    let legend = Legend::heat(colormap.table());
    let options = Options { title: args.title.clone(), legend, ..Options::default() };
    let records = chosen(&run, &args)?;
    let images = records.into_iter().map(|record| read(&args, record, &exits, (options.cell, colormap)));
    let images = images.collect::<Result<Vec<Image>>>()?;
    let rows: Vec<Row> = images.iter().map(|image| row(image, &exits, &run.classes)).collect();
    atomic_file::write_atomically(&args.output, &imaging::encode_png(&figure(&rows, &options)))?;
    Output::default().print(&format!("{}\n", printable(&args.output.to_string_lossy())))
}

/// The records of the images asked for.
fn chosen(run: &Run, args: &Args) -> Result<Vec<Record>> {
    match &args.select {
        Some(selection) => selected(run, args, selection),
        None => named(run, args),
    }
}

/// The first images that are selected.
fn selected(run: &Run, args: &Args, selection: &Selection) -> Result<Vec<Record>> {
    let chooser = selection.resolve(&run.classes, &run.exits)?;
    let mut left = args.most;
    let records = run.records_that(|record| {
        let outcomes = outcomes(std::slice::from_ref(record), &run.exits);
        let takes = left > 0 && outcomes.iter().any(|outcome| chooser.takes(outcome));
        left -= u16::from(takes);
        takes
    })?;
    if records.is_empty() {
        let cause = format!("no image with a label and pictures is {}", selection.text());
        return Err(Error::refused(&args.run, "--select", cause));
    }
    Ok(records)
}

/// The images of `--rows`, in the order asked for.
fn named(run: &Run, args: &Args) -> Result<Vec<Record>> {
    let found = run.records_that(|record| args.rows.iter().any(|name| is_called(record, name)))?;
    let row = |name: &String| {
        let exact = found.iter().find(|record| record.image == *name);
        let mut alike = found.iter().filter(|record| is_called(record, name));
        let only = match (exact, alike.next(), alike.next()) {
            (Some(record), ..) | (None, Some(record), None) => record,
            (None, None, _) => {
                let cause = format!("no image {name} with pictures is in it");
                return Err(Error::refused(&args.run, "--rows", cause));
            }
            (None, Some(a), Some(b)) => {
                let cause = format!("{name} is {} and {}", a.image, b.image);
                return Err(Error::refused(&args.run, "--rows", cause));
            }
        };
        if only.label.is_none() {
            let cause = "has no label, so that no exit is right or wrong";
            return Err(Error::refused(&args.run, &only.image, cause));
        }
        Ok(only.clone())
    };
    args.rows.iter().map(row).collect()
}

/// Whether `name` is the image's, or its last parts.
fn is_called(record: &Record, name: &str) -> bool {
    let rest = record.image.strip_suffix(name);
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('/')) && !name.is_empty()
}

/// Photo and pictures of an image, `side` x `side`.
fn read(args: &Args, record: Record, exits: &[usize], (side, colormap): (usize, Colormap)) -> Result<Image> {
    let refused = |cause: &str| Error::refused(&args.run, &record.image, cause);
    let photo =
        tiles::photo(&args.run, &record)?.ok_or_else(|| refused("has no film strip with its photo"))?;
    let photo = resample(&photo, Region::all(&photo), side, side, Filter::Bicubic);
    let cam = tiles::cam(&args.run, &record)?.ok_or_else(|| refused("has no maps"))?;
    let picture = |exit: &usize| {
        let at = record.exits.iter().position(|e| e.exit == *exit).expect("the run has it");
        let heat = heat(&cam, at, record.exits.len(), side);
        let heat = heat.ok_or_else(|| refused("its maps are not one an exit"))?;
        Ok(match heat.status {
            MapStatus::Ok => overlay(&photo, &heat, colormap, args.heat_alpha),
            status => reason_picture(&photo, reason(status)),
        })
    };
    let pictures = exits.iter().map(picture).collect::<Result<_>>()?;
    Ok(Image { photo, pictures, record })
}

/// The heat map of the exit at position `at` of so many `exits`.
fn heat(cam: &Floats, at: usize, exits: usize, side: usize) -> Option<Heatmap> {
    let &[first, .., h, w] = &cam.shape[..] else { return None };
    if first != exits || cam.values.is_empty() {
        return None;
    }
    let each = cam.values.len() / exits;
    Some(Heatmap::new(cam.values[at * each..].get(..h * w)?, (h, w), (side, side)))
}

fn row<'a>(image: &'a Image, exits: &[usize], classes: &'a [String]) -> Row<'a> {
    let Image { record, photo, pictures } = image;
    let label = record.label.expect("images without one are refused");
    let right = record.exits.iter().filter(|exit| exit.class == label).count();
    let shown = record.exits.iter().filter(|exit| exits.contains(&exit.exit));
    let cells = shown.clone().zip(pictures).map(|(said, picture)| {
        let probability = said.probability.unwrap_or(f32::NAN);
        Cell { exit: said.exit, label: &classes[said.class], probability, picture }
    });
    Row {
        photo,
        label: &classes[label],
        hardness: format!("right at {right} of {} exits", record.exits.len()),
        cells: cells.collect(),
        right: shown.map(|exit| exit.class == label).collect(),
    }
}

fn list(exits: &[usize]) -> String {
    exits.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

fn share(text: &str) -> Result<f32, String> {
    let share: f32 = text.parse().map_err(|_| format!("'{text}' is no number"))?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("expected a number from 0 to 1".into()) }
}
