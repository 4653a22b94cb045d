//! Merging of the 1x1 convolutions of one exit that read the same value into one convolution with all
//! their output channels; each old node becomes a slice of it. A dense layer reads every scale twice, for
//! the same scale and for the next coarser one: this halves that traffic.

use std::collections::HashMap;

use super::rebuild;
use crate::Result;
use crate::engine::graph::ops::{Conv2d, Slice};
use crate::engine::graph::{Elements, Graph, NodeId, Op, ParamId};

pub(super) fn run(graph: &Graph, outputs: &mut [NodeId]) -> Result<Graph> {
    let siblings = siblings(graph);
    let mut made: HashMap<NodeId, NodeId> = HashMap::new();
    rebuild(graph, outputs, |new, id, node| {
        let Some((first, group)) = siblings.get(&id) else { return new.copy(node).map(Some) };
        if id == *first {
            let merged = merged(&mut new.graph, graph, group);
            let input = new.at(node.inputs[0]);
            made.insert(id, new.push(merged, &[input])?);
        }
        let before = group.iter().take_while(|&&sibling| sibling != id);
        let offset = before.map(|&sibling| graph.shape(sibling).len()).sum();
        new.push(Slice { offset, shape: node.shape }, &[made[first]]).map(Some)
    })
}

/// For each convolution with siblings: the first of the group, and the whole group.
fn siblings(graph: &Graph) -> HashMap<NodeId, (NodeId, Vec<NodeId>)> {
    let mut groups: HashMap<(NodeId, usize, Option<u32>, bool), Vec<NodeId>> = HashMap::new();
    for id in graph.ids() {
        let node = graph.node(id);
        if let Op::Conv2d(conv) = &node.op
            && conv.window.is_pointwise()
            && conv.groups == 1
            && !conv.residual
        {
            let key =
                (node.inputs[0], node.exit, conv.relu.map(|relu| relu.max.to_bits()), conv.bias.is_some());
            groups.entry(key).or_default().push(id);
        }
    }
    let groups = groups.into_values().filter(|group| group.len() > 1);
    groups
        .flat_map(|group| group.clone().into_iter().map(move |id| (id, (group[0], group.clone()))))
        .collect()
}

/// One convolution with the output channels of all of `group`, in order.
fn merged(new: &mut Graph, old: &Graph, group: &[NodeId]) -> Conv2d {
    let convs: Vec<&Conv2d> = group
        .iter()
        .map(|&id| match &old.node(id).op {
            Op::Conv2d(conv) => conv,
            other => unreachable!("{} among convolutions", other.name()),
        })
        .collect();
    let out = convs.iter().map(|c| c.out).sum();
    let join = |new: &mut Graph, ids: Vec<ParamId>, dims: &[usize]| {
        let name = ids.iter().map(|&id| old.param(id).name.as_str()).collect::<Vec<_>>().join(" + ");
        let parts = ids.iter().map(|&id| old.param(id).data.clone()).collect();
        new.add_param(name, dims, Elements::joined(parts))
    };
    let weight = join(new, convs.iter().map(|c| c.weight).collect(), &[out, convs[0].channels, 1, 1]);
    let biases: Option<Vec<ParamId>> = convs.iter().map(|c| c.bias).collect();
    let bias = biases.map(|ids| join(new, ids, &[out]));
    Conv2d { weight, bias, out, ..convs[0].clone() }
}
