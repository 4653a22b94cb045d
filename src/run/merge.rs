//! Merging all shards of a set into one run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::array_files::{self, ArrayFiles, RowReader};
use super::arrays::ArraySpec;
use super::claim::{check_foreign, check_no_whole_run, check_other_shards, create_and_lock};
use super::cleanup::remove_temporaries;
use super::journal::{Journal, JournalHeader};
use super::marker::Marker;
use super::resume::has_results;
use super::spec::differences;
use super::{Disk, Lock, Shard, Summary, finalize, marker, paths};
use crate::util::below::{below, without_links};
use crate::util::input_file;
use crate::{Error, Result};

/// A finished shard.
struct FinishedShard {
    folder: PathBuf,
    shard: Shard,
    journal: Journal,
}

/// Merges the shards in `folders` into a run in `out`, byte for byte equal to a run of the whole set. Arrays are copied,
/// one after another; pictures become hard links to those of the shards where the file system supports links. `out`
/// may be one of the folders: then its pictures stay in place, and the shards' arrays and journals are removed once
/// the whole run is there. An interrupted merge can be repeated.
///
/// # Errors
/// [`Error::Refused`] when shards are missing, not finished, duplicated, of different runs, or have lost
/// files; [`Error::Usage`] when `out` holds another run or files of another program; [`Error::Write`].
pub fn merge(disk: &dyn Disk, folders: &[PathBuf], out: &Path) -> Result<Summary> {
    if folders.iter().any(|folder| same(folder, out)) {
        let _lock = Lock::take(out, &out.join(paths::lock(Shard::WHOLE)))?;
        return match finalize::read_manifest(out, Shard::WHOLE)? {
            Some((manifest, summary)) => {
                forget_merged(disk, folders, out, &manifest)?;
                Ok(summary)
            }
            None => {
                let sources = sources(folders)?;
                begin(disk, sources[0].journal.header(), out)?;
                let summary = write(disk, &sources, out)?;
                let arrays = sources[0].journal.header().arrays.clone();
                drop(sources);
                forget_shards(disk, out, &arrays)?;
                Ok(summary)
            }
        };
    }
    // The folder is created once it is known that there is something to merge.
    let sources = sources(folders)?;
    let header = sources[0].journal.header();
    let _lock = create_and_lock(disk, out, &paths::lock(Shard::WHOLE))?;
    check_foreign(out)?;
    check_other_shards(out, Shard::WHOLE)?;
    begin(disk, header, out)?;
    write(disk, &sources, out)
}

/// Marks `out` as the folder of the whole run `header`. What an interrupted merge has put there is its own.
///
/// # Errors
/// [`Error::Usage`] when `out` holds another run or files of another program.
fn begin(disk: &dyn Disk, header: &JournalHeader, out: &Path) -> Result<()> {
    match marker::RUN.read(out)? {
        Marker::Missing => {
            check_no_whole_run(out)?;
            // Pictures may be those of a shard in the same folder.
            marker::RUN.check_unused(out, &[paths::RESULTS, paths::FAILED, paths::ARRAYS])?;
            finalize::write_in_progress(disk, out, header)
        }
        Marker::InProgress(found) | Marker::Complete(found) => {
            finalize::compare(out, &found, &header.settings, &header.metadata)
        }
    }
}

/// Writes the run of all `sources` in `out`.
fn write(disk: &dyn Disk, sources: &[FinishedShard], out: &Path) -> Result<Summary> {
    let header = sources[0].journal.header();
    remove_temporaries(disk, out, Shard::WHOLE, 0..header.images)?;
    let arrays = ArrayFiles::open(disk, out, Shard::WHOLE, &header.arrays, 0..header.images)?;
    for source in sources {
        source.check_files()?;
        source.copy_rows(disk, &arrays)?;
        if !same(&source.folder, out) {
            source.link(disk, out)?;
        }
        finalize::sync(disk, out, &source.journal)?;
    }
    arrays.sync(disk)?;
    let summary: Summary = sources.iter().map(|source| source.journal.summary()).sum();
    let entries = || sources.iter().flat_map(|source| source.journal.entries());
    finalize::write(disk, out, header, summary, entries)?;
    Ok(summary)
}

/// Removes the shards in `out`, which an interrupted merge has left beside the whole run of this `manifest`.
///
/// # Errors
/// When a shard in `folders` is one of another run, or the whole run is not what was written.
fn forget_merged(disk: &dyn Disk, folders: &[PathBuf], out: &Path, manifest: &Value) -> Result<()> {
    if !has_results(out, manifest)? {
        let cause = format!("{} is missing or not the one that was written", paths::RESULTS);
        return Err(Error::refused(out, "finished run", cause));
    }
    let mut arrays = ArraySpec::default();
    for folder in folders {
        for shard in paths::shards(folder)?.into_iter().filter(|&shard| shard != Shard::WHOLE) {
            let path = folder.join(paths::journal(shard));
            let file = input_file::open(&path).map_err(|e| Error::refused_by(&path, "file", e))?;
            let journal = Journal::read(&path, file, |header| Ok(shard.range(header.images)))?;
            let header = journal.header();
            finalize::compare(out, manifest, &header.settings, &header.metadata)?;
            ArrayFiles::read(out, Shard::WHOLE, &header.arrays, 0..header.images)??;
            arrays = header.arrays.clone();
        }
    }
    forget_shards(disk, out, &arrays)
}

/// Removes the shards' arrays, manifests and journals from a folder that now holds the whole run.
fn forget_shards(disk: &dyn Disk, folder: &Path, arrays: &ArraySpec) -> Result<()> {
    for shard in paths::shards(folder)?.into_iter().filter(|&shard| shard != Shard::WHOLE) {
        array_files::remove(disk, folder, shard, arrays)?;
        disk.remove(&folder.join(paths::manifest(shard)))?;
        disk.remove(&folder.join(paths::journal(shard)))?;
    }
    Ok(())
}

/// The shards in `folders`, which must be all shards of one set, in order.
fn sources(folders: &[PathBuf]) -> Result<Vec<FinishedShard>> {
    let mut all: BTreeMap<Shard, FinishedShard> = BTreeMap::new();
    for folder in folders {
        for source in in_folder(folder)? {
            if let Some(first) = all.values().next() {
                source.check_like(first)?;
            }
            if let Some(other) = all.get(&source.shard) {
                return Err(source.refused(format!("is in {} too", other.folder.display())));
            }
            all.insert(source.shard, source);
        }
    }
    let Some(first) = all.values().next() else { return Err(Error::usage("no shards are given")) };
    // The number of shards comes from a file's name and may be anything.
    const NAMED: usize = 10;
    let missing = first.shard.count() - all.len();
    if missing > 0 {
        let of = (1..=first.shard.count()).filter_map(|index| Shard::new(index, first.shard.count()));
        let named = of.filter(|s| !all.contains_key(s)).take(NAMED).map(|s| s.to_string());
        let named = named.collect::<Vec<_>>().join(", ");
        let more = if missing > NAMED { format!(" and {} more", missing - NAMED) } else { String::new() };
        let (shards, are) = if missing == 1 { ("shard", "is") } else { ("shards", "are") };
        let cause = format!("{shards} {named}{more} {are} missing");
        return Err(Error::refused(&first.folder, format!("beside shard {}", first.shard), cause));
    }
    Ok(all.into_values().collect())
}

/// The finished shards in a folder.
fn in_folder(folder: &Path) -> Result<Vec<FinishedShard>> {
    let shards = paths::shards(folder)?;
    if shards.iter().all(|&shard| shard == Shard::WHOLE) {
        let cause = if shards.is_empty() { "holds no shard" } else { "holds a whole run, not a shard" };
        return Err(Error::refused(folder, "folder", cause));
    }
    shards.into_iter().filter(|&shard| shard != Shard::WHOLE).map(|shard| open(folder, shard)).collect()
}

fn open(folder: &Path, shard: Shard) -> Result<FinishedShard> {
    let path = folder.join(paths::journal(shard));
    let file = input_file::open(&path).map_err(|e| Error::refused_by(&path, "file", e))?;
    let journal = Journal::read(&path, file, |header| {
        if header.shard != shard.to_string() {
            return Err(Error::refused(&path, "line 1", format!("belongs to shard {}", header.shard)));
        }
        header.arrays.check().map_err(|cause| Error::refused(&path, "line 1", cause))?;
        Ok(shard.range(header.images))
    })?;
    let (done, all) = (journal.summary().images, shard.range(journal.header().images).len());
    let source = FinishedShard { folder: folder.into(), shard, journal };
    if done < all || !paths::exists(&folder.join(paths::manifest(shard)))? {
        return Err(source.refused(format!("is not finished: {done} of {all} images")));
    }
    Ok(source)
}

impl FinishedShard {
    fn refused(&self, cause: String) -> Error {
        Error::refused(&self.folder, format!("shard {}", self.shard), cause)
    }

    /// Refuses a shard that belongs to another run than `first`.
    fn check_like(&self, first: &FinishedShard) -> Result<()> {
        let theirs = format!("shard {} in {} has", first.shard, first.folder.display());
        if self.shard.count() != first.shard.count() {
            return Err(self.refused(format!("{theirs} {} beside it", first.shard.count() - 1)));
        }
        let [ours, other] = [self, first].map(|source| {
            let header = source.journal.header();
            json!({"settings": header.settings, "images": header.images})
        });
        if let Some(text) = differences("it has", &ours, &theirs, &other, &json!({})) {
            return Err(self.refused(text.replace("settings.", "")));
        }
        // The settings determine the arrays, if the same version of the program wrote both.
        match self.journal.header().arrays == first.journal.header().arrays {
            true => Ok(()),
            false => {
                let first = format!("shard {} in {}", first.shard, first.folder.display());
                Err(self
                    .refused(format!("other arrays than those of {first}, or of other types or dimensions")))
            }
        }
    }

    /// Refuses a shard whose files are not those that were written.
    fn check_files(&self) -> Result<()> {
        for entry in self.journal.entries() {
            for file in entry?.files {
                if let Some(damage) = file.damage(&self.folder)? {
                    return Err(self.refused(format!("{} {damage}", file.name)));
                }
            }
        }
        Ok(())
    }

    /// Copies the rows into the `arrays` of the whole run.
    fn copy_rows(&self, disk: &dyn Disk, arrays: &ArrayFiles) -> Result<()> {
        let header = self.journal.header();
        if header.arrays.fields.is_empty() {
            return Ok(());
        }
        let range = self.shard.range(header.images);
        let own = ArrayFiles::read_rows(&self.folder, self.shard, &header.arrays, range)??;
        let mut rows = RowReader::new(&own);
        let mut written = 0;
        for entry in self.journal.entries() {
            let entry = entry?;
            let of = |what: &str| format!("the rows of image {} in its arrays {what}", entry.image);
            let found =
                rows.checksum(entry.image).map_err(|e| self.refused(of(&format!("are lost: {e}"))))?;
            if entry.rows != Some(found) {
                return Err(self.refused(of("are not those that were written")));
            }
            // Every image has an entry, so the block's last one ends it.
            let (block, bytes) = rows.block(entry.image)?;
            if entry.image + 1 == block.end {
                arrays.write(disk, block.start, bytes)?;
                written += block.len();
            }
        }
        debug_assert_eq!(written, self.journal.summary().images, "every image has an entry");
        Ok(())
    }

    /// Links the pictures into `out`.
    fn link(&self, disk: &dyn Disk, out: &Path) -> Result<()> {
        for entry in self.journal.entries() {
            for file in entry?.files {
                let to = without_links(out, &file.name)?;
                if let Some(folder) = to.parent() {
                    disk.make_folder(folder)?;
                }
                disk.link(&below(&self.folder, &file.name)?, &to)?;
            }
        }
        Ok(())
    }
}

/// Whether both paths name the same folder.
fn same(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
