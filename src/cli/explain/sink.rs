//! Where results go: the directory of a few photos, or a run over a data set.

use std::io::Write;
use std::path::Path;

use crate::dataset::Item;
use crate::run::{
    ArraySpec, Disk, Entry, FlatNames, Opened, OutputFolder, RealDisk, Run, Summary, WrittenFile,
};
use crate::util::atomic_file::Replacement;
use crate::{Error, Result, run};
use serde_json::Value;
use serde_json::value::RawValue;

use super::job::ExplainJob;
use crate::cli::exit_status::{Outcome, Tally};

/// Receives the files and result lines of images.
pub enum Sink {
    Photos { directory: Box<PhotoDirectory>, names: FlatNames },
    Run(Box<Run>),
}

/// A sink that was opened, with the work that is left.
pub enum OpenedSink {
    /// The indices of the images to process.
    Pending(Vec<usize>, Sink),
    /// A run that an earlier process finished.
    Finished(Summary),
}

/// The state in which a sink was closed.
pub enum ClosedSink {
    Photos(Outcome),
    /// A run without pending images.
    Finished(Summary),
    /// A run with pending images.
    Interrupted(Summary),
}

impl Sink {
    /// Opens the job's output directory.
    ///
    /// # Errors
    /// When it cannot be written or holds the results of another request.
    pub fn open(job: &ExplainJob) -> Result<OpenedSink> {
        let Some(run) = &job.run else {
            let directory = Box::new(PhotoDirectory::open(job)?);
            let sink = Sink::Photos { directory, names: FlatNames::default() };
            return Ok(OpenedSink::Pending((0..job.dataset.len()).collect(), sink));
        };
        let arrays = job.rows.as_ref().map_or_else(ArraySpec::default, |rows| rows.spec.clone());
        match run.open(&job.output, (job.manifest.clone(), arrays), &job.model, &job.dataset)? {
            Opened::Finished(summary) => Ok(OpenedSink::Finished(summary)),
            Opened::InProgress(run) => Ok(OpenedSink::Pending(run.pending().collect(), Sink::Run(run))),
        }
    }

    /// The prefix of the names of an image's files. Called for every image, in order.
    pub fn stem(&mut self, item: &Item) -> String {
        match self {
            Sink::Run(_) => run::image_stem(item.index, &item.id),
            Sink::Photos { names, .. } => photo_stem(names, &item.id),
        }
    }

    /// The output directory.
    pub fn path(&self) -> &Path {
        match self {
            Sink::Photos { directory, .. } => directory.folder.path(),
            Sink::Run(run) => run.folder(),
        }
    }

    /// Writes a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: String, bytes: &[u8]) -> Result<WrittenFile> {
        match self {
            Sink::Photos { directory, .. } => directory.folder.write(name, bytes),
            Sink::Run(run) => run.write(&name, bytes),
        }
    }

    /// Writes the rows of consecutive images from `first` on in the arrays of a run, and returns the checksum of each.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write_rows(&self, first: usize, images: &[Vec<Vec<u8>>]) -> Result<Vec<Option<u32>>> {
        match self {
            Sink::Photos { .. } => Ok(vec![None; images.len()]),
            Sink::Run(run) => run.write_rows(first, images),
        }
    }

    /// Removes a file that was written.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&self, file: &WrittenFile) -> Result<()> {
        RealDisk.remove(&self.path().join(&file.name))
    }

    /// Records the result line of an image whose `files` and rows are written.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn record(
        &mut self,
        item: &Item,
        failed: bool,
        (files, rows): (Vec<WrittenFile>, Option<u32>),
        line: &str,
    ) -> Result<()> {
        match self {
            Sink::Photos { directory, .. } => directory.record(line),
            Sink::Run(run) => {
                let row = RawValue::from_string(line.trim_end().into()).expect("a line of JSON");
                run.record(&Entry { image: item.index, failed, files, rows, row })
            }
        }
    }

    /// Completes the results, unless a run has pending images.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn close(self, job: &ExplainJob, tally: &Tally) -> Result<ClosedSink> {
        match self {
            Sink::Photos { directory, .. } => {
                directory.close(job.manifest.clone(), tally)?;
                Ok(ClosedSink::Photos(tally.outcome()))
            }
            Sink::Run(run) if run.pending().next().is_some() => Ok(ClosedSink::Interrupted(run.progress())),
            Sink::Run(run) => run.finish().map(ClosedSink::Finished),
        }
    }
}

/// The prefix of the names of the files of photo `id`, the next of `names`.
pub fn photo_stem(names: &mut FlatNames, id: &str) -> String {
    let stem = Path::new(id).file_stem().unwrap_or_default();
    names.stem(&stem.to_string_lossy())
}

/// One image a line.
const RESULTS: &str = "results.jsonl";

/// The output directory for photos that are given by name. It is complete once its manifest says so;
/// every command replaces the results of the one before.
#[derive(Debug)]
pub struct PhotoDirectory {
    folder: OutputFolder,
    results: Replacement,
}

impl PhotoDirectory {
    /// Claims the job's output directory, which is created if it is missing.
    ///
    /// # Errors
    /// When the path is a file, in use, or cannot be created or changed, or holds a run or files of another
    /// program.
    fn open(job: &ExplainJob) -> Result<PhotoDirectory> {
        let photos = job.dataset.files();
        let folder = OutputFolder::claim(&job.output, run::PHOTOS, photos)?;
        let mut names = FlatNames::default();
        for item in job.dataset.items() {
            folder.check(&job.spec.known_names(&photo_stem(&mut names, &item.id), &job.request.exits))?;
        }
        let results = folder.open(RESULTS)?;
        Ok(PhotoDirectory { folder, results })
    }

    fn record(&mut self, line: &str) -> Result<()> {
        let written = self.results.write_all(line.as_bytes());
        written.map_err(|e| Error::cannot_write(&self.folder.path().join(RESULTS), e))
    }

    /// Puts the results in place, then the manifest with the counts of images.
    fn close(self, mut manifest: Value, tally: &Tally) -> Result<()> {
        self.results.commit(false)?;
        manifest["images"] = tally.images().into();
        manifest["failed"] = tally.failed().into();
        manifest["results"] = RESULTS.into();
        self.folder.finish(&manifest)
    }
}
