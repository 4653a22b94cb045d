//! The gallery's images: as markup that can be read without scripts, and as data for the scripts.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::format::name;
use super::result::ImageResult;
use super::{Report, json};
use crate::imaging::heatmap::MapStatus;
use crate::render::Colormap;
use crate::render::sheet::percent;
use crate::util::text::percent_encoded;

/// An image of the gallery.
#[derive(Debug)]
pub struct Tile<'a> {
    /// Its results.
    pub record: &'a ImageResult,
    /// Model's view of the photo.
    pub photo: Option<EmbeddedPhoto>,
    /// Activation maps of the exits.
    pub maps: Option<QuantizedMaps>,
}

/// A small photo as an encoded file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddedPhoto {
    /// MIME type, such as `image/png`.
    pub mime: &'static str,
    /// Bytes of the file.
    pub bytes: Vec<u8>,
    /// (height, width) in pixels.
    pub size: (usize, usize),
}

/// What a map of an exit is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MapSource {
    /// The fusion of several taps' maps.
    Fused,
    /// The map at the exit's own tap, by name.
    Own(String),
    /// The map at another tap.
    Tap(String),
}

impl MapSource {
    /// Name of the tap, if there is one.
    fn tap(&self) -> Option<&str> {
        match self {
            MapSource::Fused => None,
            MapSource::Own(tap) | MapSource::Tap(tap) => Some(tap),
        }
    }
}

/// Activation maps of an image, one of each exit, quantized to one byte per element.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantizedMaps {
    /// What each exit's map is.
    sources: Vec<MapSource>,
    /// (height, width) of each exit's map.
    sizes: Vec<(usize, usize)>,
    /// Maximum of each exit's map.
    max: Vec<f32>,
    /// Elements of all maps, one map after another: 255 is the maximum of a map, 0 is zero or less.
    values: Vec<u8>,
}

impl QuantizedMaps {
    /// Quantizes the maps of the exits, after their ReLU: (height, width) and elements of each.
    pub fn new<'m>(
        sources: Vec<MapSource>,
        maps: impl Iterator<Item = ((usize, usize), &'m [f32])>,
    ) -> QuantizedMaps {
        let mut quantized = QuantizedMaps { sources, sizes: Vec::new(), max: Vec::new(), values: Vec::new() };
        for (size, map) in maps {
            let max = map.iter().copied().filter(|v| v.is_finite()).fold(0.0, f32::max);
            // NaN becomes 0; a map with NaN is not drawn.
            let byte = |v: f32| if max > 0.0 { (v / max * 255.0).round() as u8 } else { 0 };
            quantized.sizes.push(size);
            quantized.max.push(max);
            quantized.values.extend(map.iter().map(|&v| byte(v)));
        }
        quantized
    }

    /// Maximum of each exit's map.
    pub fn max(&self) -> &[f32] {
        &self.max
    }

    /// Bytes of all maps, one after another, in base64.
    pub fn encoded(&self) -> String {
        STANDARD.encode(&self.values)
    }
}

/// Values of the template for one image.
#[derive(Debug, Serialize)]
pub struct TileMarkup {
    name: String,
    label: Option<String>,
    /// Relative URL of the film strip.
    link: Option<String>,
    /// Data URL of the photo.
    photo: Option<String>,
    /// Size of the photo in pixels.
    height: usize,
    width: usize,
    exits: Vec<ExitMarkup>,
}

/// Values of the template for one exit of an image.
#[derive(Debug, Serialize)]
struct ExitMarkup {
    exit: usize,
    label: String,
    probability: String,
    /// `right`, `wrong`, or `open` if the image has no label.
    verdict: &'static str,
}

/// Template values of all images.
pub fn markup(report: &Report) -> Vec<TileMarkup> {
    report.tiles.iter().map(|tile| one(tile, report)).collect()
}

fn one(tile: &Tile, report: &Report) -> TileMarkup {
    let record = tile.record;
    let exits = record.exits.iter().map(|exit| ExitMarkup {
        exit: exit.exit,
        label: name(&exit.class_name),
        probability: percent(exit.probability.unwrap_or(f32::NAN)),
        verdict: match record.label {
            None => "open",
            Some(label) if exit.is_right(label) => "right",
            Some(_) => "wrong",
        },
    });
    let (height, width) = tile.photo.as_ref().map_or((0, 0), |photo| photo.size);
    TileMarkup {
        height,
        width,
        name: name(&record.image),
        label: record.label.and_then(|label| report.classes.get(label)).map(|label| name(label)),
        link: record.files.strip.as_deref().filter(|_| report.linked).map(link),
        photo: tile.photo.as_ref().map(|p| format!("data:{};base64,{}", p.mime, STANDARD.encode(&p.bytes))),
        exits: exits.collect(),
    }
}

/// Relative URL of a path below the page; cannot name another scheme, host or parent.
fn link(path: &str) -> String {
    let letters = percent_encoded(path, |b| b.is_ascii_alphanumeric() || b"-_.~/".contains(&b));
    format!("./{}", letters.trim_start_matches('/'))
}

/// Data of the scripts. Lists of an image have one entry per exit.
#[derive(Debug, Serialize)]
struct GalleryData<'a> {
    #[serde(flatten)]
    set: ImageSet<'a>,
    /// Tables of 256 RGB colors by name, in base64.
    colormaps: serde_json::Map<String, serde_json::Value>,
    initial_colormap: &'a str,
    images: Vec<ImageData>,
}

/// What images have in common, for the scripts.
#[derive(Debug, Serialize)]
pub struct ImageSet<'a> {
    /// Exit numbers.
    pub exits: &'a [usize],
    /// Class names.
    pub classes: Vec<String>,
    /// Width of the photos divided by their height.
    pub aspect: f64,
    /// Height and width of each exit's map.
    pub sizes: &'a [(usize, usize)],
    /// What each exit's map is, such as `map at relu`.
    pub shown: Vec<String>,
}

/// An image and its maps, for the scripts.
#[derive(Debug, Serialize)]
pub struct ImageData {
    /// Its name.
    pub name: String,
    /// Its class, if that is known.
    pub label: Option<usize>,
    /// Predicted classes.
    pub predicted: Vec<usize>,
    /// Probabilities of the predicted classes.
    pub probability: Vec<Option<f32>>,
    /// Classes that the maps explain.
    pub target: Vec<usize>,
    /// Whether the maps carry information.
    pub status: Vec<MapStatus>,
    /// Maxima of the maps.
    pub max: Vec<f32>,
    /// Bytes of all maps, one after another, in base64.
    pub maps: Option<String>,
}

impl<'a> ImageSet<'a> {
    /// Of images of `exits` and `classes`, whose maps are like `maps`.
    pub fn new(exits: &'a [usize], classes: &[String], aspect: f64, maps: Option<&'a QuantizedMaps>) -> Self {
        let shown = |source: &MapSource| match source {
            MapSource::Fused => "fused map".into(),
            MapSource::Own(_) => "map".into(),
            MapSource::Tap(tap) => format!("map at {}", name(tap)),
        };
        ImageSet {
            exits,
            classes: classes.iter().map(|class| name(class)).collect(),
            aspect,
            sizes: maps.map_or(&[][..], |maps| &maps.sizes),
            shown: maps.map_or(Vec::new(), |maps| maps.sources.iter().map(shown).collect()),
        }
    }
}

/// Tables of 256 RGB colors of every colormap by its name, in base64.
pub fn colormap_tables() -> serde_json::Map<String, serde_json::Value> {
    let table = |map: Colormap| (map.name().to_string(), STANDARD.encode(map.table().as_flattened()).into());
    Colormap::ALL.into_iter().map(table).collect()
}

/// Sentence that says which maps the gallery shows; `None` without maps.
pub fn which_maps(report: &Report) -> Option<String> {
    let sources = &report.tiles.iter().find_map(|tile| tile.maps.as_ref())?.sources;
    let method = report.method.unwrap_or("Heatmaps");
    if sources.iter().all(|source| *source == MapSource::Fused) {
        let fusion = report.fusion.as_ref().map_or(String::new(), |fusion| format!(" by {}", name(fusion)));
        return Some(format!("{method}, the maps of several taps fused{fusion}."));
    }
    if sources.iter().all(|source| matches!(source, MapSource::Own(_))) {
        let exit = if sources.len() > 1 { "each exit" } else { "the exit" };
        return Some(format!("{method} at {exit}'s own tap."));
    }
    let mut taps: Vec<String> = sources.iter().filter_map(MapSource::tap).map(name).collect();
    taps.dedup();
    Some(format!("{method} at {}.", taps.join(", ")))
}

/// Data of the scripts as JSON that is safe inside a script element.
pub fn data(report: &Report) -> String {
    let maps = report.tiles.iter().find_map(|tile| tile.maps.as_ref());
    let set = ImageSet::new(report.exits, report.classes, aspect(report), maps);
    let images = report.tiles.iter().map(|tile| image(tile, set.sizes)).collect();
    json::for_script(&GalleryData {
        set,
        colormaps: colormap_tables(),
        initial_colormap: report.colormap.name(),
        images,
    })
}

/// Width of the photos divided by their height, which all of a run share.
pub fn aspect(report: &Report) -> f64 {
    let photo = report.tiles.iter().find_map(|tile| tile.photo.as_ref());
    photo.map_or(1.0, |photo| photo.size.1 as f64 / photo.size.0.max(1) as f64)
}

fn image(tile: &Tile, sizes: &[(usize, usize)]) -> ImageData {
    let exits = &tile.record.exits;
    let maps = tile.maps.as_ref().filter(|maps| maps.sizes == sizes && sizes.len() == exits.len());
    let status = |(i, exit): (usize, &super::ExitResult)| match (
        exit.status_at(maps.and_then(|maps| maps.sources[i].tap())),
        maps,
    ) {
        (Some(status), _) => status,
        (None, Some(maps)) if maps.max[i] > 0.0 => MapStatus::Ok,
        (None, _) => MapStatus::Empty,
    };
    ImageData {
        name: name(&tile.record.image),
        label: tile.record.label,
        predicted: exits.iter().map(|e| e.class).collect(),
        // Four digits are more than are shown.
        probability: exits.iter().map(|e| e.probability.map(|p| (p * 1e4).round() / 1e4)).collect(),
        target: exits.iter().map(|e| e.target.unwrap_or(e.class)).collect(),
        status: exits.iter().enumerate().map(status).collect(),
        max: maps.map_or(vec![0.0; exits.len()], |maps| maps.max().to_vec()),
        maps: maps.map(QuantizedMaps::encoded),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_quantized_relative_to_their_maximum() {
        let (a, b) = ([0.0, 1.0, 4.0], [0.0, 0.0]);
        let maps =
            QuantizedMaps::new(vec![MapSource::Fused; 2], [((1, 3), &a[..]), ((2, 1), &b[..])].into_iter());
        assert_eq!((&maps.values[..], &maps.max[..]), (&[0, 64, 255, 0, 0][..], &[4.0, 0.0][..]));
        assert_eq!(maps.sizes, [(1, 3), (2, 1)]);
        let broken = [f32::NAN, f32::INFINITY, 2.0];
        let broken = QuantizedMaps::new(vec![MapSource::Fused], [((1, 3), &broken[..])].into_iter());
        assert_eq!((broken.values[0], broken.max[0]), (0, 2.0));
    }

    #[test]
    fn a_link_stays_below_the_page() {
        assert_eq!(link("images/0000/a b.png"), "./images/0000/a%20b.png");
        assert_eq!(link("javascript:alert(1)"), "./javascript%3Aalert%281%29");
        assert_eq!(link("//host/x\"><b>"), "./host/x%22%3E%3Cb%3E");
    }
}
