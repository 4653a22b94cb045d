//! Placement of values in buffers: a slice is a range of its input's buffer, and the parts of a concat are
//! written in place into the concat's buffer.

use crate::engine::graph::{Graph, NodeId, Op};

/// The buffer of each node. A buffer is identified by the node that owns it.
pub(super) struct Placement {
    /// For each node: the owner of its buffer, and the index of its first element in the buffer.
    owner: Vec<(NodeId, usize)>,
    /// For each node: whether it is a concat's part that is written in place.
    in_place: Vec<bool>,
    /// For each requested output: whether its buffer is returned in place, without a copy.
    pub(super) returned_in_place: Vec<bool>,
    returned_buffers: Vec<NodeId>,
}

impl Placement {
    /// The buffer of `id`, and the index of its first element in the buffer.
    pub(super) fn of(&self, id: NodeId) -> (NodeId, usize) {
        self.owner[id.index()]
    }

    /// Whether `buffer` is part of the output space.
    pub(super) fn is_returned_in_place(&self, buffer: NodeId) -> bool {
        self.returned_buffers.contains(&buffer)
    }

    /// Whether `part` is written in place at element `offset` of `concat`.
    pub(super) fn is_in_place(&self, graph: &Graph, concat: NodeId, part: NodeId, offset: usize) -> bool {
        debug_assert!(matches!(graph.node(concat).op, Op::Concat));
        let (buffer, start) = self.of(concat);
        self.in_place[part.index()] && self.of(part) == (buffer, start + offset)
    }
}

/// The parts of `concat`, each with the index of its first element.
pub(super) fn parts(graph: &Graph, concat: NodeId) -> impl Iterator<Item = (NodeId, usize)> {
    graph.node(concat).inputs.iter().scan(0, |offset, &part| {
        let start = *offset;
        *offset += graph.shape(part).len();
        Some((part, start))
    })
}

/// Places every node of `graph`.
pub(super) fn place(graph: &Graph, outputs: &[NodeId], in_place_concat: bool) -> Placement {
    let mut inside: Vec<Option<(NodeId, usize)>> = vec![None; graph.nodes().len()];
    let mut in_place = vec![false; graph.nodes().len()];
    for id in graph.ids() {
        if let Op::Slice(slice) = &graph.node(id).op {
            inside[id.index()] = Some((graph.node(id).inputs[0], slice.offset));
        }
    }
    // Last concat first: the last concat of a dense scale owns the buffer, earlier ones are prefixes of it.
    for id in graph.ids().rev().filter(|&id| in_place_concat && matches!(graph.node(id).op, Op::Concat)) {
        for (part, offset) in parts(graph, id).collect::<Vec<_>>() {
            let movable = !matches!(graph.node(part).op, Op::Input(_) | Op::Slice(_));
            if movable && inside[part.index()].is_none() {
                inside[part.index()] = Some((id, offset));
                in_place[part.index()] = true;
            }
        }
    }
    let owner = graph.ids().map(|id| find_owner(&inside, id)).collect();
    let mut placement =
        Placement { owner, in_place, returned_in_place: Vec::new(), returned_buffers: Vec::new() };
    placement.returned_in_place = returned_in_place(graph, &placement, outputs);
    let returned = outputs.iter().zip(&placement.returned_in_place).filter(|&(_, &in_place)| in_place);
    placement.returned_buffers = returned.map(|(&id, _)| placement.of(id).0).collect();
    placement
}

/// The owner of the buffer of `id`, and the index of its first element in it.
fn find_owner(inside: &[Option<(NodeId, usize)>], id: NodeId) -> (NodeId, usize) {
    let (mut owner, mut start) = (id, 0);
    while let Some((outer, offset)) = inside[owner.index()] {
        owner = outer;
        start += offset;
    }
    (owner, start)
}

/// For each output: whether its buffer is returned in place. It is where outputs make up at least half of
/// the buffer; otherwise they are copied, so that the download does not grow.
fn returned_in_place(graph: &Graph, placement: &Placement, outputs: &[NodeId]) -> Vec<bool> {
    let requested = |buffer: NodeId| -> usize {
        let mut ranges: Vec<(usize, usize)> = outputs
            .iter()
            .filter(|&&id| placement.of(id).0 == buffer)
            .map(|&id| (placement.of(id).1, graph.shape(id).len()))
            .collect();
        ranges.sort_unstable();
        ranges.dedup();
        ranges.iter().map(|&(_, len)| len).sum()
    };
    let in_place = |id: &NodeId| {
        let (buffer, _) = placement.of(*id);
        let is_input = matches!(graph.node(buffer).op, Op::Input(_));
        !is_input && 2 * requested(buffer) >= graph.shape(buffer).len()
    };
    outputs.iter().map(in_place).collect()
}
