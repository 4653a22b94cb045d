//! The cascading randomisation check of `--randomise`.

use crate::Result;
use crate::explain::ExplainRequest;
use crate::faithfulness::{Cascade, Settings, Similarity};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Args;
use super::run::Measured;
use crate::cli::images;
use crate::cli::model::LoadedModel;

/// The similarities; none where the check is not asked for.
///
/// # Errors
/// When the weights cannot be read again, or the device fails.
pub fn check(
    args: &Args,
    model: &LoadedModel,
    study: &ExplainRequest,
    settings: &Settings,
    measured: &Measured,
) -> Result<Vec<Similarity>> {
    let Some(wanted) = args.randomise else { return Ok(Vec::new()) };
    let (inputs, labels) = &measured.sample;
    let cascade = Cascade {
        weights: &args.model.weights()?,
        study,
        device: &model.device,
        batch: images::group_size(model, usize::from(wanted)),
        seed: settings.seed,
    };
    let bar = progress(model, cascade.networks());
    let found = cascade.run(inputs, labels, || bar.inc(1))?;
    bar.finish_and_clear();
    Ok(found)
}

/// A bar on standard error; indicatif hides it where there is no terminal.
fn progress(model: &LoadedModel, networks: usize) -> ProgressBar {
    if model.quiet {
        return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    }
    let style = ProgressStyle::with_template("{bar:32} {pos}/{len} networks drawn anew, {eta} left")
        .expect("the template is sound");
    ProgressBar::new(networks as u64).with_style(style)
}
