//! Layers: what `explain` shows of every exit, one layer for each method, tap and target, with its
//! names in files and sheets.

use std::collections::BTreeMap;

use crate::explain::{ExplainRequest, MapMethod, Score, Smoothing, Taps, Target};
use crate::model::Model;
use crate::run::{FlatNames, file_stem};
use crate::{Error, Result};

use super::difference::{OtherClass, Subtrahend};

/// A heatmap of an explanation, by the positions of its method and tap in the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeatmapSource {
    /// The activation map of a method at a tap.
    Cam { method: usize, tap: usize },
    /// The fusion of a method's maps at all taps.
    Fused { method: usize },
}

/// A signed difference of two maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// A heatmap minus the same heatmap at `exit`.
    Exits { heatmap: HeatmapSource, exit: usize },
    /// The signed map of the difference of two logits.
    Classes { method: usize, tap: usize, other: OtherClass },
}

/// What a layer shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerKind {
    Heatmap(HeatmapSource),
    Difference(Difference),
    /// The attribution of the pixel method at this position of the request.
    Pixels {
        method: usize,
    },
}

/// The same view of every exit: the content of one film strip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    pub kind: LayerKind,
    /// Position of the target among those of an exit, from 0.
    pub rank: usize,
    /// Suffix of its pictures' names, after `photo_exit01_` and before the ending.
    pub picture: String,
    /// Suffix of its film strip's name, after `photo_` and before the ending.
    pub strip: String,
    /// Second line of its film strip.
    pub subtitle: String,
    /// Title of its row in a grid: tap and target.
    pub row: String,
}

/// Several layers of one method in one picture, a row for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grid {
    /// Suffix of its name, after `photo_` and before the ending.
    pub name: String,
    /// Positions of the layers.
    pub layers: Vec<usize>,
    /// Second line of the picture.
    pub subtitle: String,
}

/// The tap of an exit in a column.
#[derive(Debug, Clone)]
pub struct TapPlace {
    /// Position among the exit's own taps.
    at: usize,
    /// The tap's name.
    pub name: String,
    /// (h, w) of its maps.
    pub size: [usize; 2],
}

/// For each exit, its tap in each column; `None` where it has no such tap.
type Places = BTreeMap<usize, Vec<Option<TapPlace>>>;

/// All layers of a job. Tables and result lines show the first.
#[derive(Debug, Clone)]
pub struct Layers {
    pub all: Vec<Layer>,
    pub grids: Vec<Grid>,
    /// The request's CAM methods.
    pub methods: Vec<MapMethod>,
    /// Columns of taps: the names of the request's taps that are the same for every exit.
    pub taps: Vec<String>,
    /// The same in names of files and arrays.
    pub tap_files: Vec<String>,
    places: Places,
    /// Targets of each exit.
    pub ranks: usize,
}

impl HeatmapSource {
    /// Position of the CAM method in the request.
    pub fn method(self) -> usize {
        match self {
            HeatmapSource::Cam { method, .. } | HeatmapSource::Fused { method } => method,
        }
    }
}

impl Difference {
    /// The heatmap from which another is subtracted.
    pub fn minuend(self) -> HeatmapSource {
        match self {
            Difference::Exits { heatmap, .. } => heatmap,
            Difference::Classes { method, tap, .. } => HeatmapSource::Cam { method, tap },
        }
    }

    /// What is subtracted.
    pub fn subtrahend(self) -> Subtrahend {
        match self {
            Difference::Exits { exit, .. } => Subtrahend::Exit(exit),
            Difference::Classes { other, .. } => Subtrahend::Class(other),
        }
    }
}

impl LayerKind {
    /// The heatmap that is shown or from which another is subtracted.
    fn heatmap(self) -> Option<HeatmapSource> {
        match self {
            LayerKind::Heatmap(heatmap) => Some(heatmap),
            LayerKind::Difference(difference) => Some(difference.minuend()),
            LayerKind::Pixels { .. } => None,
        }
    }
}

impl Layers {
    /// The layers of `request`, and those of its differences from `minus`.
    ///
    /// # Errors
    /// When `minus` cannot be subtracted from any map of the request.
    pub fn new(
        request: &ExplainRequest,
        minus: Option<Subtrahend>,
        model: &Model,
        labels: &[String],
    ) -> Result<Layers> {
        check(request, minus, labels)?;
        let (taps, places) = columns(request, model)?;
        let tap_files = file_names(&taps);
        let heatmaps = (0..request.maps.len()).flat_map(|method| {
            let fused = request.fusion.map(|_| HeatmapSource::Fused { method });
            fused.into_iter().chain((0..taps.len()).map(move |tap| HeatmapSource::Cam { method, tap }))
        });
        let heatmaps: Vec<HeatmapSource> = heatmaps.collect();
        let differences = heatmaps.iter().filter_map(|&heatmap| difference(heatmap, minus?));
        let pixels = (0..request.pixels.len()).map(|method| LayerKind::Pixels { method });
        let kinds = heatmaps.iter().map(|&heatmap| LayerKind::Heatmap(heatmap));
        let kinds = kinds.chain(differences.map(LayerKind::Difference)).chain(pixels);

        let ranks = request.target.ranks();
        let names = LayerNames { request, taps: &taps, tap_files: &tap_files, labels };
        let all: Vec<Layer> = kinds
            .flat_map(|kind| (0..ranks).map(move |rank| (kind, rank)))
            .map(|(kind, rank)| names.layer(kind, rank))
            .collect();
        let grids = names.grids(&all);
        Ok(Layers { all, grids, methods: request.maps.clone(), taps, tap_files, places, ranks })
    }

    /// Whether exit `exit` has what a layer shows: early exits depend on fewer scales than late ones.
    pub fn is_at(&self, kind: LayerKind, exit: usize) -> bool {
        let has = |source: HeatmapSource, exit: usize| match source {
            HeatmapSource::Cam { tap, .. } => self.places[&exit][tap].is_some(),
            HeatmapSource::Fused { .. } => self.places[&exit].iter().any(Option::is_some),
        };
        match kind {
            LayerKind::Heatmap(source) => has(source, exit),
            LayerKind::Difference(Difference::Exits { heatmap, exit: other }) => {
                has(heatmap, exit) && has(heatmap, other)
            }
            LayerKind::Difference(difference) => has(difference.minuend(), exit),
            LayerKind::Pixels { .. } => true,
        }
    }

    /// The position among exit `exit`'s maps of the map of `method` in column `tap`, if it has one.
    pub fn map_at(&self, exit: usize, method: usize, tap: usize) -> Option<usize> {
        let places = &self.places[&exit];
        Some(method * places.iter().flatten().count() + places[tap].as_ref()?.at)
    }

    /// The tap of exit `exit` in column `tap`, if it has one.
    pub fn tap_at(&self, exit: usize, tap: usize) -> Option<&TapPlace> {
        self.places[&exit][tap].as_ref()
    }
}

/// The columns of the request's taps, finest first if they are scales, and the positions of their taps at each exit.
fn columns(request: &ExplainRequest, model: &Model) -> Result<(Vec<String>, Places)> {
    let mut columns: Vec<(usize, String)> = Vec::new();
    let mut names = BTreeMap::new();
    for &exit in &request.exits {
        let taps = request.taps_of(model, exit)?;
        let of_exit: Vec<String> = taps.iter().map(|tap| request.taps.column(model, tap)).collect();
        for (tap, name) in taps.iter().zip(&of_exit) {
            if columns.iter().all(|(_, known)| known != name) {
                columns.push((model.graph.shape(tap.node).plane(), name.clone()));
            }
        }
        let sizes = taps.iter().map(|tap| {
            let shape = model.graph.shape(tap.node);
            [shape.h, shape.w]
        });
        let names_and_sizes = taps.iter().map(|tap| tap.name.clone()).zip(sizes);
        names.insert(exit, of_exit.into_iter().zip(names_and_sizes).collect::<Vec<_>>());
    }
    if request.taps == Taps::AllScales {
        columns.sort_by_key(|(plane, _)| std::cmp::Reverse(*plane));
    }
    let columns: Vec<String> = columns.into_iter().map(|(_, name)| name).collect();
    let place = |own: &[(String, (String, [usize; 2]))], column: &String| {
        let at = own.iter().position(|(name, _)| name == column)?;
        let (name, size) = own[at].1.clone();
        Some(TapPlace { at, name, size })
    };
    let places = names
        .into_iter()
        .map(|(exit, own)| (exit, columns.iter().map(|column| place(&own, column)).collect()));
    let places = places.collect();
    Ok((columns, places))
}

/// The names of taps as parts of file names, which `_` separates: unique, and none is that of another part.
fn file_names(taps: &[String]) -> Vec<String> {
    /// Bytes; the end of a longer name distinguishes it better than its beginning.
    const MOST: usize = 60;
    let mut names = FlatNames::default();
    ["cam", "fused"].iter().for_each(|part| drop(names.stem(part)));
    let name = |tap: &String| {
        let from = (tap.len().saturating_sub(MOST)..tap.len()).find(|&at| tap.is_char_boundary(at));
        let clean = file_stem(&tap[from.unwrap_or(0)..]).replace('_', "-");
        match clean.trim_matches(['-', '.', ' ']) {
            "" => names.stem("tap"),
            clean => names.stem(clean),
        }
    };
    taps.iter().map(name).collect()
}

/// `heatmap` minus `subtrahend`; `None` where the heatmap has no signed map.
fn difference(heatmap: HeatmapSource, subtrahend: Subtrahend) -> Option<Difference> {
    match (subtrahend, heatmap) {
        (Subtrahend::Exit(exit), heatmap) => Some(Difference::Exits { heatmap, exit }),
        (Subtrahend::Class(other), HeatmapSource::Cam { method, tap }) => {
            Some(Difference::Classes { method, tap, other })
        }
        (Subtrahend::Class(_), HeatmapSource::Fused { .. }) => None,
    }
}

fn check(request: &ExplainRequest, minus: Option<Subtrahend>, labels: &[String]) -> Result<()> {
    let Some(minus) = minus else { return Ok(()) };
    let name = minus.name(labels);
    if request.maps.is_empty() {
        return Err(Error::usage(format!("minus {name}: no heatmap method is requested")));
    }
    match minus {
        Subtrahend::Exit(exit) if !request.exits.contains(&exit) => {
            let exits: Vec<String> = request.exits.iter().map(usize::to_string).collect();
            Err(Error::usage(format!("minus exit{exit}: the requested exits are {}", exits.join(", "))))
        }
        Subtrahend::Exit(exit) if request.exits == [exit] => {
            Err(Error::usage(format!("minus exit{exit}: no other exit is requested")))
        }
        Subtrahend::Class(_) if request.smoothing != Smoothing::None => {
            let smoothing = request.smoothing.name();
            Err(Error::usage(format!("minus {name}: maps under --smooth {smoothing} are not signed")))
        }
        _ => Ok(()),
    }
}

/// Names of layers in files and sheets.
struct LayerNames<'a> {
    request: &'a ExplainRequest,
    taps: &'a [String],
    tap_files: &'a [String],
    labels: &'a [String],
}

impl LayerNames<'_> {
    fn layer(&self, kind: LayerKind, rank: usize) -> Layer {
        let parts = self.parts(kind, rank);
        let strip =
            ["strip"].into_iter().chain(parts.iter().map(String::as_str).filter(|&part| part != "cam"));
        let strip = strip.collect::<Vec<_>>().join("_");
        let (subtitle, row) = (self.subtitle(kind, rank), self.row(kind, rank));
        Layer { kind, rank, picture: parts.join("_"), strip, subtitle, row }
    }

    /// The method's name in file names. The first CAM method is `cam`, as if it were alone.
    fn method(&self, kind: LayerKind) -> &'static str {
        match kind {
            LayerKind::Pixels { method } => self.request.pixels[method].name(),
            LayerKind::Heatmap(heatmap) => self.cam_method(heatmap),
            LayerKind::Difference(difference) => self.cam_method(difference.minuend()),
        }
    }

    fn cam_method(&self, heatmap: HeatmapSource) -> &'static str {
        match heatmap.method() {
            0 => "cam",
            method => self.request.maps[method].name(),
        }
    }

    /// A grid for each method with several layers; differences are in no grid.
    fn grids(&self, layers: &[Layer]) -> Vec<Grid> {
        let is_shown = |layer: &Layer| !matches!(layer.kind, LayerKind::Difference(_));
        let shown: Vec<usize> = (0..layers.len()).filter(|&i| is_shown(&layers[i])).collect();
        let same = |a: &usize, b: &usize| self.method(layers[*a].kind) == self.method(layers[*b].kind);
        let several = shown.chunk_by(same).filter(|group| group.len() > 1);
        let grid = |group: &[usize]| {
            let kind = layers[group[0]].kind;
            let method = match self.method(kind) {
                "cam" => String::new(),
                method => format!("_{method}"),
            };
            let subtitle = format!("{}{}", self.title(kind), self.of_class(kind, None));
            Grid { name: format!("grid{method}"), layers: group.to_vec(), subtitle }
        };
        several.map(grid).collect()
    }

    /// The parts of a picture's name, which `_` joins.
    fn parts(&self, kind: LayerKind, rank: usize) -> Vec<String> {
        let method = self.method(kind).to_string();
        let mut parts = match kind.heatmap() {
            Some(HeatmapSource::Cam { tap, .. }) if self.taps.len() > 1 => {
                vec![method, self.tap_files[tap].clone()]
            }
            Some(HeatmapSource::Fused { method: 0 }) => vec!["fused".into()],
            Some(HeatmapSource::Fused { .. }) => vec![method, "fused".into()],
            Some(HeatmapSource::Cam { .. }) | None => vec![method],
        };
        if self.request.target.ranks() > 1 {
            parts.push(format!("top{}", rank + 1));
        }
        if let LayerKind::Difference(difference) = kind {
            parts.push(match difference.subtrahend() {
                Subtrahend::Exit(exit) => format!("minus_exit{exit:02}"),
                Subtrahend::Class(OtherClass::RunnerUp) => "minus_runner-up".into(),
                // The index, as a class name may hold any character.
                Subtrahend::Class(OtherClass::Index(class)) => format!("minus_class{class}"),
            });
        }
        parts
    }

    /// The row's title in a grid.
    fn row(&self, kind: LayerKind, rank: usize) -> String {
        let tap = match (kind.heatmap(), self.request.fusion) {
            (Some(HeatmapSource::Cam { tap, .. }), _) if self.taps.len() > 1 => Some(self.taps[tap].clone()),
            (Some(HeatmapSource::Fused { .. }), Some(fusion)) => Some(format!("all, {}", fusion.name())),
            _ => None,
        };
        let class = (self.request.target.ranks() > 1).then(|| format!("top {}", rank + 1));
        tap.into_iter().chain(class).collect::<Vec<_>>().join(", ")
    }

    fn title(&self, kind: LayerKind) -> &'static str {
        match kind {
            LayerKind::Pixels { method } => self.request.pixels[method].title(),
            LayerKind::Heatmap(heatmap) => self.request.maps[heatmap.method()].title(),
            LayerKind::Difference(difference) => self.request.maps[difference.minuend().method()].title(),
        }
    }

    /// The target; one of several if `rank` is given.
    fn of_class(&self, kind: LayerKind, rank: Option<usize>) -> String {
        match kind.heatmap() {
            Some(heatmap) if self.request.maps[heatmap.method()] == MapMethod::EigenCam => {
                " whatever the class".into()
            }
            _ => format!(" of {}", self.class(rank)),
        }
    }

    fn subtitle(&self, kind: LayerKind, rank: usize) -> String {
        let ExplainRequest { taps, fusion, score, smoothing, .. } = self.request;
        let at = match (kind.heatmap(), fusion) {
            (Some(HeatmapSource::Cam { tap, .. }), _) if *taps != Default::default() => {
                format!(" at {}", self.taps[tap])
            }
            (Some(HeatmapSource::Fused { .. }), Some(fusion)) => {
                format!(" of {} taps, {}", self.taps.len(), fusion.name())
            }
            _ => String::new(),
        };
        let (title, class) = (self.title(kind), self.of_class(kind, Some(rank)));
        let against = match kind {
            LayerKind::Difference(difference) => match difference.subtrahend() {
                Subtrahend::Exit(exit) => format!(" minus exit {exit}'s"),
                Subtrahend::Class(OtherClass::RunnerUp) => " minus the next likeliest".into(),
                Subtrahend::Class(OtherClass::Index(class)) => format!(" minus {}", self.labels[class]),
            },
            _ if matches!(score, Score::Over(_)) => ", its logit less another's".into(),
            _ if *score != Default::default() => format!(", {}", score.name()),
            _ => String::new(),
        };
        let smooth = match kind {
            LayerKind::Pixels { .. } => String::new(),
            _ if *smoothing == Smoothing::None => String::new(),
            _ => format!(", smoothed by {}", smoothing.name()),
        };
        format!("{title}{at}{class}{against}{smooth}")
    }

    fn class(&self, rank: Option<usize>) -> String {
        match self.request.target {
            Target::Predicted => "the class that each exit predicts".into(),
            Target::Final => "the class that the last exit predicts".into(),
            Target::Label => "the image's label".into(),
            Target::Class(class) => format!("the class {}", self.labels[class]),
            Target::Top(n) => match rank {
                None => format!("each exit's {n} likeliest classes"),
                Some(0) => "each exit's likeliest class".into(),
                Some(rank) => format!("each exit's class number {}", rank + 1),
            },
        }
    }
}
