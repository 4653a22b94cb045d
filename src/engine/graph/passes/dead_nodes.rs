//! Dead-code elimination: removes nodes that no output depends on. Inputs stay, because the caller of a
//! run supplies them in any case.

use super::rebuild;
use crate::Result;
use crate::engine::graph::{Graph, NodeId, Op};

pub(super) fn run(graph: &Graph, outputs: &mut [NodeId]) -> Result<Graph> {
    let needed = graph.ancestors(outputs);
    rebuild(graph, outputs, |new, id, node| {
        let keep = needed[id.index()] || matches!(node.op, Op::Input(_));
        if keep { new.copy(node).map(Some) } else { Ok(None) }
    })
}
