//! A run: opened, continued, finished.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::cleanup::sweep;
use super::journal::{Entry, Header, Journal, Written};
use super::{Disk, Lock, Shard, finalize, paths, resume};
use crate::error::printable;
use crate::{Error, Result};

/// What a run is to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// All that determines the results: on one folder it stays the same, or the run is refused. An
    /// object, like `remarks`; a field that is null counts as missing.
    pub settings: Value,
    /// What else the manifest says. It may change between starts; the first one's is kept.
    pub remarks: Value,
    /// How many images the whole set has.
    pub images: usize,
    /// Which of them this run is about.
    pub shard: Shard,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Images that it is about.
    pub images: usize,
    /// Those of them that failed.
    pub failed: usize,
}

/// What was found when a run was opened.
#[derive(Debug)]
pub enum Opened {
    /// There are images to do, perhaps none any more, and the end to write.
    UnderWay(Box<Run>),
    /// All was done before.
    Finished(Summary),
}

/// A run that is not finished. No other process has it.
pub struct Run {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    plan: Plan,
    journal: Journal,
    lock: Lock,
    lost: usize,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Run").field("folder", &self.folder).field("plan", &self.plan).finish_non_exhaustive()
    }
}

impl Run {
    /// Begins the run in `folder`, or goes on with it. What a killed process left half-written is
    /// removed, and images whose files are gone or cut are to be done again. With `retry_failed`, so are
    /// those that failed.
    ///
    /// # Errors
    /// [`Error::Usage`] with the differences when `folder` has a run with other settings or shards,
    /// [`Error::Write`] when another process holds it or it cannot be written,
    /// [`Error::Refused`] when something in it cannot be read.
    pub fn open(disk: Arc<dyn Disk>, folder: &Path, plan: Plan, retry_failed: bool) -> Result<Opened> {
        if folder.exists() && !folder.is_dir() {
            return Err(Error::write(folder, "is a file, expected a folder"));
        }
        disk.make_folder(folder)?;
        let shard = plan.shard;
        let lock = Lock::take(folder, &folder.join(paths::lock(shard)))?;
        let range = shard.range(plan.images);
        check_others(folder, shard)?;
        sweep(&*disk, folder, shard, range.clone())?;
        if let Some((done, found)) = finished(folder, &plan)? {
            if !retry_failed || found.failed == 0 || done != shard {
                if done == Shard::WHOLE {
                    disk.remove(&folder.join(paths::journal(done)))?;
                }
                return Ok(Opened::Finished(found));
            }
            resume::reopen(&*disk, folder, &plan)?;
        }
        let path = folder.join(paths::journal(shard));
        let journal = match Journal::open(&*disk, &path, range.clone())? {
            Some(journal) => {
                finalize::compare(folder, &journal.header().settings, &plan.settings, &plan.remarks)?;
                journal
            }
            None => {
                let header = Header::new(shard, plan.images, plan.settings.clone(), plan.remarks.clone());
                let journal = Journal::create(&*disk, &path, &header, range)?;
                // Now that others see this one: has one of them begun meanwhile?
                check_others(folder, shard)?;
                journal
            }
        };
        let (journal, lost) = resume::without_lost(&*disk, folder, journal, retry_failed)?;
        Ok(Opened::UnderWay(Box::new(Run { disk, folder: folder.into(), plan, journal, lock, lost })))
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Images that are neither done nor failed, in the order of the set.
    pub fn pending(&self) -> impl Iterator<Item = usize> {
        self.plan.shard.range(self.plan.images).filter(|&image| !self.journal.has(image))
    }

    /// What is recorded so far: `images` are those done and failed.
    pub fn so_far(&self) -> Summary {
        let failed = self.journal.failed();
        Summary { images: self.journal.done() + failed, failed }
    }

    /// How many images are to be done again since their files were gone.
    pub fn lost(&self) -> usize {
        self.lost
    }

    /// Whether the file system keeps other processes out; if not, the user should.
    pub fn is_locked(&self) -> bool {
        self.lock.is_enforced()
    }

    /// Writes a file of an image, called [`super::in_set`] and an ending. It counts when it is in the
    /// image's [`Entry`].
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<Written> {
        let path = self.folder.join(name);
        if let Some(folder) = path.parent() {
            self.disk.make_folder(folder)?;
        }
        self.disk.replace(&path, false, &mut |file| file.write_all(bytes))?;
        Ok(Written { name: name.into(), bytes: bytes.len() as u64 })
    }

    /// Records an image; from now on it is done, or failed. Its files must have been written.
    ///
    /// # Errors
    /// [`Error::Write`]; then it is still pending.
    ///
    /// # Panics
    /// When the image is not pending.
    pub fn record(&mut self, entry: &Entry) -> Result<()> {
        self.journal.add(&*self.disk, entry)
    }

    /// Ends the run: results, list of failures, manifest. Power cuts do not harm it afterwards.
    ///
    /// # Errors
    /// [`Error::Write`] or, for the journal, [`Error::Refused`]; then it can be opened again.
    ///
    /// # Panics
    /// When images are pending.
    pub fn finish(self) -> Result<Summary> {
        let pending = self.pending().count();
        assert_eq!(pending, 0, "images pending");
        let Run { disk, folder, plan, journal, lock, .. } = self;
        finalize::sync(&*disk, &folder, &journal)?;
        let header = journal.header();
        let summary = Summary { images: journal.done() + journal.failed(), failed: journal.failed() };
        if plan.shard == Shard::WHOLE {
            finalize::write(&*disk, &folder, header, summary, || journal.entries())?;
            drop(journal);
            disk.remove(&folder.join(paths::journal(plan.shard)))?;
        } else {
            finalize::write_manifest(&*disk, &folder, plan.shard, header, summary)?;
        }
        drop(lock);
        Ok(summary)
    }
}

/// Refuses a folder in which other shards than those of the same division are.
pub(super) fn check_others(folder: &Path, shard: Shard) -> Result<()> {
    for other in paths::found(folder)? {
        let whole = other == Shard::WHOLE;
        let cause = match shard {
            _ if other == shard || other.count() == shard.count() => continue,
            // Whether it is the same set, and finished, its manifest says.
            _ if whole && folder.join(paths::manifest(other)).exists() => continue,
            _ if whole => "a run of the whole set is under way here".into(),
            Shard::WHOLE => format!("shard {other} is here; `msdcam merge` makes the whole of all shards"),
            _ => format!("shard {other} is here, asked for shard {shard}"),
        };
        return Err(Error::usage(format!("{}: {cause}", printable(&folder.to_string_lossy()))));
    }
    Ok(())
}

/// The manifest of the whole set, or else of this plan's shard: whose it is, and what it counts.
fn finished(folder: &Path, plan: &Plan) -> Result<Option<(Shard, Summary)>> {
    for shard in [Shard::WHOLE, plan.shard] {
        if let Some((manifest, summary)) = finalize::read_manifest(folder, shard)? {
            finalize::compare(folder, &manifest, &plan.settings, &plan.remarks)?;
            return Ok(Some((shard, summary)));
        }
    }
    Ok(None)
}
