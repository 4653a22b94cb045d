//! Where results go: into a folder of photos, or a run over a data set.

use std::path::Path;

use crate::dataset::Item;
use crate::run::{Entry, FlatNames, Opened, Run, Summary, WrittenFile};
use crate::{Result, run};
use serde_json::value::RawValue;

use super::about;
use super::folder::Folder;
use super::pipeline::Setting;
use crate::cli::exit_status::{Outcome, Tally};

/// Takes files and rows.
pub enum Store {
    Photos { folder: Box<Folder>, names: FlatNames },
    Set(Box<Run>),
}

/// What there is to do.
pub enum Work {
    /// These images, by number, and what they are stored in.
    Pending(Vec<usize>, Store),
    /// Nothing: a run over the set ended before.
    Finished(Summary),
}

impl Store {
    /// Opens what `setting` asks for.
    ///
    /// # Errors
    /// When it cannot be written, or has something else.
    pub fn open(setting: Setting) -> Result<Work> {
        let Setting { args, model, dataset, .. } = setting;
        if !setting.is_set {
            let folder = Box::new(Folder::open(&args.output)?);
            let store = Store::Photos { folder, names: FlatNames::default() };
            return Ok(Work::Pending((0..dataset.len()).collect(), store));
        }
        match args.run.open(&args.output, about(setting), model, dataset)? {
            Opened::Finished(summary) => Ok(Work::Finished(summary)),
            Opened::InProgress(run) => Ok(Work::Pending(run.pending().collect(), Store::Set(run))),
        }
    }

    /// How the names of an image's files begin. Every image is to be named, in order.
    pub fn stem(&mut self, item: &Item) -> String {
        match self {
            Store::Set(_) => run::image_stem(item.index, &item.id),
            Store::Photos { names, .. } => {
                let stem = Path::new(&item.id).file_stem().unwrap_or_default();
                names.stem(&stem.to_string_lossy())
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        match self {
            Store::Photos { folder, .. } => folder.path(),
            Store::Set(run) => run.folder(),
        }
    }

    /// Writes a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: String, bytes: &[u8]) -> Result<WrittenFile> {
        match self {
            Store::Photos { folder, .. } => folder.write(name, bytes),
            Store::Set(run) => run.write(&name, bytes),
        }
    }

    /// Records an image, whose `files` are written: its line of the results.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn record(&mut self, item: &Item, failed: bool, files: Vec<WrittenFile>, line: &str) -> Result<()> {
        match self {
            Store::Photos { folder, .. } => folder.record(line),
            Store::Set(run) => {
                let row = RawValue::from_string(line.trim_end().into()).expect("a line of JSON");
                run.record(&Entry { image: item.index, failed, files, row })
            }
        }
    }

    /// Writes what comes at the end, unless a set has images left to do; says how it ended.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn close(self, setting: Setting, tally: &Tally) -> Result<End> {
        match self {
            Store::Photos { folder, .. } => {
                folder.close(about(setting), tally)?;
                Ok(End::Photos(tally.outcome()))
            }
            Store::Set(run) if run.pending().next().is_some() => Ok(End::Cut(run.progress())),
            Store::Set(run) => run.finish().map(End::Set),
        }
    }
}

/// How it ended.
pub enum End {
    Photos(Outcome),
    Set(Summary),
    /// With images left to do.
    Cut(Summary),
}
