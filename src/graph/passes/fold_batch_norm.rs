//! Batch norm folds into the convolution before it: with y = s * x + t per channel,
//! s * (w * x + b) + t = (s w) * x + (s b + t). Its gradient folds likewise, into the gradient
//! of the same convolution.

use std::collections::HashMap;

use super::super::ops::{BatchNorm, Conv2d, Conv2dGrad};
use super::super::{Graph, NodeId, Op, ParamId};
use super::rebuild;
use crate::Result;

pub(super) fn run(graph: &Graph, outputs: &mut [NodeId]) -> Result<Graph> {
    let readers = graph.fan_out();
    let mut folded = Folded::default();
    rebuild(graph, outputs, |new, _, node| {
        let Some(&source) = node.inputs.first() else { return new.copy(node).map(Some) };
        let before = graph.node(source);
        match (&node.op, &before.op) {
            (Op::BatchNorm(norm), Op::Conv2d(conv)) if !conv.relu && readers[source.index()] == 1 => {
                let (weight, bias) = folded.params(&mut new.graph, conv.weight, conv.bias, norm);
                let input = new.all(&before.inputs);
                new.graph.push(Conv2d { weight, bias: Some(bias), ..conv.clone() }, &input).map(Some)
            }
            (Op::Conv2dGrad(conv), Op::BatchNormGrad(norm)) => {
                let (weight, _) = folded.params(&mut new.graph, conv.weight, None, &norm.forward);
                let mut inputs = new.all(&node.inputs);
                inputs[0] = new.at(before.inputs[0]);
                new.graph.push(Conv2dGrad { weight, ..conv.clone() }, &inputs).map(Some)
            }
            _ => new.copy(node).map(Some),
        }
    })
}

/// Weights and biases already folded, so that forward and backward share one copy.
#[derive(Default)]
struct Folded {
    made: HashMap<(ParamId, ParamId), (ParamId, ParamId)>,
}

impl Folded {
    fn params(
        &mut self,
        graph: &mut Graph,
        weight: ParamId,
        bias: Option<ParamId>,
        norm: &BatchNorm,
    ) -> (ParamId, ParamId) {
        // The weight and the normalisation decide the bias: one convolution, one batch norm.
        *self.made.entry((weight, norm.weight)).or_insert_with(|| {
            let affine = norm.affine(graph.params());
            let old = graph.param(weight).clone();
            let row = old.data.len() / affine.len();
            let scaled = old.data.chunks_exact(row).zip(&affine);
            let data: Vec<f32> =
                scaled.flat_map(|(w, &(s, _))| w.iter().map(move |&w| (s * f64::from(w)) as f32)).collect();
            let before = |o: usize| bias.map_or(0.0, |id| f64::from(graph.param(id).data[o]));
            let shifted: Vec<f32> =
                affine.iter().enumerate().map(|(o, &(s, t))| (s * before(o) + t) as f32).collect();
            let weight = graph.add_param(format!("{} (folded)", old.name), &old.dims, data);
            let bias = graph.add_param(format!("{} (folded bias)", old.name), &[affine.len()], shifted);
            (weight, bias)
        })
    }
}
