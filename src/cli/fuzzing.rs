//! What the fuzz targets call and is private otherwise: grammars of options, and files that options name.

use std::path::Path;

use super::report::{page, run::LoadedRun};
use crate::Result;
use crate::render::chart::{Drawing, Theme};
use crate::report::plots;

pub use super::evaluate::early_exit::{multiply_adds, read_thresholds};
pub use super::exits::{Exits, ranges};
pub use super::faithfulness::object_boxes::{Boxes, read as read_boxes};
pub use super::run::{Selection, ShardArg};
pub use super::serve::fuzzing::request;
pub use super::values::{bytes, level, opacity, probability, seconds};

/// Whether `arguments`, without the name of the program, are a command line.
pub fn is_command_line(arguments: &[&str]) -> bool {
    super::parse(["msdcam"].iter().chain(arguments)).is_ok()
}

/// The report of the run in `folder`, whose charts are drawn too.
///
/// # Errors
/// When there is none, or it is damaged.
pub fn report(folder: &Path) -> Result<String> {
    let run = LoadedRun::open(folder)?;
    let html = page(&run, 4, None, false)?.html;
    let draw = |drawing: Drawing| (drawing.svg(), drawing.picture(Theme::Light, 0.5));
    run.evaluation.iter().flat_map(plots::all).for_each(|plot| drop(draw(plot.drawing)));
    Ok(html)
}
