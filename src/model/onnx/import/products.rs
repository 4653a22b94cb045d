//! Products of maps: with each other, with a gate for each channel, and those that are activations written out.

use super::{Feature, Importer, Node, Stop, unsupported};
use crate::Shape;
use crate::engine::graph::ops::{Activation, BatchNorm, Relu};
use crate::engine::graph::{NodeId, Op, ParamId};

/// A hard sigmoid that is the gate of a hard swish.
const GATE: Activation = Activation::HardSigmoid { slope: 1.0 / 6.0, offset: 0.5 };

impl Importer {
    /// The product of two maps of one shape, or of a map and a factor for each of its channels.
    pub(super) fn product(&mut self, node: &Node, mut a: Feature, mut b: Feature) -> Result<Feature, Stop> {
        if self.dims(&a) == self.dims(&b) {
            if let Some(op) = self.activation_of(a.node, b.node).filter(|_| a.layout == b.layout) {
                return Ok(Feature { node: self.graph.push(op, &[a.node])?, ..a });
            }
            if let Some(op) = self.activation_of(b.node, a.node).filter(|_| a.layout == b.layout) {
                return Ok(Feature { node: self.graph.push(op, &[b.node])?, ..b });
            }
            // A gate that was repeated for each pixel.
            for (map, gate) in [(&a, &b), (&b, &a)] {
                if let (Op::Resize(_), [vector]) =
                    (&self.graph.node(gate.node).op, &self.graph.node(gate.node).inputs[..])
                    && self.graph.shape(*vector) == Shape::vector(self.graph.shape(map.node).c)
                    && map.layout == gate.layout
                {
                    let product = self.graph.push(Op::Mul, &[map.node, *vector])?;
                    return Ok(Feature { node: product, ..map.clone() });
                }
            }
            self.align(node, &mut b, &a)?;
            return Ok(Feature { node: self.graph.push(Op::Mul, &[a.node, b.node])?, ..a });
        }
        if self.graph.shape(a.node).plane() < self.graph.shape(b.node).plane() {
            std::mem::swap(&mut a, &mut b);
        }
        let (map, gate) = (a, b);
        let (shape, own) = (self.graph.shape(map.node), self.graph.shape(gate.node));
        let is_channels = |axis: &usize| map.layout.is(*axis, 0, shape) && gate.layout.is(*axis, 0, own);
        let rank = map.layout.rank();
        if own == Shape::vector(shape.c)
            && gate.layout.rank() == rank
            && (1..=rank).any(|axis| is_channels(&axis))
        {
            return Ok(Feature { node: self.graph.push(Op::Mul, &[map.node, gate.node])?, ..map });
        }
        unsupported(if own.c == 1 && own.plane() > 1 {
            "Mul with a factor for each pixel".into()
        } else {
            format!("{} of maps of different shapes", node.proto.op)
        })
    }

    /// The activation that is the product of `x` and `factor`.
    fn activation_of(&self, x: NodeId, factor: NodeId) -> Option<Activation> {
        let node = self.graph.node(factor);
        match node.op {
            Op::Activation(Activation::Sigmoid) if node.inputs[0] == x => Some(Activation::Silu),
            Op::Activation(GATE) if node.inputs[0] == x => Some(Activation::HardSwish),
            _ => {
                let (input, scale, shift) = self.as_uniform(factor)?;
                let is_gate = (scale, shift) == (1.0 / 6.0, 0.0) && self.bounded_sum(input) == Some(x);
                is_gate.then_some(Activation::HardSwish)
            }
        }
    }

    /// What `id`, times `scale`, is the hard swish of: x min(max(x + 3, 0), 6) / 6.
    pub(super) fn under_hard_swish(&self, id: NodeId, scale: f32) -> Option<NodeId> {
        let node = self.graph.node(id);
        let (Op::Mul, &[a, b], true) = (&node.op, &node.inputs[..], scale == 1.0 / 6.0) else { return None };
        [(a, b), (b, a)].into_iter().find(|&(x, factor)| self.bounded_sum(factor) == Some(x)).map(|(x, _)| x)
    }

    /// x, where `id` is min(max(x + 3, 0), 6).
    fn bounded_sum(&self, id: NodeId) -> Option<NodeId> {
        let node = self.graph.node(id);
        if node.op != Op::Relu(Relu { max: 6.0 }) {
            return None;
        }
        let (input, scale, shift) = self.as_uniform(node.inputs[0])?;
        ((scale, shift) == (1.0, 3.0)).then_some(input)
    }

    /// x, scale and shift, where `id` is scale * x + shift with constants of the architecture.
    fn as_uniform(&self, id: NodeId) -> Option<(NodeId, f32, f32)> {
        let node = self.graph.node(id);
        let Op::BatchNorm(BatchNorm { weight, bias, mean, variance, eps: 0.0, relu: None }) = node.op else {
            return None;
        };
        let all = |id: ParamId| {
            let param = self.graph.param(id);
            let first = *param.data.first()?;
            (param.is_fixed && param.data.iter().all(|&x| x == first)).then_some(first)
        };
        let plain = (self.graph.param(mean), self.graph.param(variance));
        let is_plain = plain.0.data.iter().all(|&x| x == 0.0) && plain.1.data.iter().all(|&x| x == 1.0);
        if !is_plain {
            return None;
        }
        Some((node.inputs[0], all(weight)?, all(bias)?))
    }
}
