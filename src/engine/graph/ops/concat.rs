//! Concatenation along the channels, and its gradient: a slice. An image's tensor is contiguous, so
//! neither computes anything where the plan places the parts inside the whole.

use super::Op;
use crate::engine::graph::{Graph, NodeId};
use crate::error::GraphError;
use crate::{Result, Shape};

/// Parameters of [`Op::Slice`]: `shape.len()` elements from element `offset` of each image's tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// Index of the first element.
    pub offset: usize,
    /// Shape of the result.
    pub shape: Shape,
}

impl From<Slice> for Op {
    fn from(op: Slice) -> Op {
        Op::Slice(op)
    }
}

impl Slice {
    pub(super) fn shape(&self, input: Shape) -> Result<Shape> {
        let end = self.offset.saturating_add(self.shape.len());
        if end > input.len() {
            return Err(GraphError::Slice { end, len: input.len() }.into());
        }
        Ok(self.shape)
    }

    /// The gradient of all elements in another shape; that of a part, which would need zeros, is not computed.
    pub(super) fn vjp(&self, graph: &mut Graph, input: NodeId, grad: NodeId) -> Result<NodeId> {
        let shape = graph.shape(input);
        if self.shape.len() != shape.len() {
            return Err(GraphError::NoDerivative { op: "slice" }.into());
        }
        graph.push(Slice { offset: 0, shape }, &[grad])
    }
}

pub(super) fn shape(inputs: &[Shape]) -> Result<Shape> {
    let first = inputs[0];
    if let Some(other) = inputs.iter().find(|s| (s.h, s.w) != (first.h, first.w)) {
        return Err(GraphError::InputShapes { op: "concat", first, second: *other }.into());
    }
    Ok(Shape { c: inputs.iter().fold(0, |sum: usize, s| sum.saturating_add(s.c)), ..first })
}

pub(super) fn vjp(graph: &mut Graph, node: NodeId, grad: NodeId, index: usize) -> Result<NodeId> {
    let parts = &graph.node(node).inputs;
    let offset = parts[..index].iter().map(|&p| graph.shape(p).len()).sum();
    let shape = graph.shape(parts[index]);
    graph.push(Slice { offset, shape }, &[grad])
}
