//! The HTML report of a run: one self-contained page, and its charts as files.
//!
//! `page/` holds the templates, scripts and styles, [`plots`] draws the charts, `sections` adds texts and
//! tables, `gallery` prepares the images, `page` fills the templates. Nothing here reads or writes a file.

mod format;
mod gallery;
mod headline;
mod json;
mod page;
pub mod plots;
mod result;
mod section;
mod sections;

pub use gallery::{EmbeddedPhoto, ImageData, ImageSet, MapSource, QuantizedMaps, Tile, colormap_tables};
pub use page::{VIEWER_SCRIPTS, VIEWER_STYLES};
pub use result::{ExitResult, ImageResult, ResultFiles, outcomes};

use serde::Serialize;

use crate::evaluation::Evaluation;
use crate::render::Colormap;

/// Contents of a report.
#[derive(Debug)]
pub struct Report<'a> {
    /// Name of the run.
    pub name: String,
    /// Class names.
    pub classes: &'a [String],
    /// Exits of the run, ascending.
    pub exits: &'a [usize],
    /// Evaluation of the exits, if the images have labels.
    pub evaluation: Option<&'a Evaluation>,
    /// Number of images of the run, including failed ones.
    pub images: usize,
    /// Number of images that could be shown.
    pub shown: usize,
    /// Images of the gallery, each with every exit of [`Report::exits`].
    pub tiles: &'a [Tile<'a>],
    /// Images that failed.
    pub failed: &'a [ImageResult],
    /// Title of the method of the maps, if it is known.
    pub method: Option<&'static str>,
    /// Name of the fusion of maps, if they are fused.
    pub fusion: Option<String>,
    /// Initial colormap of the gallery.
    pub colormap: Colormap,
    /// Whether the page is written into the run's folder, so that it can link to film strips.
    pub linked: bool,
    /// Notices above everything else, such as that the run is not finished.
    pub notices: Vec<String>,
    /// Settings and metadata of the run.
    pub metadata: Vec<MetadataRow>,
}

/// A row of the metadata table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MetadataRow {
    /// Name, such as "weights".
    pub name: String,
    /// Value.
    pub value: String,
}

impl Report<'_> {
    /// The HTML page.
    pub fn html(&self) -> String {
        page::html(self)
    }
}
