//! Photos and activation maps of a run's images, read back from its files.

use std::path::Path;

use crate::imaging::rgb_image::RgbImage;
use crate::render::strip;
use crate::report::{EmbeddedPhoto, ImageResult, QuantizedMaps, Tile};
use crate::util::below::below;
use crate::util::npz::{Archive, Floats};
use crate::util::{input_file, parallel};
use crate::{Error, Result, imaging};

/// Limit of the arrays of an image, in bytes.
const LARGEST_ARRAYS: u64 = 1 << 30;

/// Gallery tiles, and the reasons why some have no photo or no maps.
#[derive(Debug)]
pub struct LoadedTiles<'a> {
    pub tiles: Vec<Tile<'a>>,
    /// The first error about photos and the first about arrays; a run without pictures would have thousands.
    pub problems: Vec<Error>,
}

/// Reads the files that `records` name below `folder`.
pub fn read<'a>(folder: &Path, records: &'a [ImageResult]) -> LoadedTiles<'a> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let records: Vec<&ImageResult> = records.iter().collect();
    let read = parallel::map(threads, &records, |&record| {
        let quantized = |maps: Vec<Floats>| {
            QuantizedMaps::new(maps.iter().map(|map| ((map.shape[0], map.shape[1]), &map.values[..])))
        };
        let photo = photo(folder, record).map(|photo| photo.map(|photo| encoded(&photo)));
        (record, photo, maps(folder, record).map(|maps| maps.map(quantized)))
    });
    let (mut tiles, mut photos, mut arrays) = (Vec::new(), None, None);
    for (record, photo, maps) in read {
        tiles.push(Tile { record, photo: kept(photo, &mut photos), maps: kept(maps, &mut arrays) });
    }
    LoadedTiles { tiles, problems: photos.into_iter().chain(arrays).collect() }
}

/// The value that was read; the first error goes to `problem`.
fn kept<T>(read: Result<Option<T>>, problem: &mut Option<Error>) -> Option<T> {
    read.unwrap_or_else(|error| {
        problem.get_or_insert(error);
        None
    })
}

/// The photo, cut out of the film strip.
pub fn photo(folder: &Path, record: &ImageResult) -> Result<Option<RgbImage>> {
    let Some(strip) = &record.files.strip else { return Ok(None) };
    let picture = RgbImage::open(&below(folder, strip)?)?;
    Ok(strip::photo(&picture, record.exits.len()))
}

fn encoded(photo: &RgbImage) -> EmbeddedPhoto {
    /// JPEG quality: a sixth of the size of a PNG without visible differences at thumbnail size.
    const QUALITY: u8 = 85;
    EmbeddedPhoto {
        mime: "image/jpeg",
        bytes: imaging::encode_jpeg(photo, QUALITY),
        size: (photo.height, photo.width),
    }
}

/// The activation map of each exit, (h, w); of several methods, layers or targets, the first. `None` without maps.
pub fn maps(folder: &Path, record: &ImageResult) -> Result<Option<Vec<Floats>>> {
    let Some(arrays) = &record.files.arrays else { return Ok(None) };
    let path = below(folder, arrays)?;
    let bytes = input_file::read(&path, LARGEST_ARRAYS)?;
    let mut archive = Archive::open(&path, &bytes)?;
    let names = archive.names();
    let Some(first) = names.iter().find(|name| *name == "cam" || name.starts_with("cam.")) else {
        return Ok(None);
    };
    let exits = record.exits.len();
    let refused = || Error::refused(&path, first, "its number of maps differs from its number of exits");
    // Maps that differ in size have an array for each exit, unlike the heatmaps that are made of them.
    if names.contains(&first.replacen("cam", "heatmap", 1)) {
        let Floats { shape, values } = archive.floats(first)?;
        let each = if shape.first() == Some(&exits) { values.len() / exits.max(1) } else { 0 };
        let maps = (0..exits).map(|i| first_map(&shape, &values[i * each..][..each]));
        return maps.collect::<Option<_>>().map(Some).ok_or_else(refused);
    }
    let base = first.rfind(".exit").map_or("cam", |at| &first[..at]);
    let mut maps = Vec::with_capacity(exits);
    for exit in &record.exits {
        let Floats { shape, values } = archive.floats(&format!("{base}.exit{}", exit.exit))?;
        maps.push(first_map(&shape, &values).ok_or_else(refused)?);
    }
    Ok(Some(maps))
}

/// The first (h, w) elements of an array of that many columns and rows.
fn first_map(shape: &[usize], values: &[f32]) -> Option<Floats> {
    let &[.., h, w] = shape else { return None };
    let values = values.get(..h.checked_mul(w).filter(|&len| len > 0)?)?;
    Some(Floats { shape: vec![h, w], values: values.to_vec() })
}
