//! Local response normalization across channels (Krizhevsky et al. 2012), as ONNX defines it:
//! `y[c]` = `x[c]` / `s[c]`^beta, where `s[c]` = bias + alpha / size * sum over c' of `x[c']`^2,
//! and c' runs from c - floor((size - 1) / 2) to c + ceil((size - 1) / 2) inside the channels.
//!
//! Gradient: `dx[c]` = `g[c]` / `s[c]`^beta
//! - 2 alpha beta / size * `x[c]` * sum over c' of `g[c']` `x[c']` / `s[c']`^(beta + 1), over the c' whose window has c.

use std::ops::Range;

use super::Op;
use crate::Result;
use crate::engine::graph::{Graph, NodeId};

/// Parameters of [`Op::Lrn`], and of [`Op::LrnGrad`], whose inputs are the gradient and x.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lrn {
    /// Channels of a window.
    pub size: usize,
    /// Scale of the mean square.
    pub alpha: f32,
    /// Exponent.
    pub beta: f32,
    /// What is added to the scaled mean square; positive.
    pub bias: f32,
}

impl From<Lrn> for Op {
    fn from(op: Lrn) -> Op {
        Op::Lrn(op)
    }
}

impl Lrn {
    /// Channels before and behind the one in the middle of a window.
    pub(crate) fn reach(&self) -> [usize; 2] {
        let others = self.size.max(1) - 1;
        [others / 2, others.div_ceil(2)]
    }

    /// The channels of `channels` in the window of `channel`.
    pub(crate) fn window(&self, channel: usize, channels: usize) -> Range<usize> {
        let [before, behind] = self.reach();
        channel.saturating_sub(before)..channels.min(channel.saturating_add(behind).saturating_add(1))
    }

    /// The channels of `channels` whose windows have `channel`.
    pub(crate) fn windows_with(&self, channel: usize, channels: usize) -> Range<usize> {
        let [before, behind] = self.reach();
        channel.saturating_sub(behind)..channels.min(channel.saturating_add(before).saturating_add(1))
    }

    pub(super) fn vjp(self, graph: &mut Graph, input: NodeId, grad: NodeId) -> Result<NodeId> {
        graph.push(Op::LrnGrad(self), &[grad, input])
    }
}
