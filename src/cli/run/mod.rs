//! Command-line options of runs over data sets, and the specification that [`crate::run`] gets.

mod selection;
mod shard;

use std::path::Path;
use std::sync::Arc;

use crate::Result;
use crate::dataset::Dataset;
use crate::error::{path_text, reversible_text};
use crate::run::{ArraySpec, Opened, RealDisk, Run, RunSpec, Shard, Summary};
pub use selection::{ResolvedSelection, Selection};
use serde_json::{Value, json};
pub use shard::ShardArg;

use super::model::LoadedModel;
use super::output;

/// Options of a run over a data set.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Data sets")]
pub struct RunArgs {
    /// Explain only images for which all terms hold: right@K, wrong@K, class=NAME,
    /// hardness<=N (number of exits that are right), first<=K (first exit that is right). Also
    /// < = > >=, and | between alternatives, as in "wrong@1 right@10 | hardness=0". Needs labels;
    /// the results still list all images
    #[arg(long, value_name = "TERMS")]
    pub select: Option<Selection>,
    /// Retry images that failed in an earlier attempt or have lost their files since
    #[arg(long)]
    pub retry_failed: bool,
    /// Process only shard i of n, from 1, for `msdcam merge`; all shards may share one folder. auto
    /// takes i and n from a Slurm array or step, torchrun, or an indexed Kubernetes job (with the
    /// number of shards from auto/N or MSDCAM_SHARDS)
    #[arg(long, value_name = "i/n|auto")]
    shard: Option<ShardArg>,
}

/// Resolved options of a run over a data set.
#[derive(Debug)]
pub struct RunOptions {
    pub selection: Option<Selection>,
    retry_failed: bool,
    shard: Shard,
}

/// One line about a finished run or shard: its folder and counts.
pub fn summary_line(summary: &Summary, folder: &Path) -> String {
    let folder = path_text(folder);
    let Summary { images, failed } = *summary;
    let images = if images == 1 { "1 image".into() } else { format!("{images} images") };
    match failed {
        0 => format!("{folder}: {images}, all done\n"),
        _ => format!("{folder}: {images}, {failed} failed; --retry-failed retries them\n"),
    }
}

/// Prints notes about a run that starts: no locks, lost files, resumption.
fn announce(run: &Run) {
    if !run.is_locked() {
        output::note("this file system does not support locks: do not start a second process in this folder");
    }
    if run.lost() > 0 {
        output::note(&format!(
            "{} images will be done again: their files or rows are missing or damaged",
            run.lost()
        ));
    }
    let (before, left) = (run.progress().images, run.pending().count());
    if before > 0 {
        output::note(&format!("resuming: {before} images are done, {left} remain"));
    }
}

impl RunArgs {
    /// Name of the first of these options that was given; they do not apply to photos given by name.
    pub fn any(&self) -> Option<&'static str> {
        let given = [
            ("--select", self.select.is_some()),
            ("--retry-failed", self.retry_failed),
            ("--shard", self.shard.is_some()),
        ];
        given.into_iter().find(|(_, given)| *given).map(|(name, _)| name)
    }

    /// The options with the shard read from the environment where it is `auto`.
    ///
    /// # Errors
    /// When the environment names no shard.
    pub fn resolve(self) -> Result<RunOptions> {
        let shard = self.shard.map_or(Ok(Shard::WHOLE), ShardArg::resolve)?;
        Ok(RunOptions { selection: self.select, retry_failed: self.retry_failed, shard })
    }
}

impl RunOptions {
    /// Opens the run in `folder`. `request` is the part of the manifest that describes the request and
    /// determines the results, and `arrays` are those that follow from it.
    ///
    /// # Errors
    /// As [`Run::open`].
    pub fn open(
        &self,
        folder: &Path,
        (request, arrays): (Value, ArraySpec),
        model: &LoadedModel,
        dataset: &Dataset,
    ) -> Result<Opened> {
        let mut settings = request;
        if let Some(selection) = &self.selection {
            settings["select"] = selection.text().into();
        }
        settings["device"] = model.device.kind().into();
        settings["weights"] = json!(model.digest());
        settings["dataset"] = json!({ "images": dataset.len(), "sha256": dataset.digest()? });
        // Determined by the weights; a difference would be reported twice.
        settings.as_object_mut().map(|settings| settings.remove("labels"));
        let metadata = json!({
            "weights": model.weights_fields(),
            "dataset": {
                "name": reversible_text(dataset.name()),
                "label_mapping": dataset.label_mapping(),
            },
            "labels": model.labels,
        });
        let spec = RunSpec { settings, metadata, arrays, images: dataset.len(), shard: self.shard };
        let opened = Run::open(Arc::new(RealDisk), folder, spec, self.retry_failed)?;
        if let Opened::InProgress(run) = &opened
            && !model.quiet
        {
            announce(run);
        }
        Ok(opened)
    }
}
