//! The last stage of the pipeline: writes files and result lines, and reports on the terminal.

use std::sync::mpsc::Receiver;

use crate::dataset::Item;
use crate::explain::Smoothing;
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

/// An image that was described and can be drawn.
struct DescribedImage<'a> {
    /// Its result line.
    row: String,
    /// What is printed about it.
    text: String,
    /// Its rows in the arrays of a run.
    rows: Vec<Vec<u8>>,
    /// What is drawn; `None` of an image that was not selected.
    drawn: Option<(ImageArtifacts<'a>, Vec<Artifact>)>,
}

/// An image, or why it has failed, and its files.
type SettledImage<'a> = (Result<DescribedImage<'a>>, Vec<WrittenFile>);

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
            let images = images.into_iter().zip(files).map(|(image, files)| self.settle(image, files));
            let mut images = images.collect::<Result<Vec<_>>>()?;
            let rows = self.write_rows(&items, &mut images)?;
            for ((item, image), rows) in items.iter().zip(images).zip(rows) {
                self.emit(item, image, rows)?;
            }
        }
        self.bar.finish_and_clear();
        Ok(self.done)
    }

    /// Each image of a group, or the reason why there is nothing to describe; in parallel.
    fn describe_all<'a>(
        &mut self,
        items: &[Item],
        results: &'a [Result<(Photo, ModelResult)>],
    ) -> Vec<Result<DescribedImage<'a>>>
    where
        'j: 'a,
    {
        // Also for failed images, so that names depend on the data set alone.
        let stems: Vec<String> = items.iter().map(|item| self.done.sink.stem(item)).collect();
        let group: Vec<_> = items.iter().zip(stems).zip(results).collect();
        let describe = |((item, stem), result): &((&Item, String), &'a Result<(Photo, ModelResult)>)| {
            let (photo, result) = result.as_ref().map_err(Clone::clone)?;
            isolated(item, || Ok(self.describe(item, stem.clone(), photo, result)))
        };
        parallel::map(self.job.model.threads, &group, describe)
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
        let text = |record: &dyn Fn() -> ExplainRecord| match () {
            () if *json => line(record()),
            () if !model.quiet && run.is_none() => record().to_text(&item.id),
            () => String::new(),
        };
        match result {
            ModelResult::NotSelected(predictions) => {
                let record = || ExplainRecord::not_selected(photo, predictions, &model.labels);
                let rows = self.rows(item, Found::Classified(photo, predictions));
                DescribedImage { row: line(record()), text: text(&record), rows, drawn: None }
            }
            ModelResult::Explained(all) => {
                let title = drawn_names::title(&item.id, item.index);
                let smoothed = request.smoothing != Smoothing::None;
                let explanations = Explanations { all, layers: &spec.layers, smoothed };
                let image = ImageArtifacts { spec, stem, title, photo, explanations };
                DescribedImage {
                    row: line(ExplainRecord::explained(&image, None)),
                    text: text(&|| ExplainRecord::explained(&image, Some(self.done.sink.path()))),
                    rows: self.rows(item, Found::Explained(&image)),
                    drawn: Some({
                        let files = image.list();
                        (image, files)
                    }),
                }
            }
        }
    }

    /// The rows of an image in the arrays of a run.
    fn rows(&self, item: &Item, found: Found) -> Vec<Vec<u8>> {
        let ExplainJob { spec, rows: Some(layout), .. } = self.job else { return Vec::new() };
        self.timings.time(Stage::Encode, || layout.rows(spec, item, found))
    }

    /// Writes the files of a group's images in parallel; each file has its own error.
    fn write_files(
        &self,
        items: &[Item],
        images: &[Result<DescribedImage>],
    ) -> Vec<Vec<Result<WrittenFile>>> {
        let drawn = || images.iter().map(|image| image.as_ref().ok().and_then(|image| image.drawn.as_ref()));
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

    /// An image and its files. If one could not be drawn, the image has failed and has no files.
    fn settle<'a>(
        &self,
        image: Result<DescribedImage<'a>>,
        files: Vec<Result<WrittenFile>>,
    ) -> Result<SettledImage<'a>> {
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
        Ok((image, written))
    }

    /// Writes the rows of a group's images in the arrays of a run, and returns the checksum of each.
    fn write_rows(&self, items: &[Item], images: &mut [SettledImage]) -> Result<Vec<Option<u32>>> {
        let mut rows = items.iter().zip(images).map(|(item, (image, _))| match image {
            Ok(image) => std::mem::take(&mut image.rows),
            Err(_) => self.rows(item, Found::Failed),
        });
        let mut checksums = Vec::with_capacity(items.len());
        // Of a resumed run, some images may have been done before.
        for items in items.chunk_by(|a, b| a.index + 1 == b.index) {
            let rows: Vec<_> = rows.by_ref().take(items.len()).collect();
            let write = || self.done.sink.write_rows(items[0].index, &rows);
            checksums.extend(self.timings.time(Stage::Write, write)?);
        }
        Ok(checksums)
    }

    /// Records the result line of an image whose files and rows are written, and reports it on the terminal.
    fn emit(&mut self, item: &Item, (image, files): SettledImage, rows: Option<u32>) -> Result<()> {
        self.done.tally.count(&item.id, &image);
        let failed = image
            .as_ref()
            .map_err(|error| records::line(item, &self.job.model.labels, &Err::<ExplainRecord, _>(error)));
        let row = failed.as_ref().map_or_else(String::as_str, |image| &image.row);
        self.done.sink.record(item, image.is_err(), (files, rows), row)?;
        if let Ok(DescribedImage { drawn: Some((image, _)), .. }) = &image {
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Instant;

    use super::*;
    use crate::cli::explain::sink::OpenedSink;
    use crate::cli::explain_arguments;
    use crate::explain::ExitPrediction;

    #[test]
    fn an_image_whose_rows_cannot_be_made_fails_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (set, run) = (folder.path().join("set.bin"), folder.path().join("run"));
        std::fs::write(&set, vec![3; 3 * (1 + 3 * 32 * 32)]).unwrap();
        let timings = Timings::since(Instant::now());
        let options = ["--quiet", "--exits", "1", "--pictures", "none", "--device", "cpu", "-o"];
        let arguments = options.map(std::ffi::OsString::from).into_iter().chain([run.into(), set.into()]);
        let job = explain_arguments(arguments.collect()).unwrap().resolve(&timings).unwrap();
        let OpenedSink::Pending(indices, sink) = Sink::open(&job).unwrap() else { panic!("a new run") };
        let items: Vec<Item> = indices.into_iter().map(|index| job.dataset.item(index)).collect();
        let result = |item: &Item| {
            let image = item.read().unwrap().image.clone();
            let mut photo = Photo::new(&job.model.model, &image, item.label, job.spec.views());
            if item.index == 1 {
                photo.seen.rgb.pop();
            }
            let prediction =
                ExitPrediction { exit: 1, class: 2, logits: vec![0.0; 10], probabilities: vec![0.1; 10] };
            Ok((photo, ModelResult::NotSelected(vec![prediction])))
        };
        let results = items.iter().map(result).collect();
        let (sender, receiver) = channel();
        sender.send((items, results)).unwrap();
        drop(sender);
        let done = Writer::new(&job, &timings, sink, 3).write_all(receiver).unwrap();
        assert_eq!((done.tally.images(), done.tally.failed()), (3, 1));
        done.sink.close(&job, &done.tally).unwrap();
        let run = folder.path().join("run");
        let failed = std::fs::read_to_string(run.join("failed.jsonl")).unwrap();
        assert!(failed.contains("set/00001") && failed.contains("internal error"), "{failed}");
        let rows = |key: &str| std::fs::read(run.join(format!("arrays/{key}.npy"))).unwrap();
        assert!(rows("state").ends_with(&[1, 0, 1]));
        assert!(rows("class").ends_with(&[2_i64, 0, 2].map(i64::to_le_bytes).concat()));
    }
}
