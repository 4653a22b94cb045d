//! The pipeline of an `explain` job: photos are read, explained and written in overlapping stages.

use std::panic::resume_unwind;
use std::sync::mpsc::sync_channel;

use crate::dataset::Item;
use crate::engine::graph::Op;
use crate::explain::{ExplainRequest, Explainer, Explanation};
use crate::run::Summary;
use crate::{Model, Result};

use super::job::ExplainJob;
use super::selected::{ModelResult, SelectedOnly};
use super::sink::{OpenedSink, Sink};
use super::writer::{Completed, Writer};
use crate::cli::images::{Finished, InFlight, Photo};
use crate::cli::run::ResolvedSelection;
use crate::cli::signals::Interrupt;
use crate::cli::timings::{Stage, Timings};
use crate::cli::{images, isolation};

/// The end of a pipeline.
pub enum PipelineEnd {
    /// The images of this process are written. If a signal stopped it, with the exit code.
    Completed(Box<Completed>, Option<u8>),
    /// An earlier process had finished the run.
    AlreadyFinished(Summary),
}

/// Processes all pending images of `job`: while a group of images is written, the model has the
/// next (a GPU the next two) and the one after that is read. No others are in memory. The first group of
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
            images::groups(scope, model, items, group, job.spec.views(), timings)
        };
        let early = job.run.is_none().then(|| read((0..dataset.len()).collect())).transpose()?;
        let mut explainer =
            timings.time(Stage::Plan, || Explainer::new(&model.model, request, &model.device, group))?;
        let selected = selection.map(|selection| SelectedOnly::new(model, selection, &request.exits, group));
        let mut selected = selected.transpose()?;
        let (indices, sink) = match Sink::open(job)? {
            OpenedSink::Finished(summary) => return Ok(PipelineEnd::AlreadyFinished(summary)),
            OpenedSink::Pending(indices, sink) => (indices, sink),
        };
        let interrupt = job.run.is_some().then(Interrupt::expect);
        let stopped = || interrupt.and_then(Interrupt::code);
        let writer = Writer::new(job, timings, sink, indices.len());
        model.announce();
        model.announce_notes(explainer.session().notes());
        model.announce_notes(guided_note(model, request).as_slice());
        let photos = early.map_or_else(|| read(indices), Ok)?;
        let (sender, receiver) = sync_channel(0);
        let written = isolation::spawn(scope, move || writer.write_all(receiver))?;
        let mut in_flight = InFlight::default();
        let mut is_open = true;
        for (items, photos) in photos {
            if stopped().is_some() {
                break;
            }
            let photos = images::with_labels(request.target, &items, photos);
            let finished: Result<Vec<_>> = timings.time(Stage::Run, || match &mut selected {
                Some(selected) => Ok(vec![(items, selected.explain(photos, &mut explainer)?)]),
                None => {
                    Ok(in_flight.push((items, photos), &mut explainer)?.into_iter().map(explained).collect())
                }
            });
            is_open = finished?.into_iter().all(|group| sender.send(group).is_ok());
            if !is_open {
                break;
            }
        }
        if is_open {
            let finished = timings.time(Stage::Run, || in_flight.drain(&mut explainer))?;
            // The writer says itself why it takes no more.
            let _ = finished.into_iter().try_for_each(|group| sender.send(explained(group)));
        }
        drop(sender);
        // The last group is drawn without the network in memory.
        drop((explainer, selected));
        let completed = written.join().unwrap_or_else(|panic| resume_unwind(panic))?;
        Ok(PipelineEnd::Completed(Box::new(completed), stopped()))
    })
}

/// The form in which the writer takes a group of which all images were explained.
fn explained((items, results): Finished<Explanation>) -> (Vec<Item>, Vec<Result<(Photo, ModelResult)>>) {
    let of_photo = |(photo, explanations)| (photo, ModelResult::Explained(explanations));
    (items, results.into_iter().map(|result| result.map(of_photo)).collect())
}

/// A note where a method by the guided rule, which is for ReLUs, is asked of a network with other activations.
fn guided_note(model: &Model, request: &ExplainRequest) -> Option<String> {
    if !request.pixels.iter().any(|method| method.reads_guided_gradient()) {
        return None;
    }
    let logits: Vec<_> = request.exits.iter().map(|&exit| model.exits[exit - 1].logits).collect();
    let needed = model.graph.ancestors(&logits);
    let count = |is: fn(&Op) -> bool| {
        model.graph.ids().filter(|id| needed[id.index()] && is(&model.graph.node(*id).op)).count()
    };
    let relus = count(|op| matches!(op, Op::Relu(_)));
    let others = count(|op| matches!(op, Op::Activation(_)));
    (others > 0).then(|| {
        format!("the guided rule is for the network's ReLUs ({relus}); its other activations ({others}) keep their derivative")
    })
}
