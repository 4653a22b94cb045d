//! The last stage of the pipeline: writes files and result lines, and reports on the terminal.

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
use super::rows::Found;
use super::selected::ModelResult;
use super::sink::Sink;
use crate::cli::exit_status::Tally;
use crate::cli::images::Photo;
use crate::cli::isolation::isolated;
use crate::cli::output::Output;
use crate::cli::timings::{Stage, Timings};
use crate::cli::{drawn_names, images, output, parallel, records};

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

/// An image that was not selected.
type Classified<'a> = (&'a Photo, &'a [ExitPrediction]);

/// An image that was described and can be drawn.
struct DescribedImage<'a> {
    /// Its result line.
    row: String,
    /// What is printed about it.
    text: String,
    /// What is drawn, and of an image that was not selected, what is known.
    drawn: Result<(ImageArtifacts<'a>, Vec<Artifact>), Classified<'a>>,
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
            let images = self.describe_all(&items, &results);
            let files = self.write_files(&items, &images);
            for ((item, image), files) in items.iter().zip(images).zip(files) {
                self.emit(item, image, files)?;
            }
        }
        self.bar.finish_and_clear();
        Ok(self.done)
    }

    /// Each image of a group, or the reason why there is nothing to describe.
    fn describe_all<'a>(
        &mut self,
        items: &[Item],
        results: &'a [Result<(Photo, ModelResult)>],
    ) -> Vec<Result<DescribedImage<'a>>>
    where
        'j: 'a,
    {
        let describe = |(item, result): (&Item, &'a Result<(Photo, ModelResult)>)| {
            // Also for failed images, so that names depend on the data set alone.
            let stem = self.done.sink.stem(item);
            let (photo, result) = result.as_ref().map_err(Clone::clone)?;
            isolated(item, || Ok(self.describe(item, stem, photo, result)))
        };
        items.iter().zip(results).map(describe).collect()
    }

    /// Describes an image whose files' names begin with `stem`.
    fn describe<'a>(
        &self,
        item: &Item,
        stem: String,
        photo: &'a Photo,
        result: &'a ModelResult,
    ) -> DescribedImage<'a>
    where
        'j: 'a,
    {
        let ExplainJob { spec, request, model, json, run, .. } = self.job;
        let line = |record| records::line(item, &model.labels, &Ok::<ExplainRecord, Error>(record));
        let text = |record: ExplainRecord| match () {
            () if *json => line(record),
            () if !model.quiet && run.is_none() => record.to_text(&item.id),
            () => String::new(),
        };
        match result {
            ModelResult::NotSelected(predictions) => {
                let record = || ExplainRecord::not_selected(photo, predictions, &model.labels);
                DescribedImage { row: line(record()), text: text(record()), drawn: Err((photo, predictions)) }
            }
            ModelResult::Explained(all) => {
                let title = drawn_names::title(item);
                let smoothed = request.smoothing != Smoothing::None;
                let explanations = Explanations { all, layers: &spec.layers, smoothed };
                let image = ImageArtifacts { spec, stem, title, photo, explanations };
                DescribedImage {
                    row: line(ExplainRecord::explained(&image, None)),
                    text: text(ExplainRecord::explained(&image, Some(self.done.sink.path()))),
                    drawn: Ok({
                        let files = image.list();
                        (image, files)
                    }),
                }
            }
        }
    }

    /// Writes the files of a group's images in parallel; each file has its own error.
    fn write_files(
        &self,
        items: &[Item],
        images: &[Result<DescribedImage>],
    ) -> Vec<Vec<Result<WrittenFile>>> {
        let drawn =
            || images.iter().map(|image| image.as_ref().ok().and_then(|image| image.drawn.as_ref().ok()));
        let mut artifacts: Vec<(&Item, &ImageArtifacts, Artifact)> = Vec::new();
        for (item, drawn) in items.iter().zip(drawn()) {
            let Some((image, files)) = drawn else { continue };
            artifacts.extend(files.iter().map(|&file| (item, image, file)));
        }
        let (sink, timings) = (&self.done.sink, self.timings);
        let write = |&(item, image, artifact): &(&Item, &ImageArtifacts, Artifact)| {
            let drawn = isolated(item, || Ok((image.name(artifact), image.bytes(artifact, timings))));
            let (name, bytes) = drawn?;
            timings.time(Stage::Write, || sink.write(name, &bytes))
        };
        let mut written = parallel::map(self.job.model.threads, &artifacts, write).into_iter();
        let count = |drawn: Option<&(_, Vec<Artifact>)>| drawn.map_or(0, |(_, files)| files.len());
        drawn().map(|drawn| written.by_ref().take(count(drawn)).collect()).collect()
    }

    /// Writes an image's rows in the arrays of a run, and returns their checksum.
    fn write_rows(&self, item: &Item, image: Option<&DescribedImage>) -> Result<Option<u32>> {
        let ExplainJob { spec, rows: Some(layout), .. } = self.job else { return Ok(None) };
        let found = match image.map(|image| &image.drawn) {
            None => Found::Failed,
            Some(Ok((image, _))) => Found::Explained(image),
            Some(Err((photo, predictions))) => Found::Classified(photo, predictions),
        };
        let rows = self.timings.time(Stage::Encode, || layout.rows(spec, item, found));
        self.timings.time(Stage::Write, || self.done.sink.write_rows(item, &rows))
    }

    /// Records the result line of an image whose `files` are written, and reports it on the terminal. If one
    /// could not be drawn, the image has failed and has no files.
    fn emit(
        &mut self,
        item: &Item,
        image: Result<DescribedImage>,
        files: Vec<Result<WrittenFile>>,
    ) -> Result<()> {
        let (mut written, mut image) = (Vec::new(), image);
        for file in files {
            match file {
                Ok(file) => written.push(file),
                Err(error @ Error::Write { .. }) => return Err(error),
                Err(fault) => image = Err(fault),
            }
        }
        if image.is_err() {
            written.drain(..).try_for_each(|file| self.done.sink.remove(&file))?;
        }
        self.done.tally.count(&item.id, &image);
        let failed = image
            .as_ref()
            .map_err(|error| records::line(item, &self.job.model.labels, &Err::<ExplainRecord, _>(error)));
        let row = failed.as_ref().map_or_else(String::as_str, |image| &image.row);
        let rows = self.write_rows(item, image.as_ref().ok())?;
        self.done.sink.record(item, image.is_err(), (written, rows), row)?;
        if let Ok(DescribedImage { drawn: Ok((image, _)), .. }) = &image {
            self.done.statuses.count(image);
        }
        let text = match &failed {
            Ok(image) => &image.text,
            Err(line) if self.job.json => line,
            Err(_) => "",
        };
        let output = &mut self.output;
        self.bar.suspend(|| {
            if let Err(error) = &image {
                output::error(error);
            }
            output.print(text)
        })?;
        self.bar.inc(1);
        Ok(())
    }
}
