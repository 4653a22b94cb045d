//! What a run shows of each exit: one layer for each method, tap and class, and its names in files,
//! arrays and headlines.

use crate::explain::{ExplainRequest, MapMethod, Score, Smoothing, Target};
use crate::model::Model;
use crate::{Error, Result};

use super::difference::Minus;

/// Where in a finding a layer's numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The map of this method of the study at this one of its taps.
    Map { method: usize, tap: usize },
    /// The map of all taps together.
    Fused { method: usize },
    /// The array of this pixel method of the study.
    Pixels { method: usize },
}

/// The same thing at every exit: what fills one film strip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    pub kind: Kind,
    /// Which of an exit's findings it is of, from 0.
    pub rank: usize,
    /// What is taken away from it, if this is a difference.
    pub minus: Option<Minus>,
    /// What its picture is called behind `photo_exit01_`.
    pub picture: String,
    /// What its film strip is called behind `photo_`.
    pub strip: String,
    /// The film strip's second line.
    pub subtitle: String,
    /// What tells it from the method's other layers: its tap and its class.
    pub row: String,
}

/// Layers of one method that are shown together, a row each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grid {
    /// What its picture is called behind `photo_`.
    pub name: String,
    /// Positions of the layers.
    pub layers: Vec<usize>,
    /// The second line.
    pub subtitle: String,
}

/// A run's layers, the one first that tables and results show.
#[derive(Debug, Clone)]
pub struct Layers {
    pub all: Vec<Layer>,
    pub grids: Vec<Grid>,
    /// What each of the study's taps is called, whatever the exit; as `--tap` has it.
    pub taps: Vec<String>,
    /// Explanations for each exit.
    pub ranks: usize,
}

impl Layers {
    /// The layers of `study`, and of its differences from `minus`.
    ///
    /// # Errors
    /// When there is nothing from which `minus` could be taken away, or no such exit.
    pub fn new(
        study: &ExplainRequest,
        minus: Option<Minus>,
        model: &Model,
        labels: &[String],
    ) -> Result<Layers> {
        check(study, minus, labels)?;
        let taps = study.taps_of(model, study.exits[0])?;
        let taps: Vec<String> = taps.iter().map(|tap| study.taps.column(tap)).collect();
        let maps = (0..study.maps.len()).flat_map(|method| {
            let fused = study.fusion.map(|_| Kind::Fused { method });
            fused.into_iter().chain((0..taps.len()).map(move |tap| Kind::Map { method, tap }))
        });
        let maps: Vec<Kind> = maps.collect();
        let with_difference = |kind: &Kind| match minus {
            Some(Minus::RunnerUp | Minus::Class(_)) => matches!(kind, Kind::Map { .. }),
            Some(Minus::Exit(_)) => true,
            None => false,
        };
        let differences = maps.iter().filter(|kind| with_difference(kind)).map(|&kind| (kind, minus));
        let pixels = (0..study.pixels.len()).map(|method| (Kind::Pixels { method }, None));
        let kinds: Vec<_> = maps.iter().map(|&kind| (kind, None)).chain(differences).chain(pixels).collect();

        let ranks = study.target.ranks();
        let words = Words { study, taps: &taps, labels };
        let layer = |kind: Kind, rank: usize, minus: Option<Minus>| {
            let parts = words.parts(kind, rank, minus);
            let strip = ["strip"].into_iter().chain(parts.iter().map(String::as_str).filter(|&p| p != "cam"));
            let strip = strip.collect::<Vec<_>>().join("_") + ".png";
            let subtitle = words.subtitle(kind, rank, minus);
            let row = words.row(kind, rank);
            Layer { kind, rank, minus, picture: parts.join("_") + ".png", strip, subtitle, row }
        };
        let all = kinds.iter().flat_map(|&(kind, minus)| (0..ranks).map(move |rank| (kind, rank, minus)));
        let all: Vec<Layer> = all.map(|(kind, rank, minus)| layer(kind, rank, minus)).collect();
        let grids = words.grids(&all);
        Ok(Layers { all, grids, taps, ranks })
    }
}

fn check(study: &ExplainRequest, minus: Option<Minus>, labels: &[String]) -> Result<()> {
    let Some(minus) = minus else { return Ok(()) };
    let name = minus.name(labels);
    if study.maps.is_empty() {
        return Err(Error::usage(format!("minus {name}: no method that makes heat maps is asked for")));
    }
    match minus {
        Minus::Exit(exit) if !study.exits.contains(&exit) => {
            let exits: Vec<String> = study.exits.iter().map(usize::to_string).collect();
            Err(Error::usage(format!("minus exit{exit}: the exits asked for are {}", exits.join(", "))))
        }
        Minus::Exit(exit) if study.exits == [exit] => {
            Err(Error::usage(format!("minus exit{exit}: no other exit is asked for")))
        }
        Minus::RunnerUp | Minus::Class(_) if study.smoothing != Smoothing::None => {
            let smoothing = study.smoothing.name();
            Err(Error::usage(format!("minus {name}: --smooth {smoothing} has no signs to subtract")))
        }
        _ => Ok(()),
    }
}

/// Makes names.
struct Words<'a> {
    study: &'a ExplainRequest,
    taps: &'a [String],
    labels: &'a [String],
}

impl Words<'_> {
    /// What a method is called in files. The first map method is `cam`, as if it were alone.
    fn method(&self, kind: Kind) -> &'static str {
        match kind {
            Kind::Map { method: 0, .. } | Kind::Fused { method: 0 } => "cam",
            Kind::Map { method, .. } | Kind::Fused { method } => self.study.maps[method].name(),
            Kind::Pixels { method } => self.study.pixels[method].name(),
        }
    }

    /// A grid for each method that has several layers; differences have their strips.
    fn grids(&self, layers: &[Layer]) -> Vec<Grid> {
        let shown: Vec<usize> = (0..layers.len()).filter(|&i| layers[i].minus.is_none()).collect();
        let same = |a: &usize, b: &usize| self.method(layers[*a].kind) == self.method(layers[*b].kind);
        let several = shown.chunk_by(same).filter(|group| group.len() > 1);
        let grid = |group: &[usize]| {
            let kind = layers[group[0]].kind;
            let method = match self.method(kind) {
                "cam" => String::new(),
                method => format!("_{method}"),
            };
            let subtitle = format!("{}{}", self.title(kind), self.of_class(kind, None));
            Grid { name: format!("grid{method}.png"), layers: group.to_vec(), subtitle }
        };
        several.map(grid).collect()
    }

    /// The parts of a picture's name.
    fn parts(&self, kind: Kind, rank: usize, minus: Option<Minus>) -> Vec<String> {
        let method = self.method(kind).to_string();
        let mut parts = match kind {
            Kind::Map { tap, .. } if self.taps.len() > 1 => vec![method, self.taps[tap].clone()],
            Kind::Fused { method: 0 } => vec!["fused".into()],
            Kind::Fused { .. } => vec![method, "fused".into()],
            Kind::Map { .. } | Kind::Pixels { .. } => vec![method],
        };
        if self.study.target.ranks() > 1 {
            parts.push(format!("top{}", rank + 1));
        }
        parts.extend(minus.map(Minus::file));
        parts
    }

    /// The row's name in a grid.
    fn row(&self, kind: Kind, rank: usize) -> String {
        let tap = match (kind, self.study.fusion) {
            (Kind::Map { tap, .. }, _) if self.taps.len() > 1 => Some(self.taps[tap].clone()),
            (Kind::Fused { .. }, Some(fusion)) => Some(format!("all, {}", fusion.name())),
            _ => None,
        };
        let class = (self.study.target.ranks() > 1).then(|| format!("top {}", rank + 1));
        tap.into_iter().chain(class).collect::<Vec<_>>().join(", ")
    }

    fn title(&self, kind: Kind) -> &'static str {
        match kind {
            Kind::Map { method, .. } | Kind::Fused { method } => self.study.maps[method].title(),
            Kind::Pixels { method } => self.study.pixels[method].title(),
        }
    }

    /// Whose map it is; `rank` where it is one class's.
    fn of_class(&self, kind: Kind, rank: Option<usize>) -> String {
        match kind {
            Kind::Map { method, .. } | Kind::Fused { method }
                if self.study.maps[method] == MapMethod::EigenCam =>
            {
                " whatever the class".into()
            }
            _ => format!(" of {}", self.class(rank)),
        }
    }

    fn subtitle(&self, kind: Kind, rank: usize, minus: Option<Minus>) -> String {
        let ExplainRequest { taps, fusion, score, smoothing, .. } = self.study;
        let at = match (kind, fusion) {
            (Kind::Map { tap, .. }, _) if *taps != Default::default() => format!(" at {}", self.taps[tap]),
            (Kind::Fused { .. }, Some(fusion)) => format!(" of {} taps, {}", self.taps.len(), fusion.name()),
            _ => String::new(),
        };
        let (title, class) = (self.title(kind), self.of_class(kind, Some(rank)));
        let is_map = !matches!(kind, Kind::Pixels { .. });
        let against = match minus {
            Some(Minus::Exit(exit)) => format!(" minus exit {exit}'s"),
            Some(Minus::RunnerUp) => " minus the next likeliest".into(),
            Some(Minus::Class(class)) => format!(" minus {}", self.labels[class]),
            None if matches!(score, Score::Over(_)) => ", its logit less another's".into(),
            None if *score != Default::default() => format!(", {}", score.name()),
            None => String::new(),
        };
        let smooth = if is_map && *smoothing != Default::default() {
            format!(", smoothed by {}", smoothing.name())
        } else {
            String::new()
        };
        format!("{title}{at}{class}{against}{smooth}")
    }

    fn class(&self, rank: Option<usize>) -> String {
        match self.study.target {
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
