//! `msdcam figure`: a table of images by exits, as in the article's Figures 2 and 3.

use std::path::PathBuf;

use crate::error::path_text;
use crate::imaging::heatmap::{Heatmap, MapStatus};
use crate::imaging::rgb_image::RgbImage;
use crate::imaging::{Filter, Region, resample};
use crate::render::Colormap;
use crate::render::figure::{FigureRow, figure};
use crate::render::overlay::{HEAT_ALPHA, overlay};
use crate::render::placeholder::{placeholder, placeholder_text};
use crate::render::sheet::{ExitCell, Legend, SheetOptions};
use crate::report::{ImageResult, outcomes};
use crate::run::check_not_an_input;
use crate::util::atomic_file;
use crate::{Error, Result, imaging};

use super::exits::Exits;
use super::output::Output;
use super::run::Selection;
use super::{drawn_names, output};
use crate::cli::report::run::LoadedRun;
use crate::cli::report::tiles::Sources;

/// Draw a figure of images by exits: the photo and its hardness, then the heatmap of each exit
///
/// RUN is a folder written by `msdcam explain -o RUN` for images with labels. Each picture is
/// captioned Correctly-classified or Mis-classified, as in Figures 2 and 3 of the article.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder of the run
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Images from top to bottom, by name in results.jsonl or by the end of the name: dog/7.png or 7.png
    #[arg(long, value_name = "IMAGE", required_unless_present = "select", value_delimiter = ',', num_args = 1..)]
    rows: Vec<String>,
    /// Use the first images that match this selection instead, as for `msdcam explain`
    #[arg(long, value_name = "TERMS", conflicts_with = "rows")]
    select: Option<Selection>,
    /// Maximum number of images that --select takes
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=100))]
    most: u16,
    /// Columns: all, or exits and ranges such as 1,3,5..10
    #[arg(long, value_name = "LIST", default_value = "all", allow_hyphen_values = true)]
    exits: Exits,
    /// File to write
    #[arg(short, long, value_name = "FILE", default_value = "figure.png")]
    output: PathBuf,
    /// Title of the figure
    #[arg(long, value_name = "TEXT", default_value = "")]
    title: String,
    /// Colormap of the heatmaps [default: the run's own]
    #[arg(long, value_name = "NAME")]
    colormap: Option<Colormap>,
    /// Opacity of the heatmaps, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = HEAT_ALPHA, value_parser = share)]
    heat_alpha: f32,
}

/// A row of the figure, loaded.
struct Image {
    record: ImageResult,
    photo: RgbImage,
    /// Picture of each column.
    pictures: Vec<RgbImage>,
}

/// Reads the run, writes the figure and prints its path.
pub fn run(args: Args) -> Result<()> {
    let run = LoadedRun::open(&args.run)?;
    let exits = match &args.exits {
        // The run need not cover all exits of the model.
        Exits::All => run.exits.clone(),
        ranges => ranges.resolve(run.exits.last().copied().unwrap_or(0))?,
    };
    if let Some(missing) = exits.iter().find(|exit| !run.exits.contains(exit)) {
        return Err(Error::usage(format!("exit {missing}: the run has exits {}", list(&run.exits))));
    }
    let colormap = args.colormap.or(run.colormap()).unwrap_or_default();
    let legend = Legend::heatmap(colormap.table());
    let options = SheetOptions { title: args.title.clone(), legend, ..SheetOptions::default() };
    let records = chosen(&run, &args)?;
    let files: Vec<PathBuf> = run.files(&records).collect();
    check_not_an_input(&args.output, files.iter().map(PathBuf::as_path))?;
    let sources = run.sources();
    let images =
        records.into_iter().map(|record| read(&args, &sources, record, &exits, (&options, colormap)));
    let images = images.collect::<Result<Vec<Image>>>()?;
    let classes = drawn_names::classes(&run.classes);
    let rows: Vec<FigureRow> = images.iter().map(|image| row(image, &exits, &classes)).collect();
    drawn_names::note(&run.classes, None).iter().for_each(|note| output::note(note));
    atomic_file::write_atomically(&args.output, &imaging::encode_png(&figure(&rows, &options)))?;
    Output::default().print(&format!("{}\n", path_text(&args.output)))
}

/// Results of the requested images.
fn chosen(run: &LoadedRun, args: &Args) -> Result<Vec<ImageResult>> {
    match &args.select {
        Some(selection) => selected(run, args, selection),
        None => named(run, args),
    }
}

/// Results of the first images that match `selection`.
fn selected(run: &LoadedRun, args: &Args, selection: &Selection) -> Result<Vec<ImageResult>> {
    let resolved = selection.resolve(&run.classes, &run.exits)?;
    let mut left = args.most;
    let records = run.records_where(|record| {
        let outcomes = outcomes(std::slice::from_ref(record), &run.exits);
        let takes = left > 0 && outcomes.iter().any(|outcome| resolved.matches(outcome));
        left -= u16::from(takes);
        takes
    })?;
    if records.is_empty() {
        let cause = format!("no image with a label and pictures matches {}", selection.text());
        return Err(Error::refused(&args.run, "--select", cause));
    }
    Ok(records)
}

/// Results of the images of `--rows`, in the given order.
fn named(run: &LoadedRun, args: &Args) -> Result<Vec<ImageResult>> {
    let found = run.records_where(|record| args.rows.iter().any(|name| is_called(record, name)))?;
    let row = |name: &String| {
        let exact = found.iter().find(|record| record.image == *name);
        let mut alike = found.iter().filter(|record| is_called(record, name));
        let only = match (exact, alike.next(), alike.next()) {
            (Some(record), ..) | (None, Some(record), None) => record,
            (None, None, _) => {
                let cause = format!("the run has no image {name} with pictures");
                return Err(Error::refused(&args.run, "--rows", cause));
            }
            (None, Some(a), Some(b)) => {
                let cause = format!("{name} matches both {} and {}", a.image, b.image);
                return Err(Error::refused(&args.run, "--rows", cause));
            }
        };
        if only.label.is_none() {
            let cause = "has no label, so its exits cannot be called right or wrong";
            return Err(Error::refused(&args.run, &only.image, cause));
        }
        Ok(only.clone())
    };
    args.rows.iter().map(row).collect()
}

/// Whether `name` is the image's name or its last path components.
fn is_called(record: &ImageResult, name: &str) -> bool {
    let rest = record.image.strip_suffix(name);
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('/')) && !name.is_empty()
}

/// Loads the photo and draws the pictures of an image at the size of the sheet.
fn read(
    args: &Args,
    sources: &Sources,
    record: ImageResult,
    exits: &[usize],
    (options, colormap): (&SheetOptions, Colormap),
) -> Result<Image> {
    let refused = |cause: &str| Error::refused(&args.run, &record.image, cause);
    let photo = sources.photo(&record)?.ok_or_else(|| match &record.files.strip {
        None => refused("its photo is lost: there is neither a film strip nor an array 'input'"),
        Some(strip) => refused(&format!(
            "its photo is lost: there is no array 'input', and {strip} is no film strip in PNG or WebP"
        )),
    })?;
    let size = options.picture((photo.height, photo.width));
    let photo = resample(&photo, Region::all(&photo), size.1, size.0, Filter::Bicubic);
    let maps = sources.maps(&record)?.ok_or_else(|| refused("has no maps"))?;
    let picture = |exit: &usize| {
        let at = record.exits.iter().position(|e| e.exit == *exit).expect("the run has it");
        let map = &maps[at].map;
        let heatmap = Heatmap::new(&map.values, (map.shape[0], map.shape[1]), size);
        match heatmap.status {
            MapStatus::Ok => overlay(&photo, &heatmap, colormap, args.heat_alpha),
            status => placeholder(&photo, placeholder_text(status)),
        }
    };
    let pictures = exits.iter().map(picture).collect();
    Ok(Image { photo, pictures, record })
}

fn row<'a>(image: &'a Image, exits: &[usize], classes: &'a [String]) -> FigureRow<'a> {
    let Image { record, photo, pictures } = image;
    let label = record.label.expect("images without one are refused");
    let right = record.exits.iter().filter(|exit| exit.is_right(label)).count();
    let shown = record.exits.iter().filter(|exit| exits.contains(&exit.exit));
    let cells = shown.clone().zip(pictures).map(|(exit, picture)| {
        let probability = exit.probability.unwrap_or(f32::NAN);
        ExitCell { exit: exit.exit, label: &classes[exit.class], probability, picture }
    });
    FigureRow {
        photo,
        label: &classes[label],
        hardness: format!("right at {right} of {} exits", record.exits.len()),
        cells: cells.collect(),
        right: shown.map(|exit| exit.is_right(label)).collect(),
    }
}

fn list(exits: &[usize]) -> String {
    exits.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

fn share(text: &str) -> Result<f32, String> {
    let share: f32 = text.parse().map_err(|_| format!("invalid number '{text}'"))?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("expected a number from 0 to 1".into()) }
}
