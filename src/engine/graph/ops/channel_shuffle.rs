//! Channel shuffle (Zhang et al. 2018, arXiv 1707.01083): channels in G groups of C / G are transposed to C / G groups
//! of G: `y[j G + i]` = `x[i (C / G) + j]`. The gradient is the shuffle of C / G groups, its inverse.

use super::Op;
use crate::engine::graph::{Graph, NodeId};
use crate::error::GraphError;
use crate::{Result, Shape};

/// Parameters of [`Op::ChannelShuffle`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelShuffle {
    /// Groups G of the input's channels; divides their number.
    pub groups: usize,
}

impl From<ChannelShuffle> for Op {
    fn from(op: ChannelShuffle) -> Op {
        Op::ChannelShuffle(op)
    }
}

impl ChannelShuffle {
    pub(super) fn shape(&self, input: Shape) -> Result<Shape> {
        if self.groups == 0 || !input.c.is_multiple_of(self.groups) {
            let (groups, channels) = (self.groups, input.c);
            return Err(GraphError::Groups { op: "channel_shuffle", groups, channels }.into());
        }
        Ok(input)
    }

    /// The channel of the input that channel `channel` of the result is, where there are `channels`.
    pub(crate) fn source(&self, channel: usize, channels: usize) -> usize {
        channel % self.groups * (channels / self.groups) + channel / self.groups
    }

    pub(super) fn vjp(&self, graph: &mut Graph, grad: NodeId) -> Result<NodeId> {
        let groups = graph.shape(grad).c / self.groups;
        graph.push(ChannelShuffle { groups }, &[grad])
    }
}
