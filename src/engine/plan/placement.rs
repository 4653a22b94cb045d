//! Which node's value lies inside which other's: a slice is a range of its input, and a concat's
//! parts are written where the concat wants them.

use crate::engine::graph::{Graph, NodeId, Op};

/// For each node: the buffer that holds it, named by the node that owns the buffer, and the
/// number at which it starts.
pub(super) struct Placement {
    root: Vec<(NodeId, usize)>,
    in_place: Vec<bool>,
    /// For each requested output: whether its buffer itself is given back, not a copy.
    pub(super) given_back: Vec<bool>,
    given_back_buffers: Vec<NodeId>,
}

impl Placement {
    /// The buffer of `id` and the first number of its value in it.
    pub(super) fn of(&self, id: NodeId) -> (NodeId, usize) {
        self.root[id.index()]
    }

    /// Whether the run gives back this buffer as it is.
    pub(super) fn is_given_back(&self, buffer: NodeId) -> bool {
        self.given_back_buffers.contains(&buffer)
    }

    /// True where the concat that reads `part` finds it in place.
    pub(super) fn is_in_place(&self, graph: &Graph, concat: NodeId, part: NodeId, offset: usize) -> bool {
        debug_assert!(matches!(graph.node(concat).op, Op::Concat));
        let (buffer, start) = self.of(concat);
        self.in_place[part.index()] && self.of(part) == (buffer, start + offset)
    }
}

/// The parts of `concat` with the number at which each starts.
pub(super) fn parts(graph: &Graph, concat: NodeId) -> impl Iterator<Item = (NodeId, usize)> {
    graph.node(concat).inputs.iter().scan(0, |offset, &part| {
        let start = *offset;
        *offset += graph.shape(part).len();
        Some((part, start))
    })
}

pub(super) fn place(graph: &Graph, outputs: &[NodeId], in_place_concat: bool) -> Placement {
    let mut inside: Vec<Option<(NodeId, usize)>> = vec![None; graph.nodes().len()];
    let mut in_place = vec![false; graph.nodes().len()];
    for id in graph.ids() {
        if let Op::Slice(slice) = &graph.node(id).op {
            inside[id.index()] = Some((graph.node(id).inputs[0], slice.offset));
        }
    }
    // Last concat first: a dense scale's last concat owns the buffer, earlier ones are prefixes.
    for id in graph.ids().rev().filter(|&id| in_place_concat && matches!(graph.node(id).op, Op::Concat)) {
        for (part, offset) in parts(graph, id).collect::<Vec<_>>() {
            let movable = !matches!(graph.node(part).op, Op::Input(_) | Op::Slice(_));
            if movable && inside[part.index()].is_none() {
                inside[part.index()] = Some((id, offset));
                in_place[part.index()] = true;
            }
        }
    }
    let root = graph.ids().map(|id| find_root(&inside, id)).collect();
    let mut placement = Placement { root, in_place, given_back: Vec::new(), given_back_buffers: Vec::new() };
    placement.given_back = given_back(graph, &placement, outputs);
    let whole = outputs.iter().zip(&placement.given_back).filter(|&(_, &whole)| whole);
    placement.given_back_buffers = whole.map(|(&id, _)| placement.of(id).0).collect();
    placement
}

fn find_root(inside: &[Option<(NodeId, usize)>], id: NodeId) -> (NodeId, usize) {
    let (mut root, mut start) = (id, 0);
    while let Some((outer, offset)) = inside[root.index()] {
        root = outer;
        start += offset;
    }
    (root, start)
}

/// A buffer is given back itself where the outputs in it make up at least half of it;
/// otherwise they are copied out, so that the way home is not burdened.
fn given_back(graph: &Graph, placement: &Placement, outputs: &[NodeId]) -> Vec<bool> {
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
    let whole = |id: &NodeId| {
        let (buffer, _) = placement.of(*id);
        let is_input = matches!(graph.node(buffer).op, Op::Input(_));
        !is_input && 2 * requested(buffer) >= graph.shape(buffer).len()
    };
    outputs.iter().map(whole).collect()
}
