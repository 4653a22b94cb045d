//! The taps of a model: named feature maps at which a class activation map can be made.

use serde::Serialize;

use super::{Exit, Model};
use crate::engine::graph::NodeId;

/// A named feature map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tap {
    /// `exit3` for the tap that exit 3 reads; `layer12.scale2` for an inner layer's.
    pub name: String,
    /// Its value, (C, h, w).
    pub node: NodeId,
    /// Which of the model's resolutions it belongs to, 1 the finest; `None` for an exit's own tap
    /// and in models without parallel scales.
    pub scale: Option<usize>,
}

impl Tap {
    /// The own tap of exit `exit`, numbered from 1.
    pub(crate) fn of_exit(exit: usize, node: NodeId) -> Tap {
        Tap { name: Tap::name_at_exit(exit), node, scale: None }
    }

    /// The name of the own tap of exit `exit`, numbered from 1.
    pub(crate) fn name_at_exit(exit: usize) -> String {
        format!("exit{exit}")
    }
}

/// A tap's name, size and use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TapInfo {
    /// As [`Tap::name`].
    pub name: String,
    /// C.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// The exits, numbered from 1, whose logits depend on the tap: those that can be explained there.
    pub exits: Vec<usize>,
}

impl Model {
    /// The tap that exit `exit`, numbered from 1, reads.
    ///
    /// # Panics
    /// When there is no such exit.
    pub fn exit_tap(&self, exit: usize) -> &Tap {
        let tap = self.exit(exit).tap;
        self.taps.get(tap).unwrap_or_else(|| panic!("tap {tap} of a model of {} taps", self.taps.len()))
    }

    /// Exit `exit`, numbered from 1.
    ///
    /// # Panics
    /// When there is no such exit.
    fn exit(&self, exit: usize) -> &Exit {
        let found = exit.checked_sub(1).and_then(|index| self.exits.get(index));
        found.unwrap_or_else(|| panic!("exit {exit} of a model of exits 1 to {}", self.exits.len()))
    }

    /// The taps on which the logits of exit `exit`, numbered from 1, depend.
    ///
    /// # Panics
    /// When there is no such exit.
    pub fn taps_reaching(&self, exit: usize) -> Vec<&Tap> {
        let needed = self.graph.ancestors(&[self.exit(exit).logits]);
        self.taps.iter().filter(|tap| needed[tap.node.index()]).collect()
    }

    /// Every tap with its size and the exits that depend on it.
    ///
    /// # Panics
    /// When the graph lacks the node of a tap or of an exit.
    pub fn tap_infos(&self) -> Vec<TapInfo> {
        let needed: Vec<Vec<bool>> =
            self.exits.iter().map(|exit| self.graph.ancestors(&[exit.logits])).collect();
        let info = |tap: &Tap| {
            let shape = self.graph.shape(tap.node);
            let reached = (1..).zip(&needed).filter(|(_, needed)| needed[tap.node.index()]);
            let exits = reached.map(|(exit, _)| exit).collect();
            TapInfo { name: tap.name.clone(), channels: shape.c, height: shape.h, width: shape.w, exits }
        };
        self.taps.iter().map(info).collect()
    }
}
