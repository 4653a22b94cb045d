//! The files of one image: overlays, film strip, arrays.

use std::path::Path;

use msdcam::Result;
use msdcam::cam::{ExitAnswer, MapAnswer};
use msdcam::files::write_atomically;
use msdcam::heat::{HeatMap, Status};
use msdcam::image::encode_png;
use msdcam::npz::{self, Array, Values};
use msdcam::picture::Picture;
use msdcam::render::Colormap;
use msdcam::render::overlay::{HEAT_ALPHA, overlay};
use msdcam::render::strip::{self, Cell, strip};

use crate::cli::images::Photo;
use crate::cli::timings::{Stage, Timings};

/// What the pictures of a run have in common.
#[derive(Debug)]
pub struct Style {
    /// Class names.
    pub labels: Vec<String>,
    /// The class that all maps are about, unless it is each exit's own.
    pub target: Option<usize>,
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
    /// The class that the photo shows, where the data set says.
    pub label: Option<usize>,
    pub photo: &'a Photo,
    pub answers: &'a [ExitAnswer],
}

/// One file of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum File {
    /// The overlay of the exit at this position.
    Overlay(usize),
    Strip,
    Arrays,
}

impl Style {
    /// The strip's second line.
    fn subtitle(&self) -> String {
        let class = match self.target {
            None => "the class that each exit predicts",
            Some(class) => &format!("the class {}", self.labels[class]),
        };
        format!("Grad-CAM of {class}; the network sees {0} x {0} pixels", self.input)
    }
}

impl Drawing<'_> {
    /// Every file, the slowest first.
    pub fn files(&self) -> impl Iterator<Item = File> + use<> {
        [File::Strip, File::Arrays].into_iter().chain((0..self.answers.len()).map(File::Overlay))
    }

    /// The file's name.
    pub fn name(&self, file: File) -> String {
        let stem = &self.stem;
        match file {
            File::Overlay(i) => format!("{stem}_exit{:02}_cam.png", self.answers[i].exit),
            File::Strip => format!("{stem}_strip.png"),
            File::Arrays => format!("{stem}.npz"),
        }
    }

    /// Writes one file into `folder`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, file: File, folder: &Path, timings: &Timings) -> Result<()> {
        let picture = timings.time(Stage::Draw, || match file {
            File::Overlay(i) => Some(self.overlay(i)),
            File::Strip => Some(self.strip()),
            File::Arrays => None,
        });
        let bytes = timings.time(Stage::Encode, || picture.map_or_else(|| self.arrays(), |p| encode_png(&p)));
        timings.time(Stage::Write, || write_atomically(&folder.join(self.name(file)), &bytes))
    }

    /// The heat map of the exit at position `i` over the photo.
    fn overlay(&self, i: usize) -> Picture {
        let view = self.view();
        let heat = self.heat(i, view.width);
        match heat.status {
            Status::Ok => overlay(view, &heat, self.style.colormap, HEAT_ALPHA),
            // One even colour would look like an answer; this picture says why there is none.
            _ => strip::cell_picture(view, &heat, &strip::Options::default()),
        }
    }

    /// The heat map of the exit at position `i`, `side` x `side`.
    pub fn heat(&self, i: usize, side: usize) -> HeatMap {
        let map = self.map(i);
        HeatMap::new(&map.map, (map.shape.h, map.shape.w), (side, side))
    }

    /// The part of the photo that the network saw.
    fn view(&self) -> &Picture {
        self.photo.view.as_ref().expect("explain asks for a view")
    }

    fn map(&self, i: usize) -> &MapAnswer {
        self.answers[i].map.as_ref().expect("explain asks for maps")
    }

    fn strip(&self) -> Picture {
        let options = strip::Options {
            title: self.title.clone(),
            subtitle: self.style.subtitle(),
            colormap: self.style.colormap,
            ..strip::Options::default()
        };
        let heats: Vec<HeatMap> = (0..self.answers.len()).map(|i| self.heat(i, options.cell)).collect();
        let cells = self.answers.iter().zip(&heats).map(|(answer, heat)| Cell {
            exit: answer.exit,
            label: &self.style.labels[answer.class],
            probability: answer.probabilities[answer.class],
            heat,
        });
        let cells: Vec<Cell> = cells.collect();
        strip(self.view(), &cells, &options)
    }

    /// `logits (E, classes)`, `class (E)`, `cam (E, h, w)` and `heatmap (E, H, W)`, and for which
    /// exits and about which classes: `exit (E)`, `target (E)`.
    fn arrays(&self) -> Vec<u8> {
        let exits = self.answers.len();
        let answers = || self.answers.iter();
        let maps = || (0..exits).map(|i| self.map(i));
        let integers =
            |values: &mut dyn Iterator<Item = usize>| values.map(|v| v as i64).collect::<Vec<i64>>();
        let logits: Vec<f32> = answers().flat_map(|a| &a.logits).copied().collect();
        let cam: Vec<f32> = maps().flat_map(|m| &m.map).copied().collect();
        let side = self.style.input;
        let heat: Vec<f32> = (0..exits).flat_map(|i| self.heat(i, side).values).collect();
        let (h, w) = (self.map(0).shape.h, self.map(0).shape.w);
        npz::encode(&[
            Array { name: "logits", shape: &[exits, logits.len() / exits], values: Values::F32(&logits) },
            Array {
                name: "class",
                shape: &[exits],
                values: Values::I64(&integers(&mut answers().map(|a| a.class))),
            },
            Array { name: "cam", shape: &[exits, h, w], values: Values::F32(&cam) },
            Array { name: "heatmap", shape: &[exits, side, side], values: Values::F32(&heat) },
            Array {
                name: "exit",
                shape: &[exits],
                values: Values::I64(&integers(&mut answers().map(|a| a.exit))),
            },
            Array {
                name: "target",
                shape: &[exits],
                values: Values::I64(&integers(&mut maps().map(|m| m.target))),
            },
        ])
    }
}
