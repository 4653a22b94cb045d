//! The pipeline of an `explain` job: photos are read, explained and written in overlapping stages.

use std::panic::resume_unwind;
use std::sync::mpsc::sync_channel;

use crate::Result;
use crate::explain::Explainer;
use crate::run::Summary;

use super::job::ExplainJob;
use super::selected::{ModelResult, SelectedOnly};
use super::sink::{OpenedSink, Sink};
use super::writer::{Completed, Writer};
use crate::cli::images;
use crate::cli::images::Photo;
use crate::cli::run::{Interrupt, ResolvedSelection};
use crate::cli::timings::{Stage, Timings};

/// The end of a pipeline.
pub enum PipelineEnd {
    /// The images of this process are written. If a signal stopped it, with the exit code.
    Completed(Box<Completed>, Option<u8>),
    /// An earlier process had finished the run.
    AlreadyFinished(Summary),
}

/// Processes all pending images of `job`: while a group of images is written, the model has the
/// next and the one after that is read. At most these three are in memory. The first group of
/// photos is read while the model is planned; the output directory is only touched once the request
/// is known to be valid.
///
/// # Errors
/// When the request is invalid, the device fails or a file cannot be written. An image that fails
/// is an error in the results only.
pub fn process_images(
    job: &ExplainJob,
    selection: Option<ResolvedSelection>,
    timings: &Timings,
) -> Result<PipelineEnd> {
    let ExplainJob { model, dataset, request, .. } = job;
    let group = images::group_size(model, dataset.len());
    std::thread::scope(|scope| {
        // A stage that ends early drops its end of a channel, which ends its neighbors.
        let read = |indices: Vec<usize>| {
            let items = indices.into_iter().map(|index| dataset.item(index));
            images::groups(scope, model, items, group, Some(job.spec.pictures.side), timings)
        };
        let early = job.run.is_none().then(|| read((0..dataset.len()).collect()));
        let mut explainer =
            timings.time(Stage::Plan, || Explainer::new(&model.model, request, &model.device, group))?;
        let selected = selection.map(|selection| SelectedOnly::new(model, selection, &request.exits, group));
        let mut selected = selected.transpose()?;
        let (indices, sink) = match Sink::open(job)? {
            OpenedSink::Finished(summary) => return Ok(PipelineEnd::AlreadyFinished(summary)),
            OpenedSink::Pending(indices, sink) => (indices, sink),
        };
        let interrupt = if job.run.is_some() { Interrupt::watch()? } else { Interrupt::default() };
        let writer = Writer::new(job, timings, sink, indices.len());
        model.announce();
        model.announce_notes(explainer.session().notes());
        let photos = early.unwrap_or_else(|| read(indices));
        let (sender, receiver) = sync_channel(0);
        let written = scope.spawn(move || writer.write_all(receiver));
        for (items, photos) in photos {
            if interrupt.code().is_some() {
                break;
            }
            let photos = images::with_labels(request.target, &items, photos);
            let results = timings.time(Stage::Run, || match &mut selected {
                Some(selected) => selected.explain(photos, &mut explainer),
                None => explain_all(photos, &mut explainer),
            });
            if sender.send((items, results?)).is_err() {
                break;
            }
        }
        drop(sender);
        let completed = written.join().unwrap_or_else(|panic| resume_unwind(panic))?;
        Ok(PipelineEnd::Completed(Box::new(completed), interrupt.code()))
    })
}

/// Explains all of `photos`.
fn explain_all(
    photos: Vec<Result<Photo>>,
    explainer: &mut Explainer,
) -> Result<Vec<Result<(Photo, ModelResult)>>> {
    let results = images::explain_group(photos, explainer)?;
    let explained = |(photo, explanations)| (photo, ModelResult::Explained(explanations));
    Ok(results.into_iter().map(|result| result.map(explained)).collect())
}
