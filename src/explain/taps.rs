//! The taps of a request.

use std::str::FromStr;

use crate::error::RequestError;
use crate::model::{Model, Tap};
use crate::{Error, Result};

/// Where the activation maps of an exit are made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Taps {
    /// At the exit's own tap.
    #[default]
    Exit,
    /// At these, by name.
    Named(Vec<String>),
    /// At the deepest tap of each scale on which the exit's score depends, finest first. In a model whose taps are of
    /// no parallel scales ([`Tap::scale`]), a scale is a height and width.
    AllScales,
}

/// `own`, `all-scales`, or comma-separated names; the model decides whether it has them.
impl FromStr for Taps {
    type Err = Error;

    fn from_str(text: &str) -> Result<Taps> {
        match text.trim() {
            "own" => Ok(Taps::Exit),
            "all-scales" => Ok(Taps::AllScales),
            _ if text.split(',').any(|name| name.trim().is_empty()) => {
                Err(RequestError::EmptyTapName { taps: text.into() }.into())
            }
            _ => Ok(Taps::Named(text.split(',').map(|name| name.trim().to_string()).collect())),
        }
    }
}

impl Taps {
    /// The name of `tap`, one of these in `model`, that is the same for every exit: `own`, its name, or its
    /// scale (`scale2`, or its size, `24x96`).
    ///
    /// # Panics
    /// When the model's graph lacks the tap's node.
    pub fn column(&self, model: &Model, tap: &Tap) -> String {
        match (self, tap.scale) {
            (Taps::Exit, _) => "own".into(),
            (Taps::Named(_), _) => tap.name.clone(),
            (Taps::AllScales, Some(scale)) => format!("scale{scale}"),
            (Taps::AllScales, None) => {
                let shape = model.graph.shape(tap.node);
                format!("{}x{}", shape.h, shape.w)
            }
        }
    }

    /// The text that [`Taps::from_str`] reads.
    pub fn name(&self) -> String {
        match self {
            Taps::Exit => "own".into(),
            Taps::Named(names) => names.join(","),
            Taps::AllScales => "all-scales".into(),
        }
    }

    /// Whether an exit may have more than one of them.
    pub fn are_several(&self) -> bool {
        match self {
            Taps::Exit => false,
            Taps::Named(names) => names.len() > 1,
            Taps::AllScales => true,
        }
    }

    /// The taps of exit `exit`; with `need_path` its score has to depend on each.
    ///
    /// # Errors
    /// When there is no tap of a name, or the score does not depend on it: names those that fit.
    pub(crate) fn of(&self, model: &Model, exit: usize, need_path: bool) -> Result<Vec<Tap>> {
        match self {
            Taps::Exit => Ok(vec![model.exit_tap(exit).clone()]),
            Taps::AllScales => Ok(deepest_of_each_scale(model, exit)),
            Taps::Named(names) if names.is_empty() => Err(RequestError::NoTap.into()),
            Taps::Named(names) => names.iter().map(|name| named(model, exit, name, need_path)).collect(),
        }
    }
}

/// The tap called `name`; with `need_path` one on which the score of exit `exit` depends.
fn named(model: &Model, exit: usize, name: &str, need_path: bool) -> Result<Tap> {
    let names = |taps: &[&Tap]| taps.iter().map(|tap| tap.name.clone()).collect();
    let Some(tap) = model.taps.iter().find(|tap| tap.name == name) else {
        let taps = names(&model.taps.iter().collect::<Vec<_>>());
        return Err(RequestError::UnknownTap { tap: name.into(), taps }.into());
    };
    let reaching = model.taps_reaching(exit);
    if need_path && !reaching.contains(&tap) {
        let reached =
            (1..=model.exits.len()).filter(|&other| model.taps_reaching(other).contains(&tap)).collect();
        let taps = names(&reaching);
        return Err(RequestError::UnrelatedTap { tap: name.into(), exit, reached, taps }.into());
    }
    Ok(tap.clone())
}

/// The deepest tap of each scale on which the score of exit `exit` depends, finest first.
fn deepest_of_each_scale(model: &Model, exit: usize) -> Vec<Tap> {
    let parallel = model.taps.iter().any(|tap| tap.scale.is_some());
    let size = |tap: &Tap| {
        let shape = model.graph.shape(tap.node);
        (shape.h, shape.w)
    };
    let is_alike = |a: &Tap, b: &Tap| if parallel { a.scale == b.scale } else { size(a) == size(b) };
    let mut deepest: Vec<&Tap> = Vec::new();
    for tap in model.taps_reaching(exit).into_iter().filter(|tap| !parallel || tap.scale.is_some()) {
        match deepest.iter_mut().find(|found| is_alike(found, tap)) {
            // Nodes are in the order of computation.
            Some(found) if found.node < tap.node => *found = tap,
            Some(_) => {}
            None => deepest.push(tap),
        }
    }
    if !parallel {
        deepest.sort_by_key(|tap| {
            let (h, w) = size(tap);
            std::cmp::Reverse((h * w, h))
        });
    }
    deepest.into_iter().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_are_two_words_or_a_list_of_names() {
        assert_eq!("own".parse(), Ok(Taps::Exit));
        assert_eq!(" own\u{b}".parse(), Ok(Taps::Exit));
        assert_eq!("all-scales".parse(), Ok(Taps::AllScales));
        let two = Taps::Named(vec!["exit3".into(), "layer12.scale2".into()]);
        assert_eq!("exit3, layer12.scale2".parse(), Ok(two));
        assert!("exit3,,".parse::<Taps>().is_err() && "".parse::<Taps>().is_err());
    }
}
