//! What a layer shows of one exit, at the size of a picture.

use crate::explain::{Finding, MethodMap, PixelMap, difference};
use crate::imaging::heatmap::{HeatMap, Status};

use super::difference::Minus;
use super::layers::{Kind, Layer, Layers};

/// An image's findings, by exit, then by rank.
#[derive(Debug, Clone, Copy)]
pub struct Findings<'a> {
    pub all: &'a [Finding],
    pub layers: &'a Layers,
    /// Whether heat maps are means of many, and more than their maps resized.
    pub smoothed: bool,
}

/// What is to be seen.
#[derive(Debug)]
pub enum View<'a> {
    /// Values in [0, 1].
    Heat(HeatMap),
    /// Values in [-1, 1].
    Signed(HeatMap),
    /// An array (3, H, W).
    Pixels(&'a PixelMap),
}

impl<'a> Findings<'a> {
    /// How many exits there are.
    pub fn exits(&self) -> usize {
        self.all.len() / self.layers.ranks
    }

    /// The finding of the exit at position `i`.
    pub fn at(&self, i: usize, rank: usize) -> &'a Finding {
        &self.all[i * self.layers.ranks + rank]
    }

    /// The map of a method at a tap.
    pub fn map(&self, finding: &'a Finding, method: usize, tap: usize) -> &'a MethodMap {
        &finding.maps[method * self.layers.taps.len() + tap]
    }

    /// The numbers of which the heat map of `kind` is made, and their rows and columns: the map after
    /// its ReLU, or the heat map itself where it was put together from several.
    pub fn raw(&self, kind: Kind, finding: &'a Finding) -> (&'a [f32], (usize, usize)) {
        let own = self.own_heat(kind, finding);
        match kind {
            Kind::Map { method, tap } if !self.smoothed && own.status == Status::Ok => {
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
    pub fn status(&self, layer: &Layer, i: usize) -> Status {
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
    pub fn own_heat(&self, kind: Kind, finding: &'a Finding) -> &'a HeatMap {
        match kind {
            Kind::Map { method, tap } => &self.map(finding, method, tap).heat,
            Kind::Fused { method } => &finding.fused[method].heat,
            Kind::Pixels { .. } => unreachable!("pixels have no heat map"),
        }
    }

    fn heat(&self, kind: Kind, finding: &Finding, side: usize) -> HeatMap {
        let own = self.own_heat(kind, finding);
        let (raw, size) = self.raw(kind, finding);
        match (own.height, own.width) {
            own_size if own_size == (side, side) => own.clone(),
            own_size if own_size == size => own.resized(side, side),
            _ => HeatMap::new(raw, size, (side, side)),
        }
    }

    fn difference(&self, kind: Kind, finding: &Finding, minus: Minus, side: usize) -> HeatMap {
        let own = self.own_heat(kind, finding);
        let (values, finite) = match (minus, kind) {
            (Minus::Exit(exit), _) => {
                let other = self.all.iter().find(|f| (f.exit, f.rank) == (exit, finding.rank));
                let other = other.expect("one of the exits asked for");
                let heats = [self.heat(kind, finding, side), self.heat(kind, other, side)];
                let finite = heats.iter().all(|heat| heat.status != Status::Nonfinite);
                (difference(&heats[0], &heats[1]).expect("of one size"), finite)
            }
            (Minus::RunnerUp | Minus::Class(_), Kind::Map { method, tap }) => {
                (self.map(finding, method, tap).diverging(side, side), own.status != Status::Nonfinite)
            }
            (Minus::RunnerUp | Minus::Class(_), _) => unreachable!("only maps have signs"),
        };
        let largest = values.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
        let status = match () {
            () if !finite => Status::Nonfinite,
            () if largest == 0.0 => Status::Empty,
            () => Status::Ok,
        };
        let values = if finite { values } else { vec![0.0; side * side] };
        HeatMap { width: side, height: side, values, status, min: -largest, max: largest }
    }
}
