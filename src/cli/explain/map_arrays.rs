//! The arrays of maps: their keys and dimensions, which the request determines, and the elements of an image.

use crate::explain::{Explanation, PixelMethod};

use super::layer_view::Explanations;
use super::layers::{Difference, HeatmapSource, Layer, LayerKind, Layers};

/// A kind of array, by the beginning of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MapKind {
    Cam,
    Heatmap,
    Fused,
    Difference,
    Pixels,
}

/// An array of every image.
#[derive(Debug, Clone)]
pub struct MapArray {
    pub key: String,
    /// Dimensions for one image.
    pub shape: Vec<usize>,
    content: Content,
}

/// What an array holds; methods, taps and exits by their positions.
#[derive(Debug, Clone, Copy)]
enum Content {
    /// The activation maps of a method in a column of taps, at all exits.
    Cam {
        method: usize,
        tap: usize,
    },
    /// The same at one exit, where the exits' taps differ in size.
    CamAtExit {
        method: usize,
        tap: usize,
        exit: usize,
    },
    Heatmap(HeatmapSource),
    Difference(Difference),
    Pixels {
        method: usize,
    },
}

/// What determines the arrays of a job.
#[derive(Debug, Clone, Copy)]
pub struct MapArrays<'a> {
    pub layers: &'a Layers,
    /// The request's pixel methods.
    pub pixels: &'a [PixelMethod],
    /// Numbers of the exits.
    pub exits: &'a [usize],
    /// (H, W) of heatmaps.
    pub input: (usize, usize),
}

impl MapArrays<'_> {
    /// All arrays; all ranks of a layer share one.
    pub fn all(&self) -> Vec<MapArray> {
        let layers = self.layers.all.iter().filter(|layer| layer.rank == 0);
        layers.flat_map(|layer| self.of_layer(layer)).collect()
    }

    fn of_layer(&self, layer: &Layer) -> Vec<MapArray> {
        let (height, width) = self.input;
        let joint = |key: String, size: &[usize], content: Content| MapArray {
            key,
            shape: [&self.targets(), size].concat(),
            content,
        };
        match layer.kind {
            LayerKind::Heatmap(source) => {
                let (mut arrays, prefix) = match source {
                    HeatmapSource::Cam { method, tap } => (self.cams(method, tap), "heatmap"),
                    HeatmapSource::Fused { .. } => (Vec::new(), "fused"),
                };
                arrays.push(joint(self.key(&[prefix], source), &[height, width], Content::Heatmap(source)));
                arrays
            }
            LayerKind::Difference(difference) => {
                let minuend = difference.minuend();
                let prefix: &[&str] = match minuend {
                    HeatmapSource::Cam { .. } => &["difference"],
                    HeatmapSource::Fused { .. } => &["difference", "fused"],
                };
                vec![joint(self.key(prefix, minuend), &[height, width], Content::Difference(difference))]
            }
            LayerKind::Pixels { method } => {
                let key = format!("pixels.{}", self.pixels[method].name());
                vec![joint(key, &[3, height, width], Content::Pixels { method })]
            }
        }
    }

    /// (E), or (E, N).
    fn targets(&self) -> Vec<usize> {
        target_shape(self.layers, self.exits.len())
    }

    /// The activation maps of a method in a column of taps: one array if they have one size, otherwise one for each
    /// exit.
    fn cams(&self, method: usize, tap: usize) -> Vec<MapArray> {
        let key = self.key(&["cam"], HeatmapSource::Cam { method, tap });
        let size = |&exit: &usize| self.layers.tap_at(exit, tap).map(|place| place.size);
        let mut sizes = self.exits.iter().filter_map(size);
        let Some(first) = sizes.next() else { return Vec::new() };
        let ranks = self.targets().split_off(1);
        if sizes.all(|size| size == first) {
            let shape = [&self.targets(), &first[..]].concat();
            return vec![MapArray { key, shape, content: Content::Cam { method, tap } }];
        }
        let at_exit = |(exit, number): (usize, &usize)| {
            let shape = [&ranks, &size(number)?[..]].concat();
            let content = Content::CamAtExit { method, tap, exit };
            Some(MapArray { key: format!("{key}.exit{number}"), shape, content })
        };
        self.exits.iter().enumerate().filter_map(at_exit).collect()
    }

    /// The key of a heatmap's array: `prefix`, then method and tap where there are several.
    fn key(&self, prefix: &[&str], source: HeatmapSource) -> String {
        let Layers { methods, tap_files, .. } = self.layers;
        let mut parts = prefix.to_vec();
        if methods.len() > 1 {
            parts.push(methods[source.method()].name());
        }
        if let HeatmapSource::Cam { tap, .. } = source
            && tap_files.len() > 1
        {
            parts.push(&tap_files[tap]);
        }
        parts.join(".")
    }
}

/// Dimensions of what there is once for each target of `exits` exits: (E), or (E, N).
pub fn target_shape(layers: &Layers, exits: usize) -> Vec<usize> {
    if layers.ranks > 1 { vec![exits, layers.ranks] } else { vec![exits] }
}

/// The name of the tap of each column at `exit`; empty where the exit has none.
pub fn tap_names(layers: &Layers, exit: usize) -> impl Iterator<Item = &str> {
    (0..layers.taps.len()).map(move |tap| layers.tap_at(exit, tap).map_or("", |place| &place.name))
}

impl MapArray {
    pub fn kind(&self) -> MapKind {
        match self.content {
            Content::Cam { .. } | Content::CamAtExit { .. } => MapKind::Cam,
            Content::Heatmap(HeatmapSource::Cam { .. }) => MapKind::Heatmap,
            Content::Heatmap(HeatmapSource::Fused { .. }) => MapKind::Fused,
            Content::Difference(_) => MapKind::Difference,
            Content::Pixels { .. } => MapKind::Pixels,
        }
    }

    /// Gives the elements of an image to `put`, a few at a time: zero for exits that do not have what the array shows.
    /// `input` is (H, W) of heatmaps.
    pub fn each_part(&self, explanations: Explanations, input: (usize, usize), put: &mut dyn FnMut(&[f32])) {
        if let Content::CamAtExit { method, tap, exit } = self.content {
            let ranks = 0..explanations.layers.ranks;
            ranks.for_each(|rank| put(&explanations.map(explanations.at(exit, rank), method, tap).map));
            return;
        }
        let part: usize = self.shape.iter().product::<usize>() / explanations.all.len();
        for explanation in explanations.all {
            if explanations.has(self.layer(), explanation) {
                self.put_part(explanations, explanation, input, put);
            } else {
                put(&vec![0.0; part]);
            }
        }
    }

    /// The layer whose maps the array holds.
    fn layer(&self) -> LayerKind {
        match self.content {
            Content::Cam { method, tap } | Content::CamAtExit { method, tap, .. } => {
                LayerKind::Heatmap(HeatmapSource::Cam { method, tap })
            }
            Content::Heatmap(source) => LayerKind::Heatmap(source),
            Content::Difference(difference) => LayerKind::Difference(difference),
            Content::Pixels { method } => LayerKind::Pixels { method },
        }
    }

    /// Gives the elements of one exit and target to `put`.
    fn put_part(
        &self,
        explanations: Explanations,
        explanation: &Explanation,
        input: (usize, usize),
        put: &mut dyn FnMut(&[f32]),
    ) {
        match self.content {
            Content::Cam { method, tap } | Content::CamAtExit { method, tap, .. } => {
                put(&explanations.map(explanation, method, tap).map);
            }
            Content::Heatmap(source) => put(&explanations.heatmap_at(source, explanation, input).values),
            Content::Difference(difference) => {
                put(&explanations.difference(difference, explanation, input).values);
            }
            Content::Pixels { method } => put(&explanation.pixels[method].values),
        }
    }
}
