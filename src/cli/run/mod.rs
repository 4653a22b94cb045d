//! Runs over data sets: what [`crate::run`] needs to know from the command line.

mod interrupt;
mod selection;
mod shard;

use std::path::Path;
use std::sync::Arc;

use crate::Result;
use crate::dataset::Dataset;
use crate::error::printable;
use crate::run::{Opened, Plan, RealDisk, Run, Shard, Summary};
pub use interrupt::Interrupt;
pub use selection::{Chooser, Selection};
use serde_json::{Value, json};
use shard::ShardArg;

use super::model::LoadedModel;
use super::output;

/// How a run over a data set is done.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Data sets")]
pub struct RunArgs {
    /// Pictures only of images for which all of this holds, by what the exits say: right@K,
    /// wrong@K, class=NAME, hardness<=N (so many exits are right), first<=K (the first exit that is
    /// right); < = > >= too, and | between alternatives, as in "wrong@1 right@10 | hardness=0".
    /// Needs labels; the results have all images
    #[arg(long, value_name = "TERMS")]
    pub select: Option<Selection>,
    /// Try the images again that failed before
    #[arg(long)]
    pub retry_failed: bool,
    /// Do only part i of n, from 1, for `msdcam merge`; all parts may go to one folder. auto takes i
    /// and n from a Slurm array or step, torchrun, or an indexed Kubernetes job (auto/N or
    /// MSDCAM_SHARDS says how many)
    #[arg(long, value_name = "i/n|auto")]
    shard: Option<ShardArg>,
}

/// Options of a run over a data set, resolved.
#[derive(Debug)]
pub struct RunOptions {
    pub selection: Option<Selection>,
    retry_failed: bool,
    shard: Shard,
}

/// What a finished run, or a shard of one, has, in a line.
pub fn told(summary: &Summary, folder: &Path) -> String {
    let folder = printable(&folder.to_string_lossy());
    let Summary { images, failed } = *summary;
    let images = if images == 1 { "1 image".into() } else { format!("{images} images") };
    match failed {
        0 => format!("{folder}: {images}, all done\n"),
        _ => format!("{folder}: {images}, {failed} failed; --retry-failed tries again\n"),
    }
}

/// Says what is special about a run that begins.
fn announce(run: &Run) {
    if !run.is_locked() {
        output::note("this file system has no locks: start no second process in this folder");
    }
    if run.lost() > 0 {
        output::note(&format!("{} images are done again: their files are gone or cut", run.lost()));
    }
    let (before, left) = (run.so_far().images, run.pending().count());
    if before > 0 {
        output::note(&format!("{before} images were done before, {left} are left"));
    }
}

impl RunArgs {
    /// The first of these options that says something about data sets, for photos by name.
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
    /// Opens the run in `folder`. `about` is what the manifest says of the request, as far as it
    /// determines the results.
    ///
    /// # Errors
    /// As [`Run::open`], or when a shard or the weights cannot be told.
    pub fn open(
        &self,
        folder: &Path,
        about: Value,
        model: &LoadedModel,
        dataset: &Dataset,
    ) -> Result<Opened> {
        let mut settings = about;
        if let Some(selection) = &self.selection {
            settings["select"] = selection.text().into();
        }
        settings["device"] = model.device.kind().into();
        settings["weights"] = json!({ "sha256": model.weights_sha256()? });
        settings["dataset"] = json!({ "images": dataset.len(), "sha256": dataset.digest()? });
        // The weights determine them; a difference need not be told twice.
        settings.as_object_mut().map(|settings| settings.remove("labels"));
        let remarks = json!({
            "weights": { "file": model.weights, "source_sha256": model.source_sha256 },
            "dataset": { "name": dataset.name().to_string_lossy() },
            "labels": model.labels,
        });
        let plan = Plan { settings, remarks, images: dataset.len(), shard: self.shard };
        let opened = Run::open(Arc::new(RealDisk), folder, plan, self.retry_failed)?;
        if let Opened::UnderWay(run) = &opened
            && !model.quiet
        {
            announce(run);
        }
        Ok(opened)
    }
}
