//! `msdcam report`: a run as one HTML page, and its charts as files.

pub(super) mod run;
pub(super) mod tiles;

use std::path::{Path, PathBuf};

use crate::Result;
use crate::error::printable;
use crate::imaging::encode_png;
use crate::render::Colormap;
use crate::render::chart::Theme;
use crate::report::{Report, plots};
use crate::util::atomic_file;
use run::Run;

use super::output;
use super::output::Output;

/// Make a page of a run: charts, and a gallery of where each exit looks
///
/// RUN is a folder that `msdcam explain -o RUN` or `msdcam evaluate -o RUN` has written, or both.
/// Writes RUN/report.html, which needs no network and nothing beside it, and RUN/plots: every
/// chart as SVG and PNG. Without labels there are no charts, without maps no gallery.
#[derive(Debug, clap::Args)]
#[command(after_help = super::EXIT_CODES)]
pub struct Args {
    /// The run's folder
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Folder for report.html and plots, if not the run's own
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Most images in the gallery; of a larger run every so many-th is shown
    #[arg(long, value_name = "N", default_value_t = 1000)]
    images: usize,
    /// Colours in which the gallery begins, if not the run's own
    #[arg(long, value_name = "NAME")]
    colormap: Option<Colormap>,
    /// No plots folder
    #[arg(long)]
    no_plots: bool,
}

/// Reads the run, writes the page and the plots, says where they are.
pub fn run(args: Args) -> Result<()> {
    let run = Run::open(&args.run)?;
    let records = run.records(args.images)?;
    let folder = args.output.as_deref().unwrap_or(&args.run);
    let read = tiles::read(&args.run, &records);
    read.problems.iter().for_each(output::error);
    let evaluation = run.evaluation.as_ref();
    let report = Report {
        name: run.name(),
        classes: &run.classes,
        exits: &run.exits,
        evaluation,
        images: run.images,
        shown: run.shown,
        tiles: &read.tiles,
        failed: &run.failed,
        colormap: args.colormap.or(run.colormap()).unwrap_or_default(),
        linked: folder == args.run,
        notices: run.notices(),
        facts: run.facts(),
    };
    make_folder(folder)?;
    let page = folder.join("report.html");
    atomic_file::write_atomically(&page, report.html().as_bytes())?;
    let mut text = format!("{}\n", printable(&page.to_string_lossy()));
    if let Some(evaluation) = evaluation.filter(|_| !args.no_plots) {
        let plots = write_plots(&folder.join("plots"), plots::all(evaluation))?;
        text += &format!("{}: {plots} charts\n", printable(&folder.join("plots").to_string_lossy()));
    }
    Output::default().print(&text)
}

/// Writes each plot as SVG and as PNG, twice as large for fine screens; how many there are.
fn write_plots(folder: &Path, plots: Vec<plots::Plot>) -> Result<usize> {
    make_folder(folder)?;
    for plot in &plots {
        let file = |ending: &str| folder.join(format!("{}.{ending}", plot.name));
        atomic_file::write_atomically(&file("svg"), plot.drawing.svg().as_bytes())?;
        let picture = plot.drawing.picture(Theme::Light, 2.0);
        atomic_file::write_atomically(&file("png"), &encode_png(&picture))?;
    }
    Ok(plots.len())
}

fn make_folder(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|e| crate::Error::write(folder, e))
}
