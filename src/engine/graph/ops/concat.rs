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

    /// The gradient of all elements in another shape, or of a part: zeros with the gradient in its place.
    pub(super) fn vjp(&self, graph: &mut Graph, input: NodeId, grad: NodeId) -> Result<NodeId> {
        let shape = graph.shape(input);
        if self.shape.len() == shape.len() {
            return graph.push(Slice { offset: 0, shape }, &[grad]);
        }
        graph.push(Op::SliceGrad(SliceGrad { offset: self.offset, input: shape }), &[grad])
    }
}

/// Parameters of [`Op::SliceGrad`]: the gradient from element `offset` on, zeros before and behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceGrad {
    /// Index of the first element of the slice.
    pub offset: usize,
    /// Shape of the slice's input, which is that of the result.
    pub input: Shape,
}

impl SliceGrad {
    pub(super) fn shape(&self, grad: Shape) -> Result<Shape> {
        Slice { offset: self.offset, shape: grad }.shape(self.input)?;
        Ok(self.input)
    }
}

/// The sum of the gradients of slices, `parts`, where they are those of all channels in pieces: one behind the other,
/// instead of each among zeros.
pub(crate) fn joined_slice_grads(graph: &mut Graph, parts: &[NodeId]) -> Result<Option<NodeId>> {
    let mut pieces = Vec::new();
    for &part in parts {
        let node = graph.node(part);
        let Op::SliceGrad(op) = &node.op else { return Ok(None) };
        pieces.push((op.offset, node.inputs[0], op.input));
    }
    pieces.sort_by_key(|&(offset, ..)| offset);
    let mut end = 0;
    for &(offset, grad, whole) in &pieces {
        let piece = graph.shape(grad);
        if offset != end || (piece.h, piece.w) != (whole.h, whole.w) {
            return Ok(None);
        }
        end += piece.len();
    }
    if pieces.first().is_none_or(|&(.., whole)| whole.len() != end) {
        return Ok(None);
    }
    let grads: Vec<NodeId> = pieces.into_iter().map(|(_, grad, _)| grad).collect();
    graph.push(Op::Concat, &grads).map(Some)
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
