//! Cascading randomization check of `--randomize`.

use crate::explain::ExplainRequest;
use crate::faithfulness::{CascadeSimilarity, CascadingRandomization, Settings};
use crate::{Error, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::args::Args;
use super::measured::Sample;
use crate::cli::images;
use crate::cli::model::LoadedModel;

/// Runs the check on the sample; empty where it is not requested.
///
/// # Errors
/// When the weights cannot be read again, or the device fails.
pub fn check(
    args: &Args,
    model: &LoadedModel,
    request: &ExplainRequest,
    settings: &Settings,
    sample: &Sample,
) -> Result<Vec<CascadeSimilarity>> {
    let Some(images) = args.randomize else { return Ok(Vec::new()) };
    let cascade = CascadingRandomization {
        model: &model.model,
        request,
        device: &model.device,
        batch: images::group_size(model, usize::from(images)),
        seed: settings.seed,
    };
    let bar = progress(model, cascade.models());
    let found = cascade.run(&sample.inputs, &sample.labels, |models| {
        bar.set_position(models as u64);
        Ok::<_, Error>(())
    })?;
    bar.finish_and_clear();
    Ok(found)
}

/// Progress bar on standard error; indicatif hides it where there is no terminal.
fn progress(model: &LoadedModel, models: usize) -> ProgressBar {
    if model.quiet {
        return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    }
    let style = ProgressStyle::with_template("{bar:32} {pos}/{len} randomized models, {eta} left")
        .expect("a valid template");
    ProgressBar::new(models as u64).with_style(style)
}
