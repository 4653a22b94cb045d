//! The places at which a map can be made, by name: `exit3`, `layer12.scale2`.

use std::str::FromStr;

use crate::engine::graph::NodeId;
use crate::model::msdnet::Network;
use crate::{Error, Result};

/// Where the maps of an exit are made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Taps {
    /// At the exit's own tap.
    #[default]
    Exit,
    /// At these, by name.
    Named(Vec<String>),
    /// At the deepest layer of each scale that reaches the exit's score, finest first.
    AllScales,
}

/// `own`, `all-scales`, or names with commas between them; whether a network has taps of these
/// names, the network says.
impl FromStr for Taps {
    type Err = Error;

    fn from_str(text: &str) -> Result<Taps> {
        match text {
            "own" => Ok(Taps::Exit),
            "all-scales" => Ok(Taps::AllScales),
            _ if text.split(',').any(|name| name.trim().is_empty()) => {
                Err(Error::usage(format!("tap '{text}': a name is empty")))
            }
            _ => Ok(Taps::Named(text.split(',').map(|name| name.trim().to_string()).collect())),
        }
    }
}

/// A place by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tap {
    /// `exit3`, `layer12.scale2`.
    pub name: String,
    /// Its value.
    pub node: NodeId,
}

/// Every tap of `network`: the exits', then each layer's scales.
pub fn all_taps(network: &Network) -> Vec<Tap> {
    let exits = (1..).zip(&network.exits).map(|(k, exit)| Tap { name: exit_name(k), node: exit.tap });
    let layers = network.layers.iter().map(|(name, node)| Tap { name: name.clone(), node: *node });
    exits.chain(layers).collect()
}

/// What can be said of a tap.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct TapSize {
    /// `exit3`, `layer12.scale2`.
    pub name: String,
    /// Channels.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// The exits whose score it reaches, from 1: those that can be explained there.
    pub exits: Vec<usize>,
}

/// [`all_taps`] with their sizes and the exits that they reach.
pub fn tap_sizes(network: &Network) -> Vec<TapSize> {
    let needed: Vec<Vec<bool>> =
        network.exits.iter().map(|exit| network.graph.ancestors(&[exit.logits])).collect();
    let size = |tap: Tap| {
        let shape = network.graph.shape(tap.node);
        let reached = (1..).zip(&needed).filter(|(_, needed)| needed[tap.node.index()]);
        let exits = reached.map(|(exit, _)| exit).collect();
        TapSize { name: tap.name, channels: shape.c, height: shape.h, width: shape.w, exits }
    };
    all_taps(network).into_iter().map(size).collect()
}

/// The taps that reach the score of exit `exit` (from 1).
///
/// # Panics
/// When there is no such exit.
pub fn reaching_taps(network: &Network, exit: usize) -> Vec<Tap> {
    let needed = network.graph.ancestors(&[network.exits[exit - 1].logits]);
    all_taps(network).into_iter().filter(|tap| needed[tap.node.index()]).collect()
}

pub(crate) fn exit_name(exit: usize) -> String {
    format!("exit{exit}")
}

impl Taps {
    /// What `tap`, one of these, is called whatever the exit: `own`, its name, or its scale.
    pub fn column<'t>(&self, tap: &'t str) -> &'t str {
        match self {
            Taps::Exit => "own",
            Taps::Named(_) => tap,
            Taps::AllScales => tap.rsplit_once('.').map_or(tap, |(_, scale)| scale),
        }
    }

    /// What [`Taps::from_str`] reads.
    pub fn name(&self) -> String {
        match self {
            Taps::Exit => "own".into(),
            Taps::Named(names) => names.join(","),
            Taps::AllScales => "all-scales".into(),
        }
    }

    /// The taps of exit `exit`; `need_path` where each has to reach the exit's score.
    ///
    /// # Errors
    /// When there is no tap of a name, or it does not reach the score: names those that do.
    pub(crate) fn of(&self, network: &Network, exit: usize, need_path: bool) -> Result<Vec<Tap>> {
        match self {
            Taps::Exit => Ok(vec![own_tap(network, exit)]),
            Taps::AllScales => Ok(deepest_of_each_scale(&reaching_taps(network, exit))),
            Taps::Named(names) if names.is_empty() => Err(Error::usage("no tap is named")),
            Taps::Named(names) => names.iter().map(|name| named(network, exit, name, need_path)).collect(),
        }
    }
}

/// The tap that exit `exit` itself reads.
pub(crate) fn own_tap(network: &Network, exit: usize) -> Tap {
    Tap { name: exit_name(exit), node: network.exits[exit - 1].tap }
}

fn named(network: &Network, exit: usize, name: &str, need_path: bool) -> Result<Tap> {
    let list = |taps: Vec<Tap>| taps.into_iter().map(|tap| tap.name).collect::<Vec<_>>().join(", ");
    let Some(tap) = all_taps(network).into_iter().find(|tap| tap.name == name) else {
        let names = list(all_taps(network));
        return Err(Error::usage(format!("tap '{name}': the network has {names}")));
    };
    let reaching = reaching_taps(network, exit);
    if need_path && !reaching.contains(&tap) {
        let names = list(reaching);
        let others: Vec<String> = (1..=network.exits.len())
            .filter(|&other| reaching_taps(network, other).contains(&tap))
            .map(|exit| exit.to_string())
            .collect();
        let only = match others.as_slice() {
            [] => "nor any other's".into(),
            _ => format!("but of exits {}", others.join(", ")),
        };
        return Err(Error::usage(format!(
            "tap '{name}' does not reach the score of exit {exit}, {only}; these do: {names}"
        )));
    }
    Ok(tap)
}

/// Of `layer<number>.scale<number>` taps, the last of each scale, finest scale first.
fn deepest_of_each_scale(taps: &[Tap]) -> Vec<Tap> {
    let mut deepest: Vec<(&str, &Tap)> = Vec::new();
    for tap in taps {
        let Some((_, scale)) = tap.name.rsplit_once(".scale") else { continue };
        match deepest.iter_mut().find(|(found, _)| *found == scale) {
            Some((_, last)) => *last = tap,
            None => deepest.push((scale, tap)),
        }
    }
    deepest.into_iter().map(|(_, tap)| tap.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_are_two_words_or_a_list_of_names() {
        assert_eq!("own".parse(), Ok(Taps::Exit));
        assert_eq!("all-scales".parse(), Ok(Taps::AllScales));
        let two = Taps::Named(vec!["exit3".into(), "layer12.scale2".into()]);
        assert_eq!("exit3, layer12.scale2".parse(), Ok(two));
        assert!("exit3,,".parse::<Taps>().is_err() && "".parse::<Taps>().is_err());
    }
}
