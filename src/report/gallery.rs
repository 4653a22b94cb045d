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
}

/// Activation maps of an image, (exits, height, width), quantized to one byte per element.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantizedMaps {
    height: usize,
    width: usize,
    /// Maximum of each exit's map.
    max: Vec<f32>,
    /// Elements of all maps: 255 is the maximum of a map, 0 is zero or less.
    values: Vec<u8>,
}

impl QuantizedMaps {
    /// Quantizes `cam`, after its ReLU, of shape (exits, height, width) or (exits, ranks, height, width), of
    /// which the first rank is taken. `None` for any other shape.
    pub fn new(shape: &[usize], cam: &[f32]) -> Option<QuantizedMaps> {
        let (exits, ranks, height, width) = match *shape {
            [exits, height, width] => (exits, 1, height, width),
            [exits, ranks, height, width] => (exits, ranks, height, width),
            _ => return None,
        };
        if cam.is_empty() || cam.len() != exits * ranks * height * width {
            return None;
        }
        let maps = || cam.chunks_exact(height * width).step_by(ranks);
        let largest = |map: &[f32]| map.iter().copied().filter(|v| v.is_finite()).fold(0.0, f32::max);
        let max: Vec<f32> = maps().map(largest).collect();
        // NaN becomes 0; a map with NaN is not drawn.
        let byte = |v: f32, max: f32| if max > 0.0 { (v / max * 255.0).round() as u8 } else { 0 };
        let values = maps().zip(&max).flat_map(|(map, &max)| map.iter().map(move |&v| byte(v, max)));
        Some(QuantizedMaps { height, width, values: values.collect(), max: max.clone() })
    }

    /// Height and width of each map.
    pub fn size(&self) -> (usize, usize) {
        (self.height, self.width)
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
            Some(label) if label == exit.class => "right",
            Some(_) => "wrong",
        },
    });
    TileMarkup {
        name: name(&record.image),
        label: record.label.and_then(|label| report.classes.get(label)).map(|label| name(label)),
        link: record.files.strip.as_deref().filter(|_| report.linked).map(link),
        photo: tile.photo.as_ref().map(|p| format!("data:{};base64,{}", p.mime, STANDARD.encode(&p.bytes))),
        exits: exits.collect(),
    }
}

/// Relative URL of a path below the page; cannot name another scheme, host or parent.
fn link(path: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~/".contains(&b);
    let letters =
        path.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") });
    format!("./{}", letters.collect::<String>().trim_start_matches('/'))
}

/// Data of the scripts. Lists of an image have one entry per exit.
#[derive(Debug, Serialize)]
struct GalleryData<'a> {
    /// Exit numbers.
    exits: &'a [usize],
    classes: Vec<String>,
    /// Size of each map.
    height: usize,
    width: usize,
    /// Tables of 256 RGB colors by name, in base64.
    colormaps: serde_json::Map<String, serde_json::Value>,
    initial_colormap: &'a str,
    images: Vec<ImageData>,
}

#[derive(Debug, Serialize)]
struct ImageData {
    name: String,
    label: Option<usize>,
    /// Predicted classes.
    predicted: Vec<usize>,
    /// Probabilities of the predicted classes.
    probability: Vec<Option<f32>>,
    /// Classes that the maps explain.
    target: Vec<usize>,
    status: Vec<MapStatus>,
    max: Vec<f32>,
    /// (exits, height, width) bytes, in base64.
    maps: Option<String>,
}

/// Data of the scripts as JSON that is safe inside a script element.
pub fn data(report: &Report) -> String {
    let sizes = report.tiles.iter().filter_map(|tile| tile.maps.as_ref().map(QuantizedMaps::size));
    let (height, width) = sizes.clone().next().unwrap_or((1, 1));
    let colormaps =
        Colormap::ALL.map(|map| (map.name().to_string(), STANDARD.encode(map.table().as_flattened()).into()));
    json::for_script(&GalleryData {
        exits: report.exits,
        classes: report.classes.iter().map(|class| name(class)).collect(),
        height,
        width,
        colormaps: colormaps.into_iter().collect(),
        initial_colormap: report.colormap.name(),
        images: report.tiles.iter().map(|tile| image(tile, (height, width))).collect(),
    })
}

fn image(tile: &Tile, size: (usize, usize)) -> ImageData {
    let exits = &tile.record.exits;
    let maps = tile.maps.as_ref().filter(|maps| maps.size() == size && maps.max.len() == exits.len());
    let status = |(i, exit): (usize, &super::ExitResult)| match (exit.status, maps) {
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
        max: maps.map_or(vec![0.0; exits.len()], |maps| maps.max.clone()),
        maps: maps.map(|maps| STANDARD.encode(&maps.values)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_quantized_relative_to_their_maximum() {
        let maps = QuantizedMaps::new(&[2, 1, 3], &[0.0, 1.0, 4.0, 0.0, 0.0, 0.0]).unwrap();
        assert_eq!((&maps.values[..], &maps.max[..]), (&[0, 64, 255, 0, 0, 0][..], &[4.0, 0.0][..]));
        let first = QuantizedMaps::new(&[1, 2, 1, 2], &[1.0, 2.0, 3.0, 4.0]).unwrap();
        assert_eq!((&first.values[..], &first.max[..]), (&[128, 255][..], &[2.0][..]));
        assert_eq!(QuantizedMaps::new(&[2, 3], &[0.0; 6]), None);
        let broken = QuantizedMaps::new(&[1, 1, 3], &[f32::NAN, f32::INFINITY, 2.0]).unwrap();
        assert_eq!((broken.values[0], broken.max[0]), (0, 2.0));
    }

    #[test]
    fn a_link_stays_below_the_page() {
        assert_eq!(link("images/0000/a b.png"), "./images/0000/a%20b.png");
        assert_eq!(link("javascript:alert(1)"), "./javascript%3Aalert%281%29");
        assert_eq!(link("//host/x\"><b>"), "./host/x%22%3E%3Cb%3E");
    }
}
