//! The files of one image: their names, and what is written into each.

use crate::explain::PixelMethod;
use crate::imaging::{encode_jpeg, encode_png};
use crate::render::styles::ToolStyle as Tool;

use super::layer_view::Explanations;
use super::layers::{Kind, Layers};
use super::style_args::PictureOptions;
use super::{arrays, article};
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
    pub looks: PictureOptions,
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
    pub findings: Explanations<'a>,
}

/// One file of an image; layers and exits by their position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum File {
    /// What a layer shows of an exit.
    RgbImage {
        layer: usize,
        exit: usize,
    },
    /// What a layer shows of all exits.
    Strip {
        layer: usize,
    },
    /// In the article's style: the gradient weighed by the first heat map.
    CamGb {
        exit: usize,
        rank: usize,
    },
    /// In the article's style: the network's input, in the name of the class explained there.
    Input {
        exit: usize,
        rank: usize,
    },
    /// Several layers of a method.
    Grid {
        grid: usize,
    },
    Arrays,
}

impl Drawing<'_> {
    /// Every file, the slowest first.
    pub fn files(&self) -> Vec<File> {
        let (layers, exits) = (self.style.layers.all.len(), self.findings.exits());
        let strips = (0..layers).map(|layer| File::Strip { layer });
        let pictures =
            (0..layers).flat_map(|layer| (0..exits).map(move |exit| File::RgbImage { layer, exit }));
        let grids = (0..self.style.layers.grids.len()).map(|grid| File::Grid { grid });
        let mut files: Vec<File> = grids.chain(strips).chain([File::Arrays]).chain(pictures).collect();
        if self.is_articles() {
            let each =
                || (0..exits).flat_map(|exit| (0..self.style.layers.ranks).map(move |rank| (exit, rank)));
            if self.has_cam_gb() {
                files.extend(each().map(|(exit, rank)| File::CamGb { exit, rank }));
            }
            let mut named = Vec::new();
            for (exit, rank) in each() {
                let target = self.findings.at(exit, rank).target;
                if !named.contains(&target) {
                    named.push(target);
                    files.push(File::Input { exit, rank });
                }
            }
        }
        files
    }

    /// Whether pictures and names are the article's.
    pub fn is_articles(&self) -> bool {
        self.style.looks.look.style == Some(Tool::Article)
    }

    /// Whether there is a heat map by which the gradient can be weighed.
    pub fn has_cam_gb(&self) -> bool {
        let is = |kind: Kind| matches!(kind, Kind::Map { .. } | Kind::Fused { .. });
        self.is_articles() && is(self.style.layers.all[0].kind)
    }

    /// The file's name.
    pub fn name(&self, file: File) -> String {
        let stem = &self.stem;
        let layers = &self.style.layers.all;
        match file {
            File::RgbImage { layer, exit } if self.is_articles() => {
                let layer = &layers[layer];
                let what = layer.picture.trim_end_matches(".png").replace("input-gradient", "gb");
                self.articles_name(
                    exit,
                    layer.rank,
                    &format!("_{}_{what}", self.findings.at(exit, 0).prediction.exit),
                )
            }
            File::RgbImage { layer, exit } => {
                format!(
                    "{stem}_exit{:02}_{}",
                    self.findings.at(exit, 0).prediction.exit,
                    layers[layer].picture
                )
            }
            File::Strip { layer } => format!("{stem}_{}", layers[layer].strip),
            File::Grid { grid } => format!("{stem}_{}", self.style.layers.grids[grid].name),
            File::CamGb { exit, rank } => {
                let top =
                    if self.style.layers.ranks > 1 { format!("_top{}", rank + 1) } else { String::new() };
                let number = self.findings.at(exit, 0).prediction.exit;
                self.articles_name(exit, rank, &format!("_{number}_cam_gb{top}"))
            }
            File::Input { exit, rank } => self.articles_name(exit, rank, "_input"),
            File::Arrays => format!("{stem}.npz"),
        }
    }

    /// The article's name for a picture about the class that the exit's finding explains.
    fn articles_name(&self, exit: usize, rank: usize, what: &str) -> String {
        let target = self.findings.at(exit, rank).target;
        article::name(&self.style.labels[target], &self.stem, what)
    }

    /// The bytes of one file.
    pub fn bytes(&self, file: File, timings: &Timings) -> Vec<u8> {
        let layers = &self.style.layers.all;
        let picture = timings.time(Stage::Draw, || match file {
            File::RgbImage { layer, exit } => Some(self.picture(&layers[layer], exit, self.view())),
            File::Strip { layer } => Some(self.strip(&layers[layer])),
            File::Grid { grid } => Some(self.grid(&self.style.layers.grids[grid])),
            File::CamGb { exit, rank } => Some(self.cam_gb(exit, rank)),
            File::Input { .. } => Some(self.input()),
            File::Arrays => None,
        });
        timings.time(Stage::Encode, || match (picture, file) {
            (None, _) => arrays::encode(self.findings, self.style.input),
            (Some(picture), File::Strip { .. } | File::Grid { .. }) => encode_png(&picture),
            (Some(picture), _) if self.is_articles() => encode_jpeg(&picture, 95),
            (Some(picture), _) => encode_png(&picture),
        })
    }
}
