//! A run in progress: opened, continued, finished.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::array_files::{ArrayFiles, checksum};
use super::claim::{Gate, check_foreign, check_foreign_arrays, check_other_shards, create_and_lock};
use super::cleanup::remove_temporaries;
use super::journal::{Entry, Journal, JournalHeader};
use super::{Disk, Lock, RunSpec, Shard, Summary, WrittenFile, finalize, paths, resume};
use crate::error::path_text;
use crate::util::below::without_links;
use crate::{Error, Result};

/// State of a run when it was opened.
#[derive(Debug)]
pub enum Opened {
    /// Not finished: images may be pending, and [`Run::finish`] has to be called.
    InProgress(Box<Run>),
    /// Finished before.
    Finished(Summary),
}

/// A run that is not finished, locked against other processes.
pub struct Run {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    spec: RunSpec,
    journal: Journal,
    arrays: ArrayFiles,
    lock: Lock,
    lost: usize,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Run").field("folder", &self.folder).field("spec", &self.spec).finish_non_exhaustive()
    }
}

impl Run {
    /// Starts the run in `folder`, or resumes it. Temporary files of a killed process are removed. Images
    /// whose files or rows are missing or damaged become pending again, with `retry_failed` also those that failed
    /// and, if the run is finished, those that have lost files since.
    ///
    /// # Errors
    /// [`crate::Error::Usage`] with the differences when `folder` holds a run with other settings or
    /// shards, or files of another program, or when the arrays of an image are larger than 1 GiB; [`crate::Error::Write`] when another process holds it or it cannot
    /// be written; [`crate::Error::Refused`] when a file in it cannot be read, or a finished run has lost
    /// files.
    ///
    /// # Panics
    /// When the settings or the metadata are not JSON objects.
    pub fn open(disk: Arc<dyn Disk>, folder: &Path, spec: RunSpec, retry_failed: bool) -> Result<Opened> {
        assert!(spec.settings.is_object(), "settings are not a JSON object: {}", spec.settings);
        assert!(spec.metadata.is_object(), "metadata are not a JSON object: {}", spec.metadata);
        let too_large = |cause| Error::usage(format!("{}: arrays: {cause}", path_text(folder)));
        spec.arrays.check().map_err(too_large)?;
        let shard = spec.shard;
        let range = shard.range(spec.images);
        let lock = create_and_lock(&*disk, folder, &paths::lock(shard))?;
        let gate = Gate::enter(folder)?;
        check_foreign(folder)?;
        check_other_shards(folder, shard)?;
        remove_temporaries(&*disk, folder, shard, range.clone())?;
        if let Some((done, found)) = finished(folder, &spec)? {
            // A shard of a run that has been merged has nothing to do.
            let lost = if done == shard { resume::lost_since(folder, &spec)? } else { None };
            if !(done == shard && retry_failed && (found.failed > 0 || lost.is_some())) {
                if let Some(lost) = lost {
                    return Err(lost);
                }
                if done == Shard::WHOLE {
                    disk.remove(&folder.join(paths::journal(done)))?;
                }
                return Ok(Opened::Finished(found));
            }
            resume::reopen(&*disk, folder, &spec)?;
        }
        let path = folder.join(paths::journal(shard));
        let journal = match Journal::open(&*disk, &path, range.clone())? {
            Some(journal) => {
                finalize::compare(folder, &journal.header().settings, &spec.settings, &spec.metadata)?;
                let (found, asked) = (journal.header().images, spec.images);
                if found != asked {
                    let folder = folder.to_string_lossy();
                    return Err(Error::usage(format!(
                        "{folder}: images: the run has {found}, asked for {asked}"
                    )));
                }
                journal
            }
            None => {
                check_foreign_arrays(folder, shard)?;
                let header = JournalHeader::new(&spec);
                let journal = Journal::create(&*disk, &path, &header, range.clone())?;
                // Where folders cannot be locked, another process may have started meanwhile. It sees this
                // journal as this process sees that one's: whoever gives up leaves nothing.
                if let Err(error) = check_other_shards(folder, shard) {
                    drop(journal);
                    disk.remove(&path)?;
                    return Err(error);
                }
                journal
            }
        };
        drop(gate);
        let arrays = ArrayFiles::open(&*disk, folder, shard, &spec.arrays, range)?;
        let (journal, lost) = resume::drop_lost(&*disk, folder, journal, &arrays, retry_failed)?;
        Ok(Opened::InProgress(Box::new(Run {
            disk,
            folder: folder.into(),
            spec,
            journal,
            arrays,
            lock,
            lost,
        })))
    }

    /// The run's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Indices of the images that are neither done nor failed, in the order of the set.
    pub fn pending(&self) -> impl Iterator<Item = usize> {
        self.spec.shard.range(self.spec.images).filter(|&image| !self.journal.has(image))
    }

    /// Counts of the images recorded so far, done and failed.
    pub fn progress(&self) -> Summary {
        self.journal.summary()
    }

    /// Number of images that became pending again because their files were missing or damaged.
    pub fn lost(&self) -> usize {
        self.lost
    }

    /// Whether the file system enforces the lock; if not, the user must not start a second process.
    pub fn is_locked(&self) -> bool {
        self.lock.is_enforced()
    }

    /// Writes a file of an image, named [`super::image_stem`] plus a suffix. It belongs to the run once it
    /// is listed in the image's [`Entry`].
    ///
    /// # Errors
    /// [`crate::Error::Write`], also when a folder on the way is a symbolic link, and
    /// [`crate::Error::Refused`] when the name leads out of the run's folder.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<WrittenFile> {
        let path = without_links(&self.folder, name)?;
        if let Some(folder) = path.parent() {
            self.disk.make_folder(folder)?;
        }
        self.disk.replace(&path, false, &mut |file| file.write_all(bytes))?;
        Ok(WrittenFile::new(name.into(), bytes))
    }

    /// Writes the rows of consecutive images from `first` on, for each image one for each field of
    /// [`RunSpec::arrays`], and returns their checksum for each image's [`Entry`]. A failed image has rows, too.
    ///
    /// # Errors
    /// [`crate::Error::Write`].
    ///
    /// # Panics
    /// When an image is not one of this shard, or a row has not the size of its field's.
    pub fn write_rows(&self, first: usize, images: &[Vec<Vec<u8>>]) -> Result<Vec<Option<u32>>> {
        let range = self.spec.shard.range(self.spec.images);
        for (image, rows) in (first..).zip(images) {
            assert!(range.contains(&image), "image {image}");
            assert!(rows.iter().map(Vec::len).eq(self.arrays.row_sizes()), "sizes of rows");
        }
        let bytes = |field: usize| images.iter().map(|rows| &rows[field][..]).collect::<Vec<_>>().concat();
        let fields: Vec<Vec<u8>> = (0..self.arrays.row_sizes().count()).map(bytes).collect();
        self.arrays.write(&*self.disk, first, &fields)?;
        let has_rows = !fields.is_empty();
        Ok(images.iter().map(|rows| has_rows.then(|| checksum(rows.iter().map(|row| &row[..])))).collect())
    }

    /// Records an image as done or failed. Its files and rows must have been written.
    ///
    /// # Errors
    /// [`crate::Error::Write`]; then the image is still pending.
    ///
    /// # Panics
    /// When the image is not pending.
    pub fn record(&mut self, entry: &Entry) -> Result<()> {
        self.journal.add(&*self.disk, entry)
    }

    /// Finishes the run: writes the results, the list of failures and the manifest, all synced to disk.
    ///
    /// # Errors
    /// [`crate::Error::Write`] or, for the journal, [`crate::Error::Refused`]; then the run can be opened
    /// again.
    ///
    /// # Panics
    /// When images are pending.
    pub fn finish(self) -> Result<Summary> {
        let pending = self.pending().count();
        assert_eq!(pending, 0, "images pending");
        let Run { disk, folder, spec, journal, arrays, lock, .. } = self;
        finalize::sync(&*disk, &folder, &journal)?;
        arrays.sync(&*disk)?;
        let header = journal.header();
        let summary = journal.summary();
        if spec.shard == Shard::WHOLE {
            finalize::write(&*disk, &folder, header, summary, || journal.entries())?;
            drop(journal);
            disk.remove(&folder.join(paths::journal(spec.shard)))?;
        } else {
            finalize::write_shard_manifest(&*disk, &folder, spec.shard, header, summary)?;
        }
        drop(lock);
        Ok(summary)
    }
}

/// Counts of a finished run: of the whole set if it has a manifest, otherwise of this shard.
fn finished(folder: &Path, spec: &RunSpec) -> Result<Option<(Shard, Summary)>> {
    for shard in [Shard::WHOLE, spec.shard] {
        if let Some((manifest, summary)) = finalize::read_manifest(folder, shard)? {
            finalize::compare(folder, &manifest, &spec.settings, &spec.metadata)?;
            return Ok(Some((shard, summary)));
        }
    }
    Ok(None)
}
