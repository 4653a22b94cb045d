//! Folding of batch norm into the preceding convolution: with y = s * x + t per channel,
//! s * (w * x + b) + t = (s w) * x + (s b + t). Its gradient folds likewise into the gradient of the same
//! convolution.

use std::collections::HashMap;

use super::rebuild;
use crate::Result;
use crate::engine::graph::ops::{BatchNorm, Conv2d, Conv2dGrad};
use crate::engine::graph::{Graph, NodeId, Op, ParamId};

pub(super) fn run(graph: &Graph, outputs: &mut [NodeId]) -> Result<Graph> {
    let readers = graph.fan_out();
    let mut folded = Folded::default();
    rebuild(graph, outputs, |new, _, node| {
        let Some(&source) = node.inputs.first() else { return new.copy(node).map(Some) };
        let before = graph.node(source);
        match (&node.op, &before.op) {
            (Op::BatchNorm(norm), Op::Conv2d(conv))
                if norm.relu.is_none()
                    && conv.relu.is_none()
                    && !conv.residual
                    && readers[source.index()] == 1 =>
            {
                let weight = folded.weight(&mut new.graph, conv.weight, norm);
                let bias = folded_bias(&mut new.graph, conv, norm);
                let input = new.all(&before.inputs);
                new.push(Conv2d { weight, bias: Some(bias), ..conv.clone() }, &input).map(Some)
            }
            (Op::Conv2dGrad(conv), Op::BatchNormGrad(norm)) => {
                let weight = folded.weight(&mut new.graph, conv.weight, &norm.forward);
                let mut inputs = new.all(&node.inputs);
                inputs[0] = new.at(before.inputs[0]);
                new.push(Conv2dGrad { weight, ..conv.clone() }, &inputs).map(Some)
            }
            _ => new.copy(node).map(Some),
        }
    })
}

/// Weights that have been folded already, so that forward and backward share one copy.
#[derive(Default)]
struct Folded {
    weights: HashMap<(ParamId, NormKey), ParamId>,
}

/// Everything that determines a batch norm's scale: weight, variance and the bits of eps.
type NormKey = (ParamId, ParamId, u32);

impl Folded {
    /// The folded weight s w: each output channel's kernel times the channel's scale.
    fn weight(&mut self, graph: &mut Graph, weight: ParamId, norm: &BatchNorm) -> ParamId {
        let key = (weight, (norm.weight, norm.variance, norm.eps.to_bits()));
        if let Some(&folded) = self.weights.get(&key) {
            return folded;
        }
        let scales = norm.affine(graph.params()).into_iter().map(|(s, _)| s).collect();
        let old = graph.param(weight).clone();
        let data = old.data.scaled(scales);
        let folded = graph.add_param(format!("{} (folded)", old.name), &old.dims, data);
        self.weights.insert(key, folded);
        folded
    }
}

/// The folded bias s b + t.
fn folded_bias(graph: &mut Graph, conv: &Conv2d, norm: &BatchNorm) -> ParamId {
    let affine = norm.affine(graph.params());
    let before = |o: usize| conv.bias.map_or(0.0, |id| f64::from(graph.param(id).data[o]));
    let bias: Vec<f32> = affine.iter().enumerate().map(|(o, &(s, t))| (s * before(o) + t) as f32).collect();
    let name = format!("{} (folded bias)", graph.param(conv.weight).name);
    graph.add_param(name, &[affine.len()], bias)
}
