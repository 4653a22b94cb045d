//! The content of a layer at one exit, at the size of a picture.

use crate::explain::{ActivationMap, Explanation, difference};
use crate::imaging::heatmap::{Heatmap, MapStatus};

use super::layers::{Difference, HeatmapSource, LayerKind, Layers};

/// An image's explanations, by exit, then by rank.
#[derive(Debug, Clone, Copy)]
pub struct Explanations<'a> {
    pub all: &'a [Explanation],
    pub layers: &'a Layers,
    /// Whether heatmaps are means over several inputs, and so more than their resized maps.
    pub smoothed: bool,
}

impl<'a> Explanations<'a> {
    /// The number of exits.
    pub fn exits(&self) -> usize {
        self.all.len() / self.layers.ranks
    }

    /// The explanation of the exit at position `i`.
    pub fn at(&self, i: usize, rank: usize) -> &'a Explanation {
        &self.all[i * self.layers.ranks + rank]
    }

    /// Whether the exit of `explanation` has what a layer shows. The methods below are for layers that it has.
    pub fn has(&self, kind: LayerKind, explanation: &Explanation) -> bool {
        self.layers.is_at(kind, explanation.prediction.exit)
    }

    /// The activation map of a method in a column of taps.
    pub fn map(&self, explanation: &'a Explanation, method: usize, tap: usize) -> &'a ActivationMap {
        let at = self.layers.map_at(explanation.prediction.exit, method, tap);
        &explanation.maps[at.expect("the exit has this tap")]
    }

    /// The heatmap at the size of the network's input.
    pub fn heatmap(&self, source: HeatmapSource, explanation: &'a Explanation) -> &'a Heatmap {
        match source {
            HeatmapSource::Cam { method, tap } => &self.map(explanation, method, tap).heatmap,
            HeatmapSource::Fused { method } => &explanation.fused[method].heatmap,
        }
    }

    /// The elements from which a heatmap is scaled, and their (rows, columns): the activation map
    /// after its ReLU, or the heatmap itself if it combines several maps.
    pub fn raw(&self, source: HeatmapSource, explanation: &'a Explanation) -> (&'a [f32], (usize, usize)) {
        let heatmap = self.heatmap(source, explanation);
        match source {
            HeatmapSource::Cam { method, tap } if !self.smoothed && heatmap.status == MapStatus::Ok => {
                let map = self.map(explanation, method, tap);
                (&map.map, (map.shape.h, map.shape.w))
            }
            _ => (&heatmap.values, (heatmap.height, heatmap.width)),
        }
    }

    /// The status of what a layer shows of `explanation`.
    pub fn status(&self, kind: LayerKind, explanation: &'a Explanation) -> MapStatus {
        match kind {
            LayerKind::Heatmap(source) => self.heatmap(source, explanation).status,
            LayerKind::Difference(minus) => {
                let of = self.heatmap(minus.minuend(), explanation);
                self.difference(minus, explanation, (of.height, of.width)).status
            }
            LayerKind::Pixels { method } => explanation.pixels[method].status,
        }
    }

    /// The heatmap at `to` (rows, columns), from the raw map where there is one.
    pub fn heatmap_at(
        &self,
        source: HeatmapSource,
        explanation: &Explanation,
        to: (usize, usize),
    ) -> Heatmap {
        let own = self.heatmap(source, explanation);
        let (raw, size) = self.raw(source, explanation);
        match (own.height, own.width) {
            own_size if own_size == to => own.clone(),
            own_size if own_size == size => own.resized(to.0, to.1),
            _ => Heatmap::new(raw, size, to),
        }
    }

    /// The difference at `to` (rows, columns), in [-1, 1].
    pub fn difference(&self, minus: Difference, explanation: &Explanation, to: (usize, usize)) -> Heatmap {
        let (height, width) = to;
        let (values, finite) = match minus {
            Difference::Exits { heatmap, exit } => {
                let same_exit =
                    |other: &&Explanation| (other.prediction.exit, other.rank) == (exit, explanation.rank);
                let other = self.all.iter().find(same_exit).expect("the exit is one of the request's");
                let heatmaps = [explanation, other].map(|of| self.heatmap_at(heatmap, of, to));
                let finite = heatmaps.iter().all(|heatmap| heatmap.status != MapStatus::Nonfinite);
                (difference(&heatmaps[0], &heatmaps[1]).expect("both have one size"), finite)
            }
            Difference::Classes { method, tap, .. } => {
                let map = self.map(explanation, method, tap);
                (map.diverging(height, width), map.heatmap.status != MapStatus::Nonfinite)
            }
        };
        let largest = values.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
        let status = match () {
            () if !finite => MapStatus::Nonfinite,
            () if largest == 0.0 => MapStatus::Empty,
            () => MapStatus::Ok,
        };
        let values = if finite { values } else { vec![0.0; height * width] };
        Heatmap { width, height, values, status, min: -largest, max: largest }
    }
}
