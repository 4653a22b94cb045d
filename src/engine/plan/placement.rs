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
    /// Each buffer that is returned in place, and the end of the last output in it.
    returned: Vec<(NodeId, usize)>,
}

impl Placement {
    /// The buffer of `id`, and the index of its first element in the buffer.
    pub(super) fn of(&self, id: NodeId) -> (NodeId, usize) {
        self.owner[id.index()]
    }

    /// For a buffer in the output space: how many elements, from its first to the last that an output needs,
    /// stay until the end of a run.
    pub(super) fn returned(&self, buffer: NodeId) -> Option<usize> {
        self.returned.iter().find(|&&(id, _)| id == buffer).map(|&(_, end)| end)
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
    let mut placement = Placement { owner, in_place, returned_in_place: Vec::new(), returned: Vec::new() };
    placement.returned_in_place =
        outputs.iter().map(|&id| is_returned_in_place(graph, &placement, outputs, id)).collect();
    let returned = outputs.iter().zip(&placement.returned_in_place).filter(|&(_, &in_place)| in_place);
    let buffers = returned.map(|(&id, _)| placement.of(id).0);
    placement.returned =
        buffers.map(|buffer| (buffer, returned_end(graph, &placement, outputs, buffer))).collect();
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

/// Whether the buffer of output `id` is returned in place. It is where outputs make up at least half of what
/// would be downloaded; otherwise they are copied, so that the download does not grow.
fn is_returned_in_place(graph: &Graph, placement: &Placement, outputs: &[NodeId], id: NodeId) -> bool {
    let (buffer, _) = placement.of(id);
    let mut ranges = ranges_in(graph, placement, outputs, buffer);
    ranges.sort_unstable();
    ranges.dedup();
    let requested: usize = ranges.iter().map(|&(start, end)| end - start).sum();
    let downloaded = match graph.node(buffer).op {
        Op::Input(_) => return false,
        // The gradient at its end is read soon, and later outputs share its memory.
        Op::Classifier(_) => returned_end(graph, placement, outputs, buffer),
        _ => graph.shape(buffer).len(),
    };
    2 * requested >= downloaded
}

/// The end of the last output in `buffer`.
fn returned_end(graph: &Graph, placement: &Placement, outputs: &[NodeId], buffer: NodeId) -> usize {
    ranges_in(graph, placement, outputs, buffer).into_iter().map(|(_, end)| end).max().unwrap_or(0)
}

/// The outputs in `buffer`: first element and end of each.
fn ranges_in(
    graph: &Graph,
    placement: &Placement,
    outputs: &[NodeId],
    buffer: NodeId,
) -> Vec<(usize, usize)> {
    let inside = outputs.iter().filter(|&&id| placement.of(id).0 == buffer);
    inside.map(|&id| (placement.of(id).1, placement.of(id).1 + graph.shape(id).len())).collect()
}
