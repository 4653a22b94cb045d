//! The spatial mean of a convolution's input gradient, computed from the gradient of its result
//! and the sums of its kernel: see [`crate::graph::ops`]'s `cam` for why that is exact.

use super::super::ops::{BorderClasses, Conv2dGrad, PooledConv2dGrad};
use super::super::{Graph, NodeId, Op, ParamId};
use super::rebuild;
use crate::Result;
use crate::tensor::filled;

pub(super) fn run(graph: &Graph, outputs: &mut [NodeId]) -> Result<Graph> {
    rebuild(graph, outputs, |new, _, node| {
        let source = node.inputs.first().map(|&id| graph.node(id));
        match (&node.op, source.map(|n| &n.op)) {
            (Op::SpatialMean, Some(Op::Conv2dGrad(conv))) if conv.relu.is_none() => {
                let classes = BorderClasses::new(&conv.window, conv.input)?;
                let sums = kernel_sums(&mut new.graph, conv, &classes);
                let grad = new.at(graph.node(node.inputs[0]).inputs[0]);
                let op = Op::PooledConv2dGrad(PooledConv2dGrad { sums, classes });
                new.graph.push(op, &[grad]).map(Some)
            }
            _ => new.copy(node).map(Some),
        }
    })
}

/// (classes, O, I): the kernel summed over each class's valid taps, divided by the input's H * W.
fn kernel_sums(graph: &mut Graph, conv: &Conv2dGrad, classes: &BorderClasses) -> ParamId {
    let weight = graph.param(conv.weight).clone();
    let [kernel_h, kernel_w] = conv.window.kernel;
    let (out, channels, area) = (conv.out, conv.input.c, conv.window.area());
    let pixels = conv.input.plane() as f64;
    let rows = classes.valid_rows.iter();
    let valid = rows.flat_map(|&rows| classes.valid_columns.iter().map(move |&columns| (rows, columns)));
    let sums = filled(classes.count() * out * channels, |sums| {
        for (sums, ((top, bottom), (left, right))) in sums.chunks_exact_mut(out * channels).zip(valid) {
            for (sum, kernel) in sums.iter_mut().zip(weight.data.chunks_exact(area)) {
                let mut taps = 0.0;
                for row in kernel.chunks_exact(kernel_w).take(bottom).skip(top) {
                    row[left..right].iter().for_each(|&w| taps += f64::from(w));
                }
                *sum = (taps / pixels) as f32;
            }
        }
    });
    debug_assert_eq!(weight.data.len(), out * channels * kernel_h * kernel_w);
    graph.add_param(format!("{} (kernel sums)", weight.name), &[classes.count(), out, channels], sums)
}
