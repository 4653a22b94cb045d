//! Photos and activation maps of a run's images, read back from its files.

use std::collections::BTreeMap;
use std::path::Path;

use crate::imaging::rgb_image::RgbImage;
use crate::imaging::with_longer_side;
use crate::model::Tap;
use crate::render::strip;
use crate::report::{EmbeddedPhoto, ImageResult, MapSource, QuantizedMaps, Tile};
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
        let quantized = |maps: Vec<ExitMap>| {
            let sources = maps.iter().map(|map| map.source.clone()).collect();
            let maps: Vec<Floats> = maps.iter().map(|map| reduced(&map.map)).collect();
            QuantizedMaps::new(
                sources,
                maps.iter().map(|map| ((map.shape[0], map.shape[1]), &map.values[..])),
            )
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

/// The map of an exit that is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct ExitMap {
    pub source: MapSource,
    /// (h, w) elements.
    pub map: Floats,
}

/// The map of each exit: the fused one, or that at the exit's own tap or, if it is not among the taps, the last; of
/// several methods or targets, the first. `None` without maps.
pub fn maps(folder: &Path, record: &ImageResult) -> Result<Option<Vec<ExitMap>>> {
    let Some(arrays) = &record.files.arrays else { return Ok(None) };
    let path = below(folder, arrays)?;
    let bytes = input_file::read(&path, LARGEST_ARRAYS)?;
    let mut archive = Archive::open(&path, &bytes)?;
    let names = archive.names();
    let called = |prefix: &'static str| {
        names.iter().filter_map(move |name| {
            let rest = name.strip_prefix(prefix)?;
            (rest.is_empty() || rest.starts_with('.')).then_some(rest)
        })
    };
    let exits = record.exits.len();
    let refused = |name: &str| {
        Error::refused(
            &path,
            format!("array '{name}'"),
            "its number of maps differs from its number of exits",
        )
    };
    let mut joint = BTreeMap::new();
    let mut of_all = |archive: &mut Archive, name: &str, i: usize| -> Result<Floats> {
        if !joint.contains_key(name) {
            joint.insert(name.to_string(), archive.floats(name)?);
        }
        let Floats { shape, values } = &joint[name];
        let each = if shape.first() == Some(&exits) { values.len() / exits.max(1) } else { 0 };
        first_map(shape, &values[i * each..][..each]).ok_or_else(|| refused(name))
    };
    if let Some(rest) = called("fused").next() {
        let map = |i| {
            Ok(ExitMap { source: MapSource::Fused, map: of_all(&mut archive, &format!("fused{rest}"), i)? })
        };
        return (0..exits).map(map).collect::<Result<_>>().map(Some);
    }
    // Each column of taps has an array of heatmaps, unlike the maps, which may differ in size. The first method's come
    // first.
    let columns: Vec<&str> = called("heatmap").collect();
    if columns.is_empty() {
        return Ok(None);
    }
    let (shape, taps) = archive.texts("tap")?.unwrap_or_default();
    let width = if shape.first() == Some(&exits) { taps.len() / exits.max(1) } else { 0 };
    if width == 0 || width > columns.len() {
        return Err(refused("tap"));
    }
    let mut maps = Vec::with_capacity(exits);
    for (i, (exit, taps)) in record.exits.iter().zip(taps.chunks(width)).enumerate() {
        let own = Tap::name_at_exit(exit.exit);
        let column = taps.iter().position(|tap| *tap == own);
        let column = column.or_else(|| taps.iter().rposition(|tap| !tap.is_empty())).unwrap_or(width - 1);
        let name = format!("cam{}", columns[column]);
        let map = if names.contains(&name) {
            of_all(&mut archive, &name, i)?
        } else {
            let name = format!("{name}.exit{}", exit.exit);
            let Floats { shape, values } = archive.floats(&name)?;
            first_map(&shape, &values).ok_or_else(|| refused(&name))?
        };
        let tap = taps[column].clone();
        maps.push(ExitMap {
            source: if tap == own { MapSource::Own(tap) } else { MapSource::Tap(tap) },
            map,
        });
    }
    Ok(Some(maps))
}

/// The first (h, w) elements of an array of that many columns and rows.
fn first_map(shape: &[usize], values: &[f32]) -> Option<Floats> {
    let &[.., h, w] = shape else { return None };
    let values = values.get(..h.checked_mul(w).filter(|&len| len > 0)?)?;
    Some(Floats { shape: vec![h, w], values: values.to_vec() })
}

/// A map whose longer side is at most [`LONGEST`]: each element is the mean of those that it stands for.
fn reduced(map: &Floats) -> Floats {
    /// Elements; the page holds every map, and a finer one would not look different.
    const LONGEST: usize = 64;
    let (h, w) = (map.shape[0], map.shape[1]);
    if h.max(w) <= LONGEST {
        return map.clone();
    }
    let (rows, columns) = with_longer_side((h, w), LONGEST);
    let part = |i: usize, of: usize, all: usize| i * all / of..((i + 1) * all).div_ceil(of);
    let mean = |i: usize| {
        let (y, x) = (part(i / columns, rows, h), part(i % columns, columns, w));
        let count = (y.len() * x.len()) as f32;
        y.map(|y| map.values[y * w..][x.clone()].iter().sum::<f32>()).sum::<f32>() / count
    };
    Floats { shape: vec![rows, columns], values: (0..rows * columns).map(mean).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reduced_map_has_the_means_of_its_parts() {
        let small = Floats { shape: vec![2, 64], values: vec![1.0; 128] };
        assert_eq!(reduced(&small), small);
        let steps = Floats { shape: vec![2, 128], values: (0..256).map(|i| (i % 128) as f32).collect() };
        let reduced = reduced(&steps);
        assert_eq!(reduced.shape, [1, 64]);
        assert_eq!(reduced.values[..3], [0.5, 2.5, 4.5]);
    }
}
