//! The photos and maps of a run's images.

use std::path::{Component, Path, PathBuf};

use crate::imaging::rgb_image::RgbImage;
use crate::render::strip;
use crate::report::{Maps, Photo, Record, Tile};
use crate::util::npz::{Archive, Floats};
use crate::util::parallel;
use crate::{Error, Result, imaging};

/// Images to show, and why some have no photo or no maps.
#[derive(Debug)]
pub struct Tiles<'a> {
    pub tiles: Vec<Tile<'a>>,
    /// One of each kind: a run without its pictures would have thousands.
    pub problems: Vec<Error>,
}

/// Reads what `records` name, below `folder`.
pub fn read<'a>(folder: &Path, records: &'a [Record]) -> Tiles<'a> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let records: Vec<&Record> = records.iter().collect();
    let read = parallel::map(threads, &records, |&record| {
        let maps = |cam: Floats| Maps::new(&cam.shape, &cam.values);
        let photo = photo(folder, record).map(|photo| photo.map(|photo| encoded(&photo)));
        (record, photo, cam(folder, record).map(|cam| cam.and_then(maps)))
    });
    let (mut tiles, mut photos, mut arrays) = (Vec::new(), None, None);
    for (record, photo, maps) in read {
        tiles.push(Tile { record, photo: kept(photo, &mut photos), maps: kept(maps, &mut arrays) });
    }
    Tiles { tiles, problems: photos.into_iter().chain(arrays).collect() }
}

/// What was read; the first failure goes to `problem`.
fn kept<T>(read: Result<Option<T>>, problem: &mut Option<Error>) -> Option<T> {
    read.unwrap_or_else(|error| {
        problem.get_or_insert(error);
        None
    })
}

/// A file that a run names, which must lie below it.
fn below(folder: &Path, name: &str) -> Result<PathBuf> {
    let path = Path::new(name);
    if path.components().all(|part| matches!(part, Component::Normal(_))) {
        return Ok(folder.join(path));
    }
    Err(Error::refused(folder, "results", format!("the file {name} is not below the run")))
}

/// The photo, out of the film strip.
pub fn photo(folder: &Path, record: &Record) -> Result<Option<RgbImage>> {
    let Some(strip) = &record.files.strip else { return Ok(None) };
    let picture = imaging::open(&below(folder, strip)?)?;
    Ok(strip::photo(&picture, record.exits.len()))
}

fn encoded(photo: &RgbImage) -> Photo {
    /// A sixth of PNG's size, and no difference to be seen where it is small.
    const QUALITY: u8 = 85;
    Photo { mime: "image/jpeg", bytes: imaging::encode_jpeg(photo, QUALITY) }
}

/// The maps, exits first; with several methods or layers the first one's.
pub fn cam(folder: &Path, record: &Record) -> Result<Option<Floats>> {
    let Some(arrays) = &record.files.arrays else { return Ok(None) };
    let path = below(folder, arrays)?;
    let bytes = std::fs::read(&path).map_err(|e| Error::refused(&path, "file", e.to_string()))?;
    let mut archive = Archive::open(&path, &bytes)?;
    let names = archive.names();
    let first = names.iter().find(|name| *name == "cam" || name.starts_with("cam."));
    first.map(|name| archive.floats(name)).transpose()
}
