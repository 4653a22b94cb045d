//! `msdcam report`: an HTML report of a run, and its charts as files.

pub(super) mod run;
pub(super) mod tiles;

use std::path::PathBuf;

use crate::error::path_text;
use crate::imaging::encode_png;
use crate::render::Colormap;
use crate::render::chart::Theme;
use crate::report::{Report, plots};
use crate::run::{Kind, OutputFolder};
use crate::{Error, Result};
use run::LoadedRun;

use super::output;
use super::output::Output;

/// Write an HTML report of a run: charts, and a gallery of every exit's heatmaps
///
/// RUN is a folder written by `msdcam explain -o RUN`, `msdcam evaluate -o RUN`, or both. Writes
/// RUN/report.html, which is self-contained, and RUN/plots with every chart as SVG and PNG. Charts
/// need labels, the gallery needs maps.
#[derive(Debug, clap::Args)]
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
    let folder = args.output.as_deref().unwrap_or(&args.run);
    let linked = folder == args.run;
    let Page { html, problems } = page(&run, args.images, args.colormap, linked)?;
    problems.iter().for_each(output::error);
    let page = folder.join(REPORT.marker);
    let mut text = format!("{}: {:.1} MB\n", path_text(&page), html.len() as f64 / 1e6);
    let out = OutputFolder::claim(folder, REPORT, [])?;
    if let Some(evaluation) = run.evaluation.as_ref().filter(|_| !args.no_plots) {
        let plots = stage_plots(&out, plots::all(evaluation))?;
        text += &format!("{}: {plots} charts\n", path_text(&folder.join("plots")));
    }
    out.finish_with(html.as_bytes())?;
    Output::default().print(&text)
}

/// A report, and what could not be shown in it.
pub(super) struct Page {
    pub html: String,
    problems: Vec<Error>,
}

/// The report of a run, with up to `images` images. `linked` says that it will be written into its folder.
///
/// # Errors
/// When the results are damaged.
pub(super) fn page(run: &LoadedRun, images: usize, colormap: Option<Colormap>, linked: bool) -> Result<Page> {
    let records = run.records(images)?;
    let read = tiles::read(&run.sources(), &records);
    let report = Report {
        name: run.name(),
        classes: &run.classes,
        exits: &run.exits,
        evaluation: run.evaluation.as_ref(),
        images: run.images,
        shown: run.shown,
        tiles: &read.tiles,
        failed: &run.failed,
        method: run.method(),
        fusion: run.fusion(),
        colormap: colormap.or(run.colormap()).unwrap_or_default(),
        linked,
        notices: run.notices(),
        metadata: run.metadata(),
    };
    Ok(Page { html: report.html(), problems: read.problems })
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
