//! The spatial mean of an input gradient, computed from the gradient of the result without a gradient map: of a
//! convolution's (the documentation of `graph::ops::cam` proves that it is exact), and of a mean over the whole map, whose
//! gradient is the same at every pixel.

use super::rebuild;
use crate::Result;
use crate::engine::graph::ops::{AvgPoolGrad, BatchNorm, BorderClasses, PooledConv2dGrad};
use crate::engine::graph::{Graph, NodeId, Op};

pub(super) fn run(graph: &Graph, outputs: &mut [NodeId]) -> Result<Graph> {
    rebuild(graph, outputs, |new, _, node| {
        let source = node.inputs.first().map(|&id| graph.node(id));
        match (&node.op, source.map(|n| &n.op)) {
            (Op::SpatialMean, Some(Op::Conv2dGrad(conv))) if conv.relu.is_none() && conv.groups == 1 => {
                let classes = BorderClasses::new(&conv.window, conv.input)?;
                let grad = new.at(graph.node(node.inputs[0]).inputs[0]);
                let (weight, pixels) = (conv.weight, conv.input.plane());
                let op = Op::PooledConv2dGrad(PooledConv2dGrad { weight, classes, pixels });
                new.push(op, &[grad]).map(Some)
            }
            (Op::SpatialMean, Some(Op::AvgPoolGrad(pool))) if pool.forward.is_mean(pool.input) => {
                let grad = new.at(graph.node(node.inputs[0]).inputs[0]);
                let share = share_of_pixels(&mut new.graph, pool);
                new.push(share, &[grad]).map(Some)
            }
            _ => new.copy(node).map(Some),
        }
    })
}

/// The division by the number of pixels.
fn share_of_pixels(graph: &mut Graph, pool: &AvgPoolGrad) -> BatchNorm {
    let channels = pool.input.c;
    let mut constant = |what, value| {
        graph.add_param(
            format!("mean over {} pixels ({what})", pool.input.plane()),
            &[channels],
            vec![value; channels],
        )
    };
    BatchNorm {
        weight: constant("scale", pool.forward.share([0, 0], pool.input)),
        bias: constant("shift", 0.0),
        mean: constant("mean", 0.0),
        variance: constant("variance", 1.0),
        eps: 0.0,
        relu: None,
    }
}
