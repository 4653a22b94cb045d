//! The images of the gallery: as markup that can be read without a script, and as data for it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::format::name;
use super::record::Record;
use super::{Report, json};
use crate::imaging::heatmap::MapStatus;
use crate::render::Colormap;
use crate::render::sheet::percent;

/// An image to look at.
#[derive(Debug)]
pub struct Tile<'a> {
    /// What was found.
    pub record: &'a Record,
    /// The part of the photo that the network saw.
    pub photo: Option<Photo>,
    /// Where the exits look.
    pub maps: Option<Maps>,
}

/// A small photo as a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Photo {
    /// Such as `image/png`.
    pub mime: &'static str,
    /// The file.
    pub bytes: Vec<u8>,
}

/// The maps of an image, all exits' in order, as a page stores them: a byte a number.
#[derive(Debug, Clone, PartialEq)]
pub struct Maps {
    height: usize,
    width: usize,
    /// For each exit the largest number of its map.
    max: Vec<f32>,
    /// Of each map: 255 for its largest number, 0 for zero and less.
    values: Vec<u8>,
}

impl Maps {
    /// `cam` of shape (exits, height, width), after its ReLU, or the first of each exit's several,
    /// (exits, ranks, height, width). `None` where the shape is another.
    pub fn new(shape: &[usize], cam: &[f32]) -> Option<Maps> {
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
        // NaN becomes 0; such a map is not drawn.
        let byte = |v: f32, max: f32| if max > 0.0 { (v / max * 255.0).round() as u8 } else { 0 };
        let values = maps().zip(&max).flat_map(|(map, &max)| map.iter().map(move |&v| byte(v, max)));
        Some(Maps { height, width, values: values.collect(), max: max.clone() })
    }

    /// Height and width of a map.
    pub fn size(&self) -> (usize, usize) {
        (self.height, self.width)
    }
}

/// An image as markup.
#[derive(Debug, Serialize)]
pub struct Markup {
    name: String,
    label: Option<String>,
    /// The film strip, below the run.
    link: Option<String>,
    /// A data URL.
    photo: Option<String>,
    exits: Vec<Said>,
}

#[derive(Debug, Serialize)]
struct Said {
    exit: usize,
    label: String,
    sure: String,
    /// `right`, `wrong`, or `open` where the image has no label.
    verdict: &'static str,
}

/// Every image as markup.
pub fn markup(report: &Report) -> Vec<Markup> {
    report.tiles.iter().map(|tile| one(tile, report)).collect()
}

fn one(tile: &Tile, report: &Report) -> Markup {
    let record = tile.record;
    let said = record.exits.iter().map(|exit| Said {
        exit: exit.exit,
        label: name(&exit.label),
        sure: percent(exit.probability.unwrap_or(f32::NAN)),
        verdict: match record.label {
            None => "open",
            Some(label) if label == exit.class => "right",
            Some(_) => "wrong",
        },
    });
    Markup {
        name: name(&record.image),
        label: record.label.and_then(|label| report.classes.get(label)).map(|label| name(label)),
        link: record.files.strip.as_deref().filter(|_| report.linked).map(link),
        photo: tile.photo.as_ref().map(|p| format!("data:{};base64,{}", p.mime, STANDARD.encode(&p.bytes))),
        exits: said.collect(),
    }
}

/// A path below the page as the text of a link, which cannot name another scheme or place.
fn link(path: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~/".contains(&b);
    let letters =
        path.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") });
    format!("./{}", letters.collect::<String>().trim_start_matches('/'))
}

/// What the script knows. Lists of an image have one entry an exit.
#[derive(Debug, Serialize)]
struct Data<'a> {
    /// Exit numbers.
    exits: &'a [usize],
    classes: Vec<String>,
    /// Size of a map.
    height: usize,
    width: usize,
    /// Tables of 256 colours, in base64.
    colours: serde_json::Map<String, serde_json::Value>,
    first_colours: &'a str,
    images: Vec<Image>,
}

#[derive(Debug, Serialize)]
struct Image {
    name: String,
    label: Option<usize>,
    said: Vec<usize>,
    sure: Vec<Option<f32>>,
    /// The class that the map is about.
    about: Vec<usize>,
    status: Vec<MapStatus>,
    max: Vec<f32>,
    /// Exits x height x width bytes, in base64.
    maps: Option<String>,
}

/// The script's data, safe inside a script element.
pub fn data(report: &Report) -> String {
    let sizes = report.tiles.iter().filter_map(|tile| tile.maps.as_ref().map(Maps::size));
    let (height, width) = sizes.clone().next().unwrap_or((1, 1));
    let colours =
        Colormap::ALL.map(|map| (map.name().to_string(), STANDARD.encode(map.table().as_flattened()).into()));
    json::for_script(&Data {
        exits: report.exits,
        classes: report.classes.iter().map(|class| name(class)).collect(),
        height,
        width,
        colours: colours.into_iter().collect(),
        first_colours: report.colormap.name(),
        images: report.tiles.iter().map(|tile| image(tile, (height, width))).collect(),
    })
}

fn image(tile: &Tile, size: (usize, usize)) -> Image {
    let exits = &tile.record.exits;
    let maps = tile.maps.as_ref().filter(|maps| maps.size() == size && maps.max.len() == exits.len());
    let status = |(i, exit): (usize, &super::ExitRecord)| match (exit.status, maps) {
        (Some(status), _) => status,
        (None, Some(maps)) if maps.max[i] > 0.0 => MapStatus::Ok,
        (None, _) => MapStatus::Empty,
    };
    Image {
        name: name(&tile.record.image),
        label: tile.record.label,
        said: exits.iter().map(|e| e.class).collect(),
        // Four digits are more than is shown.
        sure: exits.iter().map(|e| e.probability.map(|p| (p * 1e4).round() / 1e4)).collect(),
        about: exits.iter().map(|e| e.target.unwrap_or(e.class)).collect(),
        status: exits.iter().enumerate().map(status).collect(),
        max: maps.map_or(vec![0.0; exits.len()], |maps| maps.max.clone()),
        maps: maps.map(|maps| STANDARD.encode(&maps.values)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_keeps_its_shape_in_bytes_and_its_size_beside() {
        let maps = Maps::new(&[2, 1, 3], &[0.0, 1.0, 4.0, 0.0, 0.0, 0.0]).unwrap();
        assert_eq!((&maps.values[..], &maps.max[..]), (&[0, 64, 255, 0, 0, 0][..], &[4.0, 0.0][..]));
        let first = Maps::new(&[1, 2, 1, 2], &[1.0, 2.0, 3.0, 4.0]).unwrap();
        assert_eq!((&first.values[..], &first.max[..]), (&[128, 255][..], &[2.0][..]));
        assert_eq!(Maps::new(&[2, 3], &[0.0; 6]), None);
        let broken = Maps::new(&[1, 1, 3], &[f32::NAN, f32::INFINITY, 2.0]).unwrap();
        assert_eq!((broken.values[0], broken.max[0]), (0, 2.0));
    }

    #[test]
    fn a_link_stays_below_the_page_whatever_the_file_is_called() {
        assert_eq!(link("images/0000/a b.png"), "./images/0000/a%20b.png");
        assert_eq!(link("javascript:alert(1)"), "./javascript%3Aalert%281%29");
        assert_eq!(link("//host/x\"><b>"), "./host/x%22%3E%3Cb%3E");
    }
}
