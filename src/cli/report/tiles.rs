//! Photos and activation maps of a run's images, read back from its files.

use std::collections::BTreeMap;
use std::path::Path;

use crate::imaging::rgb_image::RgbImage;
use crate::imaging::with_longer_side;
use crate::model::Tap;
use crate::render::strip;
use crate::report::{EmbeddedPhoto, ImageResult, MapSource, QuantizedMaps, Tile};
use crate::run::RunArrays;
use crate::util::below::below;
use crate::util::npz::{Archive, Floats};
use crate::util::{input_file, parallel};
use crate::{Error, Result, imaging};

/// Key of the network's inputs before normalization.
const INPUT: &str = "input";

/// Limit of the archive of an image, in bytes.
const LARGEST_ARRAYS: u64 = 1 << 30;

/// Gallery tiles, and the reasons why some have no photo or no maps.
#[derive(Debug)]
pub struct LoadedTiles<'a> {
    pub tiles: Vec<Tile<'a>>,
    /// The first error about photos and the first about arrays; a run without pictures would have thousands.
    pub problems: Vec<Error>,
}

/// Where the photos and maps of a run's images are.
#[derive(Debug)]
pub struct Sources<'a> {
    /// The run's folder, for the files that results name.
    pub folder: &'a Path,
    /// The arrays of all images and their keys, in the order of the request; `None` in a run of photos given by name,
    /// and in one of a version that wrote an archive for each image.
    pub arrays: Option<(&'a RunArrays, Vec<String>)>,
}

/// Reads the photos and maps of `records`.
pub fn read<'a>(sources: &Sources, records: &'a [ImageResult]) -> LoadedTiles<'a> {
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
        let photo = sources.photo(record).map(|photo| photo.map(|photo| encoded(&photo)));
        (record, photo, sources.maps(record).map(|maps| maps.map(quantized)))
    });
    let (mut tiles, mut photos, mut arrays) = (Vec::new(), None, None);
    for (record, photo, maps) in read {
        tiles.push(Tile { record, photo: kept(photo, &mut photos), maps: kept(maps, &mut arrays) });
    }
    LoadedTiles { tiles, problems: photos.into_iter().chain(arrays).collect() }
}

/// Limit of a photo's sides in pixels: JPEG's.
const MAX_SIDE: usize = 65_535;

/// The value that was read; the first error goes to `problem`.
fn kept<T>(read: Result<Option<T>>, problem: &mut Option<Error>) -> Option<T> {
    read.unwrap_or_else(|error| {
        problem.get_or_insert(error);
        None
    })
}

impl Sources<'_> {
    /// The photo, cut out of the film strip; without one, what the network saw of it, from the arrays.
    pub fn photo(&self, record: &ImageResult) -> Result<Option<RgbImage>> {
        if let Some(strip) = &record.files.strip {
            let picture = RgbImage::open(&below(self.folder, strip)?)?;
            // A JPEG has not the exact colors by which the photo is found.
            if let Some(photo) = strip::photo(&picture, record.exits.len()) {
                return Ok(Some(photo));
            }
        }
        match &self.arrays {
            Some((arrays, keys)) if keys.iter().any(|key| key == INPUT) => {
                let (shape, rgb) = arrays.bytes(INPUT, record.index)?;
                let [height @ 1..=MAX_SIDE, width @ 1..=MAX_SIDE, 3] = shape[..] else {
                    let cause = format!("shape {shape:?}, expected (H, W, 3) with sides of 1 to {MAX_SIDE}");
                    return Err(Error::refused(self.folder, format!("array '{INPUT}'"), cause));
                };
                Ok(Some(RgbImage::new(width, height, rgb)))
            }
            _ => Ok(None),
        }
    }

    /// The map of each exit: the fused one, or that at the exit's own tap or, if it is not among the taps, the last;
    /// of several methods or targets, the first. `None` without maps.
    pub fn maps(&self, record: &ImageResult) -> Result<Option<Vec<ExitMap>>> {
        if let Some(name) = &record.files.arrays {
            let path = below(self.folder, name)?;
            let bytes = input_file::read(&path, LARGEST_ARRAYS)?;
            let mut archive = Archive::open(&path, &bytes)?;
            let names = archive.names();
            return maps(&mut ImageArrays::Archive(&mut archive), (&path, &names), record);
        }
        match &self.arrays {
            Some((arrays, keys)) => {
                maps(&mut ImageArrays::OfRun(arrays, record.index), (self.folder, keys), record)
            }
            None => Ok(None),
        }
    }
}

/// The arrays of one image.
enum ImageArrays<'a, 'b> {
    Archive(&'a mut Archive<'b>),
    OfRun(&'a RunArrays, usize),
}

impl ImageArrays<'_, '_> {
    fn floats(&mut self, name: &str) -> Result<Floats> {
        match self {
            ImageArrays::Archive(archive) => archive.floats(name),
            ImageArrays::OfRun(arrays, image) => arrays.floats(name, *image),
        }
    }

    fn texts(&mut self, name: &str) -> Result<Option<(Vec<usize>, Vec<String>)>> {
        match self {
            ImageArrays::Archive(archive) => archive.texts(name),
            ImageArrays::OfRun(arrays, _) => arrays.texts(name),
        }
    }
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

/// The maps of [`Sources::maps`], from the arrays called `names`; errors name `path`.
fn maps(
    arrays: &mut ImageArrays,
    (path, names): (&Path, &[String]),
    record: &ImageResult,
) -> Result<Option<Vec<ExitMap>>> {
    let called = |prefix: &'static str| {
        names.iter().filter_map(move |name| {
            let rest = name.strip_prefix(prefix)?;
            (rest.is_empty() || rest.starts_with('.')).then_some(rest)
        })
    };
    let exits = record.exits.len();
    let refused = |name: &str| {
        Error::refused(path, format!("array '{name}'"), "its number of maps differs from its number of exits")
    };
    let mut joint = BTreeMap::new();
    let mut of_all = |arrays: &mut ImageArrays, name: &str, i: usize| -> Result<Floats> {
        if !joint.contains_key(name) {
            joint.insert(name.to_string(), arrays.floats(name)?);
        }
        let Floats { shape, values } = &joint[name];
        let each = if shape.first() == Some(&exits) { values.len() / exits.max(1) } else { 0 };
        first_map(shape, &values[i * each..][..each]).ok_or_else(|| refused(name))
    };
    if let Some(rest) = called("fused").next() {
        let map =
            |i| Ok(ExitMap { source: MapSource::Fused, map: of_all(arrays, &format!("fused{rest}"), i)? });
        return (0..exits).map(map).collect::<Result<_>>().map(Some);
    }
    // Each column of taps has an array, or where the sizes of maps differ one for each exit. The first method's come
    // first.
    let prefix = if called("cam").next().is_some() { "cam" } else { "heatmap" };
    let mut columns: Vec<&str> = Vec::new();
    for rest in called(prefix) {
        let own = rest.rsplit_once(".exit").filter(|(_, exit)| {
            exit.parse().is_ok_and(|exit: usize| record.exits.iter().any(|e| e.exit == exit))
        });
        let column = own.map_or(rest, |(column, _)| column);
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    if columns.is_empty() {
        return Ok(None);
    }
    let (shape, taps) = arrays.texts("tap")?.unwrap_or_default();
    let width = if shape.first() == Some(&exits) { taps.len() / exits.max(1) } else { 0 };
    if width == 0 || width > columns.len() {
        return Err(refused("tap"));
    }
    let mut maps = Vec::with_capacity(exits);
    for (i, (exit, taps)) in record.exits.iter().zip(taps.chunks(width)).enumerate() {
        let own = Tap::name_at_exit(exit.exit);
        let column = taps.iter().position(|tap| *tap == own);
        let column = column.or_else(|| taps.iter().rposition(|tap| !tap.is_empty())).unwrap_or(width - 1);
        let name = format!("{prefix}{}", columns[column]);
        let map = if names.contains(&name) {
            of_all(arrays, &name, i)?
        } else {
            let name = format!("{name}.exit{}", exit.exit);
            let Floats { shape, values } = arrays.floats(&name)?;
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
