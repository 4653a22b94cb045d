//! The photos and maps of a run's images.

use std::path::{Component, Path, PathBuf};

use msdcam::npz::Archive;
use msdcam::picture::Picture;
use msdcam::render::strip;
use msdcam::report::{Maps, Photo, Record, Tile};
use msdcam::{Error, Result, image};

use crate::cli::parallel;

/// Images to show, and why some have no photo or no maps.
#[derive(Debug)]
pub struct Tiles<'a> {
    pub tiles: Vec<Tile<'a>>,
    /// One of each kind: a run without its pictures would have thousands.
    pub problems: Vec<Error>,
}

/// Reads what `records` name, below `folder`; each has so many `exits`.
pub fn read<'a>(folder: &Path, records: &'a [Record], exits: usize) -> Tiles<'a> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let read = |record: &'a Record| {
        let photo = record.files.strip.as_ref().map(|strip| photo(folder, strip, exits));
        let maps = record.files.arrays.as_ref().map(|arrays| maps(folder, arrays));
        (record, photo.transpose(), maps.transpose())
    };
    let records: Vec<&Record> = records.iter().collect();
    let (mut tiles, mut photos, mut arrays) = (Vec::new(), None, None);
    for (record, photo, maps) in parallel::map(threads, &records, |record| read(record)) {
        let photo = kept(photo, &mut photos);
        let maps = kept(maps, &mut arrays);
        tiles.push(Tile { record, photo, maps });
    }
    Tiles { tiles, problems: photos.into_iter().chain(arrays).collect() }
}

/// What was read; the first failure goes to `problem`.
fn kept<T>(read: Result<Option<Option<T>>>, problem: &mut Option<Error>) -> Option<T> {
    match read {
        Ok(read) => read.flatten(),
        Err(error) => {
            problem.get_or_insert(error);
            None
        }
    }
}

/// A file that a run names, which must lie below it.
fn below(folder: &Path, name: &str) -> Result<PathBuf> {
    let path = Path::new(name);
    if path.components().all(|part| matches!(part, Component::Normal(_))) {
        return Ok(folder.join(path));
    }
    Err(Error::refused(folder, "results.jsonl", format!("the file {name} is not below the run")))
}

/// The photo of a film strip.
fn photo(folder: &Path, strip: &str, exits: usize) -> Result<Option<Photo>> {
    let picture = image::open(&below(folder, strip)?)?;
    Ok(strip::photo(&picture, exits).map(|photo| encoded(&photo)))
}

fn encoded(photo: &Picture) -> Photo {
    /// A sixth of PNG's size, and no difference to be seen at this.
    const QUALITY: u8 = 85;
    Photo { mime: "image/jpeg", bytes: image::encode_jpeg(photo, QUALITY) }
}

/// The maps of an archive.
fn maps(folder: &Path, arrays: &str) -> Result<Option<Maps>> {
    let path = below(folder, arrays)?;
    let bytes = std::fs::read(&path).map_err(|e| Error::refused(&path, "file", e.to_string()))?;
    let mut archive = Archive::open(&path, &bytes)?;
    let names = archive.names();
    // With several methods the first one's.
    let Some(name) = names.iter().find(|name| *name == "cam" || name.starts_with("cam.")) else {
        return Ok(None);
    };
    let cam = archive.floats(name)?;
    Ok(Maps::new(&cam.shape, &cam.values))
}
