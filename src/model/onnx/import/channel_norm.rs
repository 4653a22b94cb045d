//! Local response normalization across channels.

use super::activations::number;
use super::{Feature, Importer, Node, Stop, unsupported};
use crate::engine::graph::ops::Lrn;

/// Most channels of a window.
const MAX_SIZE: i64 = u16::MAX as i64;

impl Importer {
    /// `LRN`.
    pub(super) fn channel_norm(&mut self, node: &Node) -> Result<Feature, Stop> {
        let feature = node.feature(0)?.clone();
        let size = node.proto.int("size", 0)?;
        let (alpha, beta) = (number(node, "alpha", 1e-4)?, number(node, "beta", 0.75)?);
        let bias = number(node, "bias", 1.0)?;
        if !(1..=MAX_SIZE).contains(&size) {
            return Err(Stop::Wrong(format!("attribute 'size' is {size}")));
        }
        if alpha < 0.0 || bias <= 0.0 {
            return unsupported(format!("LRN of alpha {alpha} and bias {bias}"));
        }
        if !feature.layout.is(1, 0, self.graph.shape(feature.node)) {
            return unsupported("LRN of other axes than channels");
        }
        let op = Lrn { size: size as usize, alpha, beta, bias };
        Ok(Feature { node: self.graph.push(op, &[feature.node])?, ..feature })
    }
}
