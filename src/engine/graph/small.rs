//! Small nodes: a chain of them is worth running one after another on one thread.

use super::{Graph, NodeId, Op};
use crate::Shape;

/// Largest value, in elements, of a small step: a larger one is worth distributing over threads.
const SMALL_LEN: usize = 8192;
/// Most multiply-adds of a small step.
const SMALL_MULTIPLY_ADDS: u64 = 1 << 20;

impl Graph {
    /// Whether the node's step is so small that the synchronization of a level costs more than the step.
    pub(crate) fn is_small(&self, id: NodeId) -> bool {
        let node = self.node(id);
        let shapes: Vec<_> = node.inputs.iter().map(|&i| self.shape(i)).collect();
        node.op.is_small(&shapes, node.shape)
    }
}

impl Op {
    /// The same for a step of this op, from values of these shapes to one of `output`.
    pub(crate) fn is_small(&self, inputs: &[Shape], output: Shape) -> bool {
        let len = inputs.iter().map(|s| s.len()).max().unwrap_or(0).max(output.len());
        let convolves = matches!(self, Op::Conv2d(_) | Op::Conv2dGrad(_));
        let reads_tap = matches!(self, Op::Cam(_) | Op::WeightedSum(_));
        !convolves
            && (len <= SMALL_LEN || reads_tap)
            && self.multiply_adds(inputs, output) <= SMALL_MULTIPLY_ADDS
    }
}
