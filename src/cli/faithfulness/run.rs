//! Evaluation of all images, in batches, with constant memory.

use crate::dataset::Dataset;
use crate::explain::ExplainRequest;
use crate::faithfulness::{FaithfulnessEvaluator, Settings};
use crate::{Error, Result};

use super::args::Args;
use super::measured::Measured;
use super::objects::Objects;
use crate::cli::isolation::isolated;
use crate::cli::model::LoadedModel;
use crate::cli::timings::Timings;
use crate::cli::{images, output};

/// Evaluates all images.
///
/// # Errors
/// When the model cannot be run or the device fails. An unusable image only counts as failed.
pub fn all_images(
    args: &Args,
    model: &LoadedModel,
    dataset: &Dataset,
    request: &ExplainRequest,
    settings: &Settings,
    mut objects: Option<&mut Objects>,
) -> Result<Measured> {
    let count = dataset.len();
    let group = images::group_size(model, count);
    let mut evaluator =
        FaithfulnessEvaluator::new(&model.model, request, settings, &model.device, group, model.threads)?;
    model.announce();
    model.announce_notes(evaluator.session().notes());
    let timings = Timings::default();
    let bar = images::progress(model, count);
    let mut measured = Measured::new(args.randomize.map_or(0, usize::from));
    std::thread::scope(|scope| {
        for (items, photos) in
            images::groups(scope, model, dataset.items(), group, images::ViewSides::default(), &timings)?
        {
            let photos = images::with_labels(request.target, &items, photos);
            let first = measured.tally.images() as u64;
            let indices: Vec<u64> =
                (first..).zip(&photos).filter(|(_, photo)| photo.is_ok()).map(|(index, _)| index).collect();
            let evaluated = images::run_group(photos, |inputs, labels| {
                let labels: Vec<usize> = labels.iter().flatten().copied().collect();
                measured.sample.add(inputs, &labels, indices.len());
                evaluator.evaluate(inputs, &labels, &indices)
            })?;
            for (item, evaluated) in items.iter().zip(evaluated) {
                let pointed = isolated(item, || {
                    let (photo, evaluations) = evaluated?;
                    let points = match &mut objects {
                        Some(objects) => objects.point(item, &photo, &evaluations)?,
                        None => vec![None; evaluations.len()],
                    };
                    Ok((evaluations, points))
                });
                measured.tally.count(&item.id, &pointed);
                match pointed {
                    Ok((evaluations, points)) => measured.add(&evaluations, &points),
                    Err(error) => bar.suspend(|| output::error(&error)),
                }
                bar.inc(1);
            }
        }
        Ok::<_, Error>(())
    })?;
    bar.finish_and_clear();
    Ok(measured)
}
