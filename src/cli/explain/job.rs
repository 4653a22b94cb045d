//! The resolved `explain` command: what is explained, how it is drawn, and where it goes.

use std::path::PathBuf;

use crate::Result;
use crate::dataset::Dataset;
use crate::explain::ExplainRequest;
use serde_json::Value;

use super::artifacts::ArtifactSpec;
use super::rows::RowLayout;
use crate::cli::model::LoadedModel;
use crate::cli::run::{ResolvedSelection, RunOptions};

/// An `explain` command with everything loaded and checked.
pub struct ExplainJob {
    pub model: LoadedModel,
    pub dataset: Dataset,
    pub request: ExplainRequest,
    pub spec: ArtifactSpec,
    /// The arrays of a run; `None` for photos given by name, which have an archive each.
    pub rows: Option<RowLayout>,
    /// The settings that determine the results, as the manifest records them.
    pub manifest: Value,
    pub output: PathBuf,
    /// Options of a run over a data set; `None` for photos given by name.
    pub run: Option<RunOptions>,
    /// Whether standard output has JSON instead of tables.
    pub json: bool,
}

impl ExplainJob {
    /// The selection of images that get pictures; `None` for all.
    ///
    /// # Errors
    /// When the selection names an exit or a class that the job does not have.
    pub fn chooser(&self) -> Result<Option<ResolvedSelection<'_>>> {
        let selection = self.run.as_ref().and_then(|run| run.selection.as_ref());
        selection.map(|selection| selection.resolve(&self.model.labels, &self.request.exits)).transpose()
    }
}
