//! The files of one image: pictures of every layer, film strips, arrays.

use msdcam::cam::PixelMethod;
use msdcam::heat::{HeatMap, Status};
use msdcam::image::encode_png;
use msdcam::picture::Picture;
use msdcam::render::grid::Row;
use msdcam::render::overlay::{HEAT_ALPHA, overlay};
use msdcam::render::pixels::{PixelView, enlarged, pixel_picture};
use msdcam::render::strip::{self, Cell, Legend, Shown, strip};
use msdcam::render::{self, Colormap};

use super::arrays;
use super::layers::{Grid, Kind, Layer, Layers};
use super::minus::Minus;
use super::view::{Findings, View};
use crate::cli::images::Photo;
use crate::cli::timings::{Stage, Timings};

/// What the pictures of a run have in common.
#[derive(Debug)]
pub struct Style {
    /// Class names.
    pub labels: Vec<String>,
    pub layers: Layers,
    /// The pixel methods, which layers count.
    pub pixels: Vec<PixelMethod>,
    pub colormap: Colormap,
    /// Side of the network's input, to which the arrays' heat maps belong.
    pub input: usize,
}

/// An image whose files are to be written.
#[derive(Debug)]
pub struct Drawing<'a> {
    pub style: &'a Style,
    /// How the file names begin.
    pub stem: String,
    /// The strip's headline.
    pub title: String,
    /// The photo, with the class that it shows where the data set says.
    pub photo: &'a Photo,
    pub findings: Findings<'a>,
}

/// One file of an image; layers and exits by their position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum File {
    /// What a layer shows of an exit.
    Picture {
        layer: usize,
        exit: usize,
    },
    /// What a layer shows of all exits.
    Strip {
        layer: usize,
    },
    /// Several layers of a method.
    Grid {
        grid: usize,
    },
    Arrays,
}

impl Drawing<'_> {
    /// Every file, the slowest first.
    pub fn files(&self) -> impl Iterator<Item = File> + use<> {
        let layers = &self.style.layers.all;
        let exits = self.findings.exits();
        let strips = (0..layers.len()).map(|layer| File::Strip { layer });
        let pictures = (0..layers.len())
            .flat_map(move |layer| (0..exits).map(move |exit| File::Picture { layer, exit }));
        let grids = (0..self.style.layers.grids.len()).map(|grid| File::Grid { grid });
        grids.chain(strips).chain([File::Arrays]).chain(pictures)
    }

    /// The file's name.
    pub fn name(&self, file: File) -> String {
        let stem = &self.stem;
        let layers = &self.style.layers.all;
        match file {
            File::Picture { layer, exit } => {
                format!("{stem}_exit{:02}_{}", self.findings.at(exit, 0).exit, layers[layer].picture)
            }
            File::Strip { layer } => format!("{stem}_{}", layers[layer].strip),
            File::Grid { grid } => format!("{stem}_{}", self.style.layers.grids[grid].name),
            File::Arrays => format!("{stem}.npz"),
        }
    }

    /// The bytes of one file.
    pub fn bytes(&self, file: File, timings: &Timings) -> Vec<u8> {
        let layers = &self.style.layers.all;
        let picture = timings.time(Stage::Draw, || match file {
            File::Picture { layer, exit } => Some(self.picture(&layers[layer], exit)),
            File::Strip { layer } => Some(self.strip(&layers[layer])),
            File::Grid { grid } => Some(self.grid(&self.style.layers.grids[grid])),
            File::Arrays => None,
        });
        timings.time(Stage::Encode, || match picture {
            Some(picture) => encode_png(&picture),
            None => arrays::encode(self.findings, self.style.input),
        })
    }

    /// What `layer` shows of the exit at position `i`.
    fn picture(&self, layer: &Layer, i: usize) -> Picture {
        let photo = self.photo();
        match self.shown(layer, i, photo.width) {
            Drawn::Picture(picture) => picture,
            Drawn::Heat(heat) => overlay(photo, &heat, self.colormap(layer), HEAT_ALPHA),
            Drawn::Nothing(why) => strip::reason_picture(photo, why),
        }
    }

    /// The same, `side` x `side`, before it is laid over the photo.
    fn shown(&self, layer: &Layer, i: usize, side: usize) -> Drawn {
        // One even colour would look like an answer; words say why there is none.
        let why = match (self.findings.status(layer, i), layer) {
            (Status::Ok, _) => None,
            (Status::Empty, Layer { minus: Some(_), .. }) => Some(["no", "difference"]),
            (Status::Empty, Layer { kind: Kind::Pixels { .. }, .. }) => Some(["zero", "everywhere"]),
            (status, _) => Some(strip::reason(status)),
        };
        if let Some(why) = why {
            return Drawn::Nothing(why);
        }
        match self.findings.view(layer, i, side) {
            View::Heat(heat) => Drawn::Heat(heat),
            View::Signed(mut heat) => {
                heat.values.iter_mut().for_each(|v| *v = 0.5 + 0.5 * *v);
                Drawn::Heat(heat)
            }
            View::Pixels(pixels) => {
                let size = (pixels.shape.h, pixels.shape.w);
                let picture = pixel_picture(&pixels.values, size, pixel_view(pixels.method));
                Drawn::Picture(enlarged(&picture, side))
            }
        }
    }

    /// The part of the photo that the network saw.
    fn photo(&self) -> &Picture {
        self.photo.view.as_ref().expect("explain asks for a view")
    }

    fn colormap(&self, layer: &Layer) -> Colormap {
        match (layer.kind, layer.minus) {
            (_, Some(_)) => Colormap::RdBuR,
            (Kind::Pixels { method }, _) => match pixel_view(self.style.pixels[method]) {
                PixelView::Signed => Colormap::RdBuR,
                PixelView::Colour | PixelView::Magnitude => Colormap::Grey,
            },
            _ => self.style.colormap,
        }
    }

    fn strip(&self, layer: &Layer) -> Picture {
        let options = self.page(layer, &layer.subtitle);
        let drawn = self.all_exits(layer, options.cell);
        strip(self.photo(), &self.cells(layer, &drawn), &options)
    }

    fn grid(&self, grid: &Grid) -> Picture {
        let layers: Vec<&Layer> = grid.layers.iter().map(|&layer| &self.style.layers.all[layer]).collect();
        let mut options = self.page(layers[0], &grid.subtitle);
        options.legend.note = options.legend.note.replace("each exit", "each map");
        let drawn: Vec<Vec<Drawn>> = layers.iter().map(|layer| self.all_exits(layer, options.cell)).collect();
        let rows = layers
            .iter()
            .zip(&drawn)
            .map(|(layer, drawn)| Row { title: layer.row.clone(), cells: self.cells(layer, drawn) });
        render::grid::grid(self.photo(), &rows.collect::<Vec<_>>(), &options)
    }

    fn page(&self, layer: &Layer, subtitle: &str) -> strip::Options {
        let input = self.style.input;
        strip::Options {
            title: self.title.clone(),
            subtitle: format!("{subtitle}; the network sees {input} x {input} pixels"),
            colormap: self.colormap(layer),
            legend: self.legend(layer),
            ..strip::Options::default()
        }
    }

    fn all_exits(&self, layer: &Layer, side: usize) -> Vec<Drawn> {
        (0..self.findings.exits()).map(|i| self.shown(layer, i, side)).collect()
    }

    /// A cell for each exit, which says what the exit predicts; where it explains several classes,
    /// which one it is and how likely.
    fn cells<'a>(&'a self, layer: &Layer, drawn: &'a [Drawn]) -> Vec<Cell<'a>> {
        let cell = |(i, drawn): (usize, &'a Drawn)| {
            let finding = self.findings.at(i, layer.rank);
            let class = if self.style.layers.ranks > 1 { finding.target } else { finding.class };
            Cell {
                exit: finding.exit,
                label: &self.style.labels[class],
                probability: finding.probabilities[class],
                shown: match drawn {
                    Drawn::Heat(heat) => Shown::Heat(heat),
                    Drawn::Picture(picture) => Shown::Picture(picture),
                    Drawn::Nothing(why) => Shown::Nothing(*why),
                },
            }
        };
        drawn.iter().enumerate().map(cell).collect()
    }

    fn legend(&self, layer: &Layer) -> Legend {
        let signed = |low: &str, high: &str| Some([low.to_string(), high.to_string()]);
        let own = "each exit on its own scale";
        match (layer.kind, layer.minus) {
            (_, Some(Minus::Exit(exit))) => Legend {
                ends: signed(&format!("exit {exit}"), "this exit"),
                note: "each map on its own scale before".into(),
            },
            (_, Some(Minus::RunnerUp)) => {
                Legend { ends: signed("next class", "this class"), note: own.into() }
            }
            (Kind::Pixels { method }, _) => match pixel_view(self.style.pixels[method]) {
                PixelView::Signed => Legend { ends: signed("against", "for"), note: own.into() },
                PixelView::Magnitude => Legend::default(),
                PixelView::Colour => Legend { ends: None, note: format!("grey: nothing; {own}") },
            },
            _ => Legend::default(),
        }
    }
}

/// What is drawn of an exit.
enum Drawn {
    Heat(HeatMap),
    Picture(Picture),
    Nothing([&'static str; 2]),
}

/// How a method's array is drawn: guided backpropagation in colours, as its paper has it; what is
/// a share of the score by its sign; gradients, whose sign depends on what the network takes for
/// dark, by their magnitude.
fn pixel_view(method: PixelMethod) -> PixelView {
    match method {
        PixelMethod::GuidedBackprop | PixelMethod::GuidedGradCam => PixelView::Colour,
        PixelMethod::GradientTimesInput | PixelMethod::IntegratedGradients => PixelView::Signed,
        PixelMethod::InputGradient | PixelMethod::SmoothGrad => PixelView::Magnitude,
    }
}
