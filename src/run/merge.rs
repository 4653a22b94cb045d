//! Merging all shards of a set into one run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::acquire::check_other_shards;
use super::cleanup::remove_temporaries;
use super::journal::{Entry, Journal};
use super::spec::differences;
use super::{Disk, Lock, Shard, Summary, file_names, finalize, paths};
use crate::util::input_file;
use crate::{Error, Result};

/// A finished shard.
struct FinishedShard {
    folder: PathBuf,
    shard: Shard,
    journal: Journal,
}

/// Merges the shards in `folders` into a run in `out`, byte for byte equal to a run of the whole set.
/// Pictures become hard links to those of the shards where the file system supports links. `out` may be
/// one of the folders: then its pictures stay in place and the shards' journals are removed. An
/// interrupted merge can be repeated.
///
/// # Errors
/// [`Error::Refused`] when shards are missing, not finished, duplicated, of different runs, or have lost
/// files; [`Error::Usage`] when `out` holds another run; [`Error::Write`].
pub fn merge(disk: &dyn Disk, folders: &[PathBuf], out: &Path) -> Result<Summary> {
    let in_place = |folder: &Path| same(folder, out);
    if folders.iter().any(|folder| in_place(folder))
        && let Some((_, summary)) = finalize::read_manifest(out, Shard::WHOLE)?
    {
        forget_shards(disk, out)?;
        return Ok(summary);
    }
    let sources = sources(folders)?;
    let header = sources[0].journal.header().clone();
    disk.make_folder(out)?;
    let _lock = Lock::take(out, &out.join(paths::lock(Shard::WHOLE)))?;
    if !folders.iter().any(|folder| in_place(folder)) {
        check_other_shards(out, Shard::WHOLE)?;
    }
    if let Some((manifest, _)) = finalize::read_manifest(out, Shard::WHOLE)? {
        finalize::compare(out, &manifest, &header.settings, &header.metadata)?;
    }
    remove_temporaries(disk, out, Shard::WHOLE, 0..header.images)?;
    for source in &sources {
        if !in_place(&source.folder) {
            source.link(disk, out)?;
        }
        finalize::sync(disk, out, &source.journal)?;
    }
    let summary: Summary = sources.iter().map(|source| source.journal.summary()).sum();
    let entries = || sources.iter().flat_map(|source| source.journal.entries());
    finalize::write(disk, out, &header, summary, entries)?;
    if folders.iter().any(|folder| in_place(folder)) {
        drop(sources);
        forget_shards(disk, out)?;
    }
    Ok(summary)
}

/// Removes the shards' manifests and journals from a folder that now holds the whole run.
fn forget_shards(disk: &dyn Disk, folder: &Path) -> Result<()> {
    for shard in paths::shards(folder)?.into_iter().filter(|&shard| shard != Shard::WHOLE) {
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
    let of = (1..=first.shard.count()).filter_map(|index| Shard::new(index, first.shard.count()));
    let missing: Vec<String> = of.filter(|s| !all.contains_key(s)).map(|s| s.to_string()).collect();
    if !missing.is_empty() {
        let (shards, are) = if missing.len() == 1 { ("shard", "is") } else { ("shards", "are") };
        let cause = format!("{shards} {} {are} missing", missing.join(", "));
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
        Ok(shard.range(header.images))
    })?;
    let (done, all) = (journal.summary().images, shard.range(journal.header().images).len());
    let source = FinishedShard { folder: folder.into(), shard, journal };
    if done < all || !folder.join(paths::manifest(shard)).exists() {
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
        let differences = differences("it has", &ours, &theirs, &other, &json!({}));
        differences.map_or(Ok(()), |text| Err(self.refused(text.replace("settings.", ""))))
    }

    /// Links the pictures into `out`.
    fn link(&self, disk: &dyn Disk, out: &Path) -> Result<()> {
        for entry in self.journal.entries() {
            let Entry { image, files, .. } = entry?;
            if !files.is_empty() {
                disk.make_folder(&out.join(file_names::folder(image)))?;
            }
            for file in files {
                let from = self.folder.join(&file.name);
                let bytes = std::fs::metadata(&from).map(|about| about.len());
                if bytes.as_ref().ok() != Some(&file.bytes) {
                    let is = bytes.map_or("is missing".into(), |bytes| format!("has {bytes} bytes"));
                    return Err(
                        self.refused(format!("{} {is}; it was written with {}", file.name, file.bytes))
                    );
                }
                disk.link(&from, &out.join(&file.name))?;
            }
        }
        Ok(())
    }
}

/// Whether both paths name the same folder.
fn same(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
