//! What the page is told of an explained photo.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::error::printable;
use crate::explain::ExitPrediction;
use crate::report::{ImageData, ImageSet, QuantizedMaps};

use super::computing::Computed;
use super::photos::PreparedPhoto;
use crate::cli::explain::one_photo::{ExplainedPhoto, PhotoFile};

/// Classes of an exit that are listed.
const LISTED: usize = 5;

/// A photo's explanations. Lists have one element for each exit.
#[derive(Debug, Serialize)]
pub struct View<'a> {
    set: ImageSet<'a>,
    image: ImageData,
    /// What the model sees, as a data URL.
    photo: &'a str,
    /// The likeliest classes and their probabilities.
    top: Vec<Vec<(usize, f32)>>,
    /// The pictures of a pixel method, as data URLs; `None` for maps.
    pictures: Option<Vec<String>>,
    /// Time of the computation.
    milliseconds: f64,
}

/// What is drawn over the maps, in pixels of a grid; and the command.
#[derive(Debug, Serialize)]
pub struct Drawing {
    /// Width and height of the grid.
    size: [usize; 2],
    /// Contour lines of each exit, as an SVG path.
    contours: Vec<String>,
    /// Box of each exit: x, y, width, height.
    boxes: Vec<Option<[f64; 4]>>,
    command: String,
}

impl<'a> View<'a> {
    /// Of an explained photo, whose maps are `maps`; they are `None` for a pixel method.
    pub fn new(
        explained: ExplainedPhoto<'a>,
        labels: &[String],
        (prepared, maps): (&'a PreparedPhoto, Option<&'a QuantizedMaps>),
        computed: &Computed,
    ) -> Self {
        let explanations = explained.explanations;
        let exits = 0..explanations.len();
        let predictions = || explanations.iter().map(|explanation| &explanation.prediction);
        let picture = |exit: usize| {
            let (_, bytes) = explained.file(PhotoFile::Picture(exit));
            format!("data:image/png;base64,{}", STANDARD.encode(bytes))
        };
        View {
            set: ImageSet::new(&explained.job.request.exits, labels, explained.aspect(), maps),
            image: ImageData {
                name: printable(explained.name),
                label: None,
                predicted: predictions().map(|prediction| prediction.class).collect(),
                probability: predictions().map(|prediction| Some(prediction.confidence())).collect(),
                target: explanations.iter().map(|explanation| explanation.target).collect(),
                status: exits.clone().map(|exit| explained.status(exit)).collect(),
                max: maps.map_or(vec![0.0; explanations.len()], |maps| maps.max().to_vec()),
                maps: maps.map(QuantizedMaps::encoded),
            },
            photo: prepared.shown(),
            top: predictions().map(likeliest).collect(),
            pictures: maps.is_none().then(|| exits.map(picture).collect()),
            milliseconds: computed.time.as_secs_f64() * 1e3,
        }
    }
}

/// The likeliest classes of an exit, and their probabilities.
fn likeliest(prediction: &ExitPrediction) -> Vec<(usize, f32)> {
    let mut classes: Vec<(usize, f32)> = prediction.probabilities.iter().copied().enumerate().collect();
    // Equal ones in the order of the classes.
    classes.sort_by(|a, b| b.1.total_cmp(&a.1));
    classes.truncate(LISTED);
    classes
}

impl Drawing {
    /// Of an explained photo, which `command` explains too.
    pub fn new(explained: ExplainedPhoto, command: String) -> Drawing {
        let exits = 0..explained.explanations.len();
        let (height, width) = explained.grid();
        let path = |exit: usize| {
            let mut path = String::new();
            for [from, to] in explained.contours(exit) {
                // The center of the grid's first pixel is at (0.5, 0.5) of the picture.
                let [from, to] = [from, to].map(|(x, y)| format!("{:.2} {:.2}", x + 0.5, y + 0.5));
                path += &format!("M{from}L{to}");
            }
            path
        };
        Drawing {
            size: [width, height],
            contours: exits.clone().map(path).collect(),
            boxes: exits.map(|exit| explained.bounding_box(exit)).collect(),
            command,
        }
    }
}
