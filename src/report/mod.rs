//! The report of a run: one HTML page that needs nothing but itself, and its charts as files.
//!
//! The page is templates and numbers: `page/` has the templates, [`plots`] the charts, `sections`
//! the words and tables around them, `gallery` the images. Nothing here reads or writes a file.

mod format;
mod gallery;
mod headline;
mod json;
mod page;
pub mod plots;
mod record;
mod section;
mod sections;

pub use gallery::{Maps, Photo, Tile};
pub use record::{ExitRecord, Files, Record, outcomes};

use serde::Serialize;

use crate::evaluation::Evaluation;
use crate::render::Colormap;

/// What a report is made of.
#[derive(Debug)]
pub struct Report<'a> {
    /// What the run is called.
    pub name: String,
    /// Class names.
    pub classes: &'a [String],
    /// The exits that the run is about, ascending.
    pub exits: &'a [usize],
    /// How good the exits are, where images have labels.
    pub evaluation: Option<&'a Evaluation>,
    /// How many images the run has, with those that failed.
    pub images: usize,
    /// How many of them could be shown.
    pub shown: usize,
    /// The images to look at, each with every exit of [`Report::exits`].
    pub tiles: &'a [Tile<'a>],
    /// The images that failed.
    pub failed: &'a [Record],
    /// The colours in which the gallery begins.
    pub colormap: Colormap,
    /// Whether the page lies in the run's folder, so that it can link to film strips.
    pub linked: bool,
    /// What a reader must know before anything else, such as that the run is not finished.
    pub notices: Vec<String>,
    /// How the run was made.
    pub facts: Vec<Fact>,
}

/// One line about how a run was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// What about, such as "weights".
    pub name: String,
    /// What it was.
    pub value: String,
}

impl Report<'_> {
    /// The page.
    pub fn html(&self) -> String {
        page::html(self)
    }
}
