//! The last stage of the pipeline: writes files and result lines, and reports on the terminal.

use std::path::Path;
use std::sync::mpsc::Receiver;

use crate::dataset::Item;
use crate::explain::{ExitPrediction, Smoothing};
use crate::run::WrittenFile;
use crate::{Error, Result};
use indicatif::ProgressBar;

use super::artifacts::{Artifact, ImageArtifacts};
use super::job::ExplainJob;
use super::layer_view::Explanations;
use super::record::{ExplainRecord, StatusCounts};
use super::selected::ModelResult;
use super::sink::Sink;
use crate::cli::exit_status::Tally;
use crate::cli::images::Photo;
use crate::cli::output::Output;
use crate::cli::timings::{Stage, Timings};
use crate::cli::{images, output, parallel, records};

/// A group of images and the model's result for each.
pub type ResultGroup = (Vec<Item>, Vec<Result<(Photo, ModelResult)>>);

/// Writes the results of a job to its sink.
pub struct Writer<'a> {
    job: &'a ExplainJob,
    timings: &'a Timings,
    bar: ProgressBar,
    output: Output,
    done: Completed,
}

/// The state of a job after its last image.
pub struct Completed {
    pub sink: Sink,
    pub tally: Tally,
    pub statuses: StatusCounts,
}

/// The content of an image's result line.
enum ImageResult<'a> {
    Explained(ImageArtifacts<'a>),
    NotSelected(&'a Photo, &'a [ExitPrediction]),
}

impl<'j> Writer<'j> {
    /// A writer for `images` images.
    pub fn new(job: &'j ExplainJob, timings: &'j Timings, sink: Sink, images: usize) -> Self {
        let done = Completed { sink, tally: Tally::default(), statuses: StatusCounts::default() };
        let bar = images::progress(&job.model, images);
        Writer { job, timings, bar, output: Output::default(), done }
    }

    /// Writes all groups, in the order in which they arrive.
    ///
    /// # Errors
    /// When a file or standard output cannot be written.
    pub fn write_all(mut self, groups: Receiver<ResultGroup>) -> Result<Completed> {
        for (items, results) in groups {
            let results = self.image_results(&items, &results);
            let files = self.write_files(&results);
            for ((item, result), files) in items.iter().zip(results).zip(files) {
                self.emit(item, &result, files?)?;
            }
        }
        self.bar.finish_and_clear();
        Ok(self.done)
    }

    /// The result of each image of a group, or the reason why there is none.
    fn image_results<'a>(
        &mut self,
        items: &[Item],
        results: &'a [Result<(Photo, ModelResult)>],
    ) -> Vec<Result<ImageResult<'a>>>
    where
        'j: 'a,
    {
        let (spec, request) = (&self.job.spec, &self.job.request);
        let result = |(item, result): (&Item, &'a Result<(Photo, ModelResult)>)| {
            // Also for failed images, so that names depend on the data set alone.
            let stem = self.done.sink.stem(item);
            let (photo, result) = result.as_ref().map_err(Clone::clone)?;
            let explanations = match result {
                ModelResult::Explained(explanations) => explanations,
                ModelResult::NotSelected(predictions) => {
                    return Ok(ImageResult::NotSelected(photo, predictions));
                }
            };
            let title = Path::new(&item.id).file_name().unwrap_or_default().to_string_lossy().into_owned();
            let explanations = Explanations {
                all: explanations,
                layers: &spec.layers,
                smoothed: request.smoothing != Smoothing::None,
            };
            Ok(ImageResult::Explained(ImageArtifacts { spec, stem, title, photo, explanations }))
        };
        items.iter().zip(results).map(result).collect()
    }

    /// Writes the files of a group's images in parallel; each image has its own error.
    fn write_files(&self, results: &[Result<ImageResult>]) -> Vec<Result<Vec<WrittenFile>>> {
        let images = || {
            results.iter().map(|result| match result {
                Ok(ImageResult::Explained(image)) => Some(image),
                _ => None,
            })
        };
        let artifacts =
            images().flatten().flat_map(|image| image.list().into_iter().map(move |file| (image, file)));
        let artifacts: Vec<(&ImageArtifacts, Artifact)> = artifacts.collect();
        let (sink, timings) = (&self.done.sink, self.timings);
        let write = |(image, artifact): &(&ImageArtifacts, Artifact)| {
            let bytes = image.bytes(*artifact, timings);
            timings.time(Stage::Write, || sink.write(image.name(*artifact), &bytes))
        };
        let mut written = parallel::map(self.job.model.threads, &artifacts, write).into_iter();
        let count = |image: Option<&ImageArtifacts>| image.map_or(0, |image| image.list().len());
        // Takes all files of an image before it looks for errors, which leaves the next image's.
        let take = |count| written.by_ref().take(count).collect::<Vec<_>>().into_iter().collect();
        images().map(count).map(take).collect()
    }

    /// Records the result line of an image whose `files` are written, and reports it on the terminal.
    fn emit(&mut self, item: &Item, result: &Result<ImageResult>, files: Vec<WrittenFile>) -> Result<()> {
        let ExplainJob { model, json, run, .. } = self.job;
        self.done.tally.count(&item.id, result);
        if let Ok(ImageResult::Explained(image)) = result {
            self.done.statuses.count(image);
        }
        let line = |record: &Result<ExplainRecord, &Error>| records::line(item, &model.labels, record);
        let row = line(&self.record(result, None));
        self.done.sink.record(item, result.is_err(), files, &row)?;
        let record = self.record(result, Some(self.done.sink.path()));
        let text = match &record {
            _ if *json => line(&record),
            Ok(record) if !model.quiet && run.is_none() => record.to_text(&item.id),
            _ => String::new(),
        };
        let output = &mut self.output;
        self.bar.suspend(|| {
            if let Err(error) = record {
                output::error(error);
            }
            output.print(&text)
        })?;
        self.bar.inc(1);
        Ok(())
    }

    /// The record of an image; file names include `directory` if it is given.
    fn record<'e>(
        &self,
        result: &'e Result<ImageResult>,
        directory: Option<&Path>,
    ) -> Result<ExplainRecord, &'e Error> {
        result.as_ref().map(|result| match result {
            ImageResult::Explained(image) => ExplainRecord::explained(image, directory),
            ImageResult::NotSelected(photo, predictions) => {
                ExplainRecord::not_selected(photo, predictions, &self.job.model.labels)
            }
        })
    }
}
