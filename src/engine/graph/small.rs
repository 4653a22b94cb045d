//! Small nodes: a chain of them is worth running one after another on one thread.

use super::{Graph, NodeId, Op};

/// Largest value, in elements, of a small step: a larger one is worth distributing over threads.
const SMALL_LEN: usize = 8192;
/// Most multiply-adds of a small step.
const SMALL_MULTIPLY_ADDS: u64 = 1 << 20;

impl Graph {
    /// Whether the node's step is so small that the synchronization of a level costs more than the step.
    pub(crate) fn is_small(&self, id: NodeId) -> bool {
        let node = self.node(id);
        let shapes: Vec<_> = node.inputs.iter().map(|&i| self.shape(i)).collect();
        let len = shapes.iter().map(|s| s.len()).max().unwrap_or(0).max(node.shape.len());
        let convolves = matches!(node.op, Op::Conv2d(_) | Op::Conv2dGrad(_));
        let reads_tap = matches!(node.op, Op::Cam(_) | Op::WeightedSum(_));
        !convolves
            && (len <= SMALL_LEN || reads_tap)
            && node.op.multiply_adds(&shapes, node.shape) <= SMALL_MULTIPLY_ADDS
    }
}
