//! What a layer shows of one exit, at the size of a picture.

use crate::explain::{ActivationMap, Explanation, PixelAttribution, difference};
use crate::imaging::heatmap::{Heatmap, MapStatus};

use super::difference::Minus;
use super::layers::{Kind, Layer, Layers};

/// An image's findings, by exit, then by rank.
#[derive(Debug, Clone, Copy)]
pub struct Explanations<'a> {
    pub all: &'a [Explanation],
    pub layers: &'a Layers,
    /// Whether heat maps are means of many, and more than their maps resized.
    pub smoothed: bool,
}

/// What is to be seen.
#[derive(Debug)]
pub enum View<'a> {
    /// Values in [0, 1].
    Heat(Heatmap),
    /// Values in [-1, 1].
    Signed(Heatmap),
    /// An array (3, H, W).
    Pixels(&'a PixelAttribution),
}

impl<'a> Explanations<'a> {
    /// How many exits there are.
    pub fn exits(&self) -> usize {
        self.all.len() / self.layers.ranks
    }

    /// The finding of the exit at position `i`.
    pub fn at(&self, i: usize, rank: usize) -> &'a Explanation {
        &self.all[i * self.layers.ranks + rank]
    }

    /// The map of a method at a tap.
    pub fn map(&self, finding: &'a Explanation, method: usize, tap: usize) -> &'a ActivationMap {
        &finding.maps[method * self.layers.taps.len() + tap]
    }

    /// The numbers of which the heat map of `kind` is made, and their rows and columns: the map after
    /// its ReLU, or the heat map itself where it was put together from several.
    pub fn raw(&self, kind: Kind, finding: &'a Explanation) -> (&'a [f32], (usize, usize)) {
        let own = self.own_heat(kind, finding);
        match kind {
            Kind::Map { method, tap } if !self.smoothed && own.status == MapStatus::Ok => {
                let map = self.map(finding, method, tap);
                (&map.map, (map.shape.h, map.shape.w))
            }
            _ => (&own.values, (own.height, own.width)),
        }
    }

    /// What `layer` shows of the exit at position `i`, `side` x `side` where it is a heat map.
    pub fn view(&self, layer: &Layer, i: usize, side: usize) -> View<'a> {
        let finding = self.at(i, layer.rank);
        match (layer.kind, layer.minus) {
            (Kind::Pixels { method }, _) => View::Pixels(&finding.pixels[method]),
            (kind, None) => View::Heat(self.heat(kind, finding, side)),
            (kind, Some(minus)) => View::Signed(self.difference(kind, finding, minus, side)),
        }
    }

    /// The status of what `layer` shows of the exit at position `i`.
    pub fn status(&self, layer: &Layer, i: usize) -> MapStatus {
        let finding = self.at(i, layer.rank);
        match (layer.kind, layer.minus) {
            (Kind::Pixels { method }, _) => finding.pixels[method].status,
            (kind, None) => self.own_heat(kind, finding).status,
            (kind, Some(minus)) => {
                let side = self.own_heat(kind, finding).width;
                self.difference(kind, finding, minus, side).status
            }
        }
    }

    /// The heat map as it was found, at the size of the network's input.
    pub fn own_heat(&self, kind: Kind, finding: &'a Explanation) -> &'a Heatmap {
        match kind {
            Kind::Map { method, tap } => &self.map(finding, method, tap).heatmap,
            Kind::Fused { method } => &finding.fused[method].heatmap,
            Kind::Pixels { .. } => unreachable!("pixels have no heat map"),
        }
    }

    fn heat(&self, kind: Kind, finding: &Explanation, side: usize) -> Heatmap {
        let own = self.own_heat(kind, finding);
        let (raw, size) = self.raw(kind, finding);
        match (own.height, own.width) {
            own_size if own_size == (side, side) => own.clone(),
            own_size if own_size == size => own.resized(side, side),
            _ => Heatmap::new(raw, size, (side, side)),
        }
    }

    fn difference(&self, kind: Kind, finding: &Explanation, minus: Minus, side: usize) -> Heatmap {
        let own = self.own_heat(kind, finding);
        let (values, finite) = match (minus, kind) {
            (Minus::Exit(exit), _) => {
                let other = self.all.iter().find(|f| (f.prediction.exit, f.rank) == (exit, finding.rank));
                let other = other.expect("one of the exits asked for");
                let heats = [self.heat(kind, finding, side), self.heat(kind, other, side)];
                let finite = heats.iter().all(|heat| heat.status != MapStatus::Nonfinite);
                (difference(&heats[0], &heats[1]).expect("of one size"), finite)
            }
            (Minus::RunnerUp | Minus::Class(_), Kind::Map { method, tap }) => {
                (self.map(finding, method, tap).diverging(side, side), own.status != MapStatus::Nonfinite)
            }
            (Minus::RunnerUp | Minus::Class(_), _) => unreachable!("only maps have signs"),
        };
        let largest = values.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
        let status = match () {
            () if !finite => MapStatus::Nonfinite,
            () if largest == 0.0 => MapStatus::Empty,
            () => MapStatus::Ok,
        };
        let values = if finite { values } else { vec![0.0; side * side] };
        Heatmap { width: side, height: side, values, status, min: -largest, max: largest }
    }
}
