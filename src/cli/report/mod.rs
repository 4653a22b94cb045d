//! `msdcam report`: an HTML report of a run, and its charts as files.

pub(super) mod run;
pub(super) mod tiles;

use std::path::PathBuf;

use crate::Result;
use crate::error::printable;
use crate::imaging::encode_png;
use crate::render::Colormap;
use crate::render::chart::Theme;
use crate::report::{Report, plots};
use crate::run::{Kind, OutputFolder};
use run::LoadedRun;

use super::output;
use super::output::Output;

/// Write an HTML report of a run: charts, and a gallery of every exit's heatmaps
///
/// RUN is a folder written by `msdcam explain -o RUN`, `msdcam evaluate -o RUN`, or both. Writes
/// RUN/report.html, which is self-contained, and RUN/plots with every chart as SVG and PNG. Charts
/// need labels, the gallery needs maps.
#[derive(Debug, clap::Args)]
#[command(after_help = super::EXIT_CODES)]
pub struct Args {
    /// Folder of the run
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Folder for report.html and plots [default: the run's folder]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Maximum number of gallery images; larger runs are subsampled evenly
    #[arg(long, value_name = "N", default_value_t = 1000)]
    images: usize,
    /// Initial colormap of the gallery [default: the run's own]
    #[arg(long, value_name = "NAME")]
    colormap: Option<Colormap>,
    /// Do not write the plots folder
    #[arg(long)]
    no_plots: bool,
}

/// What a report consists of, beside the plots.
const REPORT: Kind =
    Kind { name: "report", title: "a report", marker: "report.html", lock: "report.lock", files: &[] };

/// Reads the run, writes the report and the plots, and prints their paths.
pub fn run(args: Args) -> Result<()> {
    let run = LoadedRun::open(&args.run)?;
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
        metadata: run.metadata(),
    };
    let page = folder.join(REPORT.marker);
    let mut text = format!("{}\n", printable(&page.to_string_lossy()));
    let out = OutputFolder::claim(folder, REPORT, [])?;
    if let Some(evaluation) = evaluation.filter(|_| !args.no_plots) {
        let plots = stage_plots(&out, plots::all(evaluation))?;
        text += &format!("{}: {plots} charts\n", printable(&folder.join("plots").to_string_lossy()));
    }
    out.finish_with(report.html().as_bytes())?;
    Output::default().print(&text)
}

/// Draws each plot as SVG and as PNG at twice its size for high-density screens; returns their number.
fn stage_plots(out: &OutputFolder, plots: Vec<plots::Plot>) -> Result<usize> {
    for plot in &plots {
        let name = |ending: &str| format!("plots/{}.{ending}", plot.name);
        out.stage(&name("svg"), plot.drawing.svg().as_bytes())?;
        let picture = plot.drawing.picture(Theme::Light, 2.0);
        out.stage(&name("png"), &encode_png(&picture))?;
    }
    Ok(plots.len())
}
