//! The files of one image: their names and their bytes.

use crate::explain::PixelMethod;
use crate::imaging::encode_jpeg;
use crate::render::sheet::SheetOptions;

use super::layer_view::Explanations;
use super::layers::{HeatmapSource, Layers};
use super::picture_set::{PictureFormat, PictureSet};
use super::style_args::PictureOptions;
use super::{arrays, article};
use crate::cli::images::{Photo, ViewSides};
use crate::cli::timings::{Stage, Timings};

/// What the files of all images of a job have in common.
#[derive(Debug)]
pub struct ArtifactSpec {
    /// Class names.
    pub labels: Vec<String>,
    /// The same as pictures show them.
    pub drawn_labels: Vec<String>,
    pub layers: Layers,
    /// The request's pixel methods.
    pub pixels: Vec<PixelMethod>,
    pub pictures: PictureOptions,
    /// Whether each image has an archive of its arrays.
    pub archive: bool,
    /// Which pictures are written.
    pub set: PictureSet,
    pub format: PictureFormat,
    /// The additional pictures of the article's style.
    pub article: Option<ArticlePictures>,
    /// (H, W) of the network's input, which is the size of the arrays' heatmaps.
    pub input: (usize, usize),
}

/// Pictures that only the article's style has.
#[derive(Debug, Clone, Copy)]
pub struct ArticlePictures {
    /// The heatmap and the position of the pixel method of `_cam_gb`, the gradient weighted by the
    /// heatmap; `None` without a heatmap.
    pub cam_gb: Option<(HeatmapSource, usize)>,
}

/// An image whose files are to be written.
#[derive(Debug)]
pub struct ImageArtifacts<'a> {
    pub spec: &'a ArtifactSpec,
    /// Prefix of the file names.
    pub stem: String,
    /// Headline of the film strips.
    pub title: String,
    pub photo: &'a Photo,
    pub explanations: Explanations<'a>,
}

/// One file of an image; layers, exits and ranks by their position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Artifact {
    /// A layer at one exit.
    Picture { layer: usize, exit: usize },
    /// A layer at all exits.
    Strip { layer: usize },
    /// Several layers of a method.
    Grid { grid: usize },
    /// In the article's style: the gradient of pixel method `gradient` weighted by a heatmap.
    CamGb { exit: usize, rank: usize, heatmap: HeatmapSource, gradient: usize },
    /// In the article's style: the network's input, named after the target.
    Input { exit: usize, rank: usize },
    /// The NumPy archive.
    Arrays,
}

impl ArtifactSpec {
    /// The views of a photo that its pictures need.
    pub fn views(&self) -> ViewSides {
        let (height, width) = SheetOptions::default().picture(self.input);
        ViewSides {
            picture: (self.set == PictureSet::All).then_some(self.pictures.side),
            sheet: (self.set != PictureSet::None).then_some(height.max(width)),
        }
    }

    /// Whether files of this kind are written.
    pub fn writes(&self, artifact: Artifact) -> bool {
        match artifact {
            Artifact::Strip { .. } | Artifact::Grid { .. } => self.set != PictureSet::None,
            Artifact::Picture { .. } | Artifact::CamGb { .. } | Artifact::Input { .. } => {
                self.set == PictureSet::All
            }
            Artifact::Arrays => self.archive,
        }
    }

    /// The files that every image has at these `exits`, in order of decreasing cost.
    fn of_every_image(&self, exits: &[usize]) -> Vec<Artifact> {
        let layers = 0..self.layers.all.len();
        let strips = layers.clone().map(|layer| Artifact::Strip { layer });
        let pictures = layers.flat_map(|layer| {
            let kind = self.layers.all[layer].kind;
            let exits = exits.iter().enumerate().filter(move |(_, exit)| self.layers.is_at(kind, **exit));
            exits.map(move |(exit, _)| Artifact::Picture { layer, exit })
        });
        let grids = (0..self.layers.grids.len()).map(|grid| Artifact::Grid { grid });
        let all = grids.chain(strips).chain([Artifact::Arrays]).chain(pictures);
        all.filter(|&artifact| self.writes(artifact)).collect()
    }

    /// The name of a file of an image whose names begin with `stem`; `exits` are the numbers of its exits.
    /// `None` for the article's pictures, whose names depend on the explained class.
    fn name(&self, stem: &str, artifact: Artifact, exits: impl Fn(usize) -> usize) -> Option<String> {
        let ending = self.format.ending();
        Some(match artifact {
            Artifact::Picture { layer, exit } if self.article.is_none() => {
                format!("{stem}_exit{:02}_{}.{ending}", exits(exit), self.layers.all[layer].picture)
            }
            Artifact::Strip { layer } => format!("{stem}_{}.{ending}", self.layers.all[layer].strip),
            Artifact::Grid { grid } => format!("{stem}_{}.{ending}", self.layers.grids[grid].name),
            Artifact::Arrays => format!("{stem}.npz"),
            Artifact::Picture { .. } | Artifact::CamGb { .. } | Artifact::Input { .. } => return None,
        })
    }

    /// The names of an image's files that are known before it is explained at these `exits`.
    pub fn known_names(&self, stem: &str, exits: &[usize]) -> Vec<String> {
        let name = |artifact| self.name(stem, artifact, |exit| exits[exit]);
        self.of_every_image(exits).into_iter().filter_map(name).collect()
    }
}

impl ImageArtifacts<'_> {
    /// Every file, in order of decreasing cost.
    pub fn list(&self) -> Vec<Artifact> {
        let exits = self.explanations.exits();
        let number = |exit: usize| self.explanations.at(exit, 0).prediction.exit;
        let mut list = self.spec.of_every_image(&(0..exits).map(number).collect::<Vec<_>>());
        if self.spec.article.is_some() && self.spec.set == PictureSet::All {
            let each =
                || (0..exits).flat_map(|exit| (0..self.spec.layers.ranks).map(move |rank| (exit, rank)));
            list.extend(each().filter_map(|(exit, rank)| self.cam_gb_artifact(exit, rank)));
            let mut named = Vec::new();
            for (exit, rank) in each() {
                let target = self.explanations.at(exit, rank).target;
                if !named.contains(&target) {
                    named.push(target);
                    list.push(Artifact::Input { exit, rank });
                }
            }
        }
        list
    }

    /// The article's `_cam_gb`, if there is one.
    pub fn cam_gb_artifact(&self, exit: usize, rank: usize) -> Option<Artifact> {
        let (heatmap, gradient) = self.spec.article?.cam_gb?;
        Some(Artifact::CamGb { exit, rank, heatmap, gradient })
    }

    /// The file's name.
    pub fn name(&self, artifact: Artifact) -> String {
        let number = |exit: usize| self.explanations.at(exit, 0).prediction.exit;
        if let Some(name) = self.spec.name(&self.stem, artifact, number) {
            return name;
        }
        match artifact {
            Artifact::Picture { layer, exit } => {
                let layer = &self.spec.layers.all[layer];
                let suffix = layer.picture.replace("input-gradient", "gb");
                self.article_name(exit, layer.rank, &format!("_{}_{suffix}", number(exit)))
            }
            Artifact::CamGb { exit, rank, .. } => {
                let top =
                    if self.spec.layers.ranks > 1 { format!("_top{}", rank + 1) } else { String::new() };
                self.article_name(exit, rank, &format!("_{}_cam_gb{top}", number(exit)))
            }
            Artifact::Input { exit, rank } => self.article_name(exit, rank, "_input"),
            Artifact::Strip { .. } | Artifact::Grid { .. } | Artifact::Arrays => {
                unreachable!("its name does not depend on the explained class")
            }
        }
    }

    /// The article's name for a picture that explains the target of an exit.
    fn article_name(&self, exit: usize, rank: usize, suffix: &str) -> String {
        let target = self.explanations.at(exit, rank).target;
        article::name(&self.spec.labels[target], &self.stem, suffix)
    }

    /// The file's content.
    pub fn bytes(&self, artifact: Artifact, timings: &Timings) -> Vec<u8> {
        let layers = &self.spec.layers.all;
        let picture = timings.time(Stage::Draw, || match artifact {
            Artifact::Picture { layer, exit } => Some(self.picture(&layers[layer], exit, self.view())),
            Artifact::Strip { layer } => Some(self.strip(&layers[layer])),
            Artifact::Grid { grid } => Some(self.grid(&self.spec.layers.grids[grid])),
            Artifact::CamGb { exit, rank, heatmap, gradient } => {
                Some(self.cam_gb(self.explanations.at(exit, rank), heatmap, gradient))
            }
            Artifact::Input { .. } => Some(self.input()),
            Artifact::Arrays => None,
        });
        timings.time(Stage::Encode, || match (picture, artifact) {
            (None, _) => {
                arrays::encode(self.explanations, &self.spec.pixels, self.spec.input, self.photo.crop)
            }
            (Some(picture), Artifact::Strip { .. } | Artifact::Grid { .. }) => {
                self.spec.format.encode(&picture)
            }
            (Some(picture), _) if self.spec.article.is_some() => encode_jpeg(&picture, 95),
            (Some(picture), _) => self.spec.format.encode(&picture),
        })
    }
}
